"""Operators for streams of messages, to be mixed freely with those of :mod:`reactivex.operators`.

Each is a function from one ``Observable`` to another, typed, so that a type checker knows the elements all along a
``pipe``::

    runtime.messages.pipe(
        at_endpoint("flwr/diabetes", "messages"),
        requests,
        with_body(runtime, max_size=1_000_000),
        received,
    )
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias, TypeVar

from reactivex import Observable, abc, operators
from reactivex.disposable import Disposable, SerialDisposable

from syft_flwr import wire
from syft_flwr.addresses import same_address
from syft_flwr.feed.router import MessageRouter
from syft_flwr.models import FeedError, Message, Received

T = TypeVar("T")

MessageOperator: TypeAlias = Callable[[Observable[Message]], Observable[Message]]
"""What narrows a stream of messages."""


def in_inbox(me: str, sender: str | None = None) -> MessageOperator:
    """Keep the messages to ``me``, from ``sender`` if one is given.

    Raises:
        InvalidNameError: One of them is no e-mail address.
    """
    recipient = wire.validate_address(me)
    author = None if sender is None else wire.validate_address(sender)

    def is_there(message: Message) -> bool:
        to_me = same_address(message.recipient, recipient)
        return to_me and (author is None or same_address(message.sender, author))

    return _keep(is_there)


def at_endpoint(app: str, endpoint: str) -> MessageOperator:
    """Keep the messages of one endpoint of one app.

    Applied to ``runtime.messages`` itself it costs the messages of other endpoints nothing, as they are looked up by
    endpoint and not filtered; so put it first.

    Raises:
        InvalidNameError: There can't be such an app or endpoint.
    """
    app, endpoint = wire.validate_app(app), wire.validate_endpoint(endpoint)

    def is_there(message: Message) -> bool:
        return message.app == app and message.endpoint == endpoint

    def apply(source: Observable[Message]) -> Observable[Message]:
        return source.at(app, endpoint) if isinstance(source, MessageRouter) else _keep(is_there)(source)

    return apply


def from_sender(sender: str) -> MessageOperator:
    """Keep the messages from one sender, whose address Drive attests.

    Raises:
        InvalidNameError: It is no e-mail address.
    """
    author = wire.validate_address(sender)
    return _keep(lambda message: same_address(message.sender, author))


def requests(source: Observable[Message]) -> Observable[Message]:
    """Keep the requests."""
    return source.pipe(operators.filter(_is_request))


def responses(source: Observable[Message]) -> Observable[Message]:
    """Keep the responses."""
    return source.pipe(operators.filter(_is_response))


def received(source: Observable[Received | FeedError]) -> Observable[Received]:
    """Keep what :func:`~syft_flwr.feed.with_body` could load, and drop the errors."""
    return source.pipe(operators.filter(_is_received), operators.map(_as_received))


def failed(source: Observable[Received | FeedError]) -> Observable[FeedError]:
    """Keep the errors of :func:`~syft_flwr.feed.with_body`."""
    return source.pipe(operators.filter(_is_error), operators.map(_as_error))


class Naming(Protocol):
    """Who knows subscriptions by name: a :class:`~syft_flwr.runtime.DriveRuntime`, live or of a replay."""

    @property
    def _named(self) -> dict[str, SerialDisposable]: ...


def named(runtime: Naming, name: str) -> Callable[[Observable[T]], Observable[T]]:
    """Let one subscription of a name live: the next one ends it, as when a notebook's cell is run again.

    It drops what would come to the earlier subscription, and what that had gathered. Names are those of an account in
    this process, however often :meth:`~syft_flwr.runtime.DriveRuntime.open` was called.

    Args:
        runtime: The runtime of the account.
        name: A name of your own.
    """

    def apply(source: Observable[T]) -> Observable[T]:
        def subscribe(observer: abc.ObserverBase[T], scheduler: abc.SchedulerBase | None = None) -> abc.DisposableBase:
            place = runtime._named.setdefault(name, SerialDisposable())  # noqa: SLF001 - a friend of it
            place.disposable = Disposable()
            place.disposable = subscription = source.subscribe(observer, scheduler=scheduler)
            return subscription

        return Observable(subscribe)

    return apply


def _keep(predicate: Callable[[Message], bool]) -> MessageOperator:
    def apply(source: Observable[Message]) -> Observable[Message]:
        return source.pipe(operators.filter(predicate))

    return apply


def _is_request(message: Message) -> bool:
    return message.kind == "request"


def _is_response(message: Message) -> bool:
    return message.kind == "response"


def _is_received(element: Received | FeedError) -> bool:
    return isinstance(element, Received)


def _as_received(element: Received | FeedError) -> Received:
    assert isinstance(element, Received)  # noqa: S101 - the filter before it lets nothing else through
    return element


def _is_error(element: Received | FeedError) -> bool:
    return isinstance(element, FeedError)


def _as_error(element: Received | FeedError) -> FeedError:
    assert isinstance(element, FeedError)  # noqa: S101 - likewise
    return element
