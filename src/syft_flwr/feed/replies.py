"""Answer the requests in a stream."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from typing import Literal, Protocol

from reactivex import Observable, abc
from reactivex.disposable import CompositeDisposable, Disposable

from syft_flwr.feed.aio import as_function
from syft_flwr.feed.router import from_start
from syft_flwr.models import Message, Replied
from syft_flwr.senders import AllowedSenders, Senders

Reply = bytes | str | None
ReplyFunction = Callable[[bytes, Message], Reply | Awaitable[Reply]]
"""Takes a request's body and the request; what it returns is the reply: ``str`` as UTF-8, ``None`` for none.

It may be an ``async def`` function."""


class Doorkeeper(Protocol):
    """Who compares a request's sender with a list: a :class:`~syft_flwr.runtime.DriveRuntime`, live or of a replay."""

    def _lets_in(self, senders: Senders, message: Message) -> bool: ...


class Replier(Doorkeeper, Protocol):
    """Who answers requests: a :class:`~syft_flwr.runtime.DriveRuntime`, live or of a replay."""

    @property
    def replied(self) -> Observable[Replied]: ...

    def _open_route(
        self, function: Callable[[bytes, Message], Reply], concurrency: int, on_over: Callable[[str], None]
    ) -> tuple[Callable[[Message], bool], Callable[[], None]]: ...


def reply_with(
    replier: Replier, function: ReplyFunction, *, allowed_senders: AllowedSenders = None, concurrency: int = 1
) -> Callable[[Observable[Message]], Observable[Replied]]:
    """Answer each request with what ``function`` returns for it; emit the answers once they can't be lost.

    It is what ``on_request`` does, for whichever requests come through: each is claimed, its body downloaded, and the
    function called on a thread of its own; the reply is kept on disk and uploaded; a failure is tried again. An
    exception of the function becomes an error reply. A request that somebody else answers is left to them. Responses
    are passed over. It begins with the requests that came earlier and that nobody has taken.

    Args:
        replier: The runtime whose messages they are.
        function: Takes body and request.
        allowed_senders: Addresses that may send requests, or a predicate that tells of an address in lower case; by
            default those in ``SYFT_FLWR_ALLOWED_SENDERS``; without any, whoever shares an inbox with the account, which
            is said once. What others send is rejected, and stays for who may take it.
        concurrency: Requests of different senders answered at once; those of one sender are, one after the other.

    Raises:
        InvalidNameError: One of them is no e-mail address.
    """
    senders = _senders(allowed_senders, "a pipeline with reply_with")

    def apply(messages: Observable[Message]) -> Observable[Replied]:
        def subscribe(
            observer: abc.ObserverBase[Replied], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            open_requests = _OpenRequests(observer)
            take, close = replier._open_route(as_function(function), concurrency, open_requests.on_over)  # noqa: SLF001 - a friend

            def hand_over(message: Message) -> None:
                if message.kind == "request" and replier._lets_in(senders, message):  # noqa: SLF001 - likewise
                    open_requests.hand_over(take, message)

            replies = replier.replied.subscribe(open_requests.on_reply, on_completed=observer.on_completed)
            token = from_start.set(True)
            try:
                requests = messages.subscribe(
                    hand_over, observer.on_error, open_requests.on_completed, scheduler=scheduler
                )
            finally:
                from_start.reset(token)
            return CompositeDisposable(replies, requests, Disposable(close))

        return Observable(subscribe)

    return apply


class Deferrer(Doorkeeper, Protocol):
    """Who lets requests be answered later: a :class:`~syft_flwr.runtime.DriveRuntime`, live or of a replay."""

    def _defer(self, message: Message, deadline: float, when_late: Literal["again", "reject"]) -> bool: ...


def defer(
    deferrer: Deferrer,
    deadline: float,
    *,
    allowed_senders: AllowedSenders = None,
    when_late: Literal["again", "reject"] = "again",
) -> Callable[[Observable[Message]], Observable[Message]]:
    """Take each request, to answer it later with ``runtime.reply(message, body)``: fifty with one call of a model, say.

    A request that was taken is nobody else's; when this process dies, another one takes it, or this one anew. One that
    somebody else has is dropped, and so are responses. It begins with the requests that came earlier and that nobody
    has taken.

    Args:
        deferrer: The runtime whose messages they are.
        deadline: Seconds within which a request must be answered.
        allowed_senders: As for :func:`reply_with`.
        when_late: What becomes of one that is not: it comes ``"again"``, or its sender gets an error (``"reject"``),
            and ``runtime.rejected`` says so.

    Raises:
        InvalidNameError: One of them is no e-mail address.
        ValueError: The deadline is not positive.
    """
    if not deadline > 0:
        raise ValueError(f"the deadline must be a positive number of seconds; it is {deadline}")
    senders = _senders(allowed_senders, "a pipeline with defer")

    def apply(messages: Observable[Message]) -> Observable[Message]:
        def subscribe(
            observer: abc.ObserverBase[Message], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            def on_next(message: Message) -> None:
                if message.kind != "request" or not deferrer._lets_in(senders, message):  # noqa: SLF001 - a friend
                    return
                if deferrer._defer(message, deadline, when_late):  # noqa: SLF001 - likewise
                    observer.on_next(message)

            token = from_start.set(True)
            try:
                return messages.subscribe(on_next, observer.on_error, observer.on_completed, scheduler=scheduler)
            finally:
                from_start.reset(token)

        return Observable(subscribe)

    return apply


def _senders(allowed_senders: AllowedSenders, who: str) -> Senders:
    senders = Senders(allowed_senders, who)
    senders.look_up()
    return senders


class _OpenRequests:
    """The requests of one subscription that are not answered yet."""

    def __init__(self, observer: abc.ObserverBase[Replied]) -> None:
        self._observer = observer
        self._lock = threading.Lock()
        self._files: set[str] = set()
        self._completed = False

    def hand_over(self, take: Callable[[Message], bool], message: Message) -> None:
        with self._lock:
            self._files.add(message.file_id)
        if not take(message):
            self.on_over(message.file_id)

    def on_reply(self, reply: Replied) -> None:
        with self._lock:
            is_mine = reply.message.file_id in self._files
        if is_mine:
            self._observer.on_next(reply)

    def on_over(self, file_id: str) -> None:
        with self._lock:
            self._files.discard(file_id)
        self._complete_if_over()

    def on_completed(self) -> None:
        with self._lock:
            self._completed = True
        self._complete_if_over()

    def _complete_if_over(self) -> None:
        with self._lock:
            over = self._completed and not self._files
        if over:
            self._observer.on_completed()
