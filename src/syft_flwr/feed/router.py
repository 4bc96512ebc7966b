"""Messages by endpoint: one look into a dict for each message, however many endpoints there are."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from functools import partial

from reactivex import Observable, abc
from reactivex.disposable import Disposable

from syft_flwr.feed.subject import IsolatedSubject
from syft_flwr.models import Message

from_start: ContextVar[bool] = ContextVar("from_start", default=False)
"""Whether what is subscribed just now begins with the requests that wait for somebody to take them."""

ShowWaiting = Callable[[tuple[str, str] | None, Callable[[Message], None]], None]


class MessageRouter(IsolatedSubject[Message]):
    """The stream of all messages, and of those of each endpoint.

    The observers of all messages get each one first, then those of its endpoint.
    """

    def __init__(
        self,
        report: Callable[[Exception, Message | None], None],
        post: Callable[[Callable[[], None]], None] = lambda action: action(),
        subscribed: Callable[[bool], None] = lambda _: None,
    ) -> None:
        super().__init__(report, post, subscribed)
        self._endpoints: dict[tuple[str, str], IsolatedSubject[Message]] = {}
        self.show_waiting: ShowWaiting = lambda _key, _on_next: None
        """Passes to a new observer the requests, of one endpoint or of all, that wait for somebody to take them."""

    def _subscribe_core(
        self, observer: abc.ObserverBase[Message], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        subscription = super()._subscribe_core(observer, scheduler)
        if from_start.get():
            self.show_waiting(None, partial(self._show_one, observer))
        return subscription

    def _show_one(self, observer: abc.ObserverBase[Message], message: Message) -> None:
        try:
            observer.on_next(message)
        except Exception as error:  # a user's pipeline; it must not stop the feed
            self._report(error, message)

    def at(self, app: str, endpoint: str) -> Observable[Message]:
        """Return the messages of one endpoint of one app. Hot; costs the messages of other endpoints nothing."""
        key = (app, endpoint)

        def subscribe(
            observer: abc.ObserverBase[Message], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            with self.lock:
                self._subscribed(self.is_stopped)
                if self.is_stopped:
                    if self.exception is None:
                        observer.on_completed()
                    else:
                        observer.on_error(self.exception)
                    return Disposable()
                subject = self._endpoints.get(key)
                if subject is None:
                    subject = self._endpoints[key] = IsolatedSubject(self._report, self._post)
                subscription = subject._subscribe_core(observer, scheduler)  # noqa: SLF001 - it detaches itself already

            def leave() -> None:
                with self.lock:
                    subscription.dispose()
                    if not subject.observers and self._endpoints.get(key) is subject:
                        del self._endpoints[key]

            if from_start.get():
                self.show_waiting(key, partial(self._show_one, observer))
            return Disposable(leave)

        return Observable(subscribe)

    @property
    def is_observed(self) -> bool:
        """Whether there is anyone to emit to, at any endpoint."""
        return bool(self.observers or self._endpoints) and not self.is_stopped

    def on_next(self, value: Message) -> None:
        """Pass a message to its observers; after the end it is ignored."""
        super().on_next(value)
        subject = self._endpoints.get((value.app, value.endpoint))
        if subject is not None:
            subject.on_next(value)

    def _end(self, tell: Callable[[abc.ObserverBase[Message]], None]) -> None:
        super()._end(tell)
        with self.lock:
            subjects = list(self._endpoints.values())
        for subject in subjects:
            tell(subject)
