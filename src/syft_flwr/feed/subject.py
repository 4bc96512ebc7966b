"""A Subject whose observers can't harm each other or the producer."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import TypeVar

from reactivex import abc
from reactivex.subject import Subject

from syft_flwr.feed.aio import aio

T = TypeVar("T")


class IsolatedSubject(Subject[T]):
    """Broadcast values; an observer that raises is reported, keeps its subscription and stops no other.

    A plain ``Subject`` does not reach the observers behind one that raises. ``on_next`` is called on one thread, and
    holds no lock: subscribing, disposing, sending and closing from within an observer are allowed. An observer that
    subscribes meanwhile gets the next value, one that disposes meanwhile gets no more.

    Args:
        report: Called with an observer's exception, and the value that it had.
        post: Runs a function on the thread that emits.
        subscribed: Called at each subscription, with whether it comes after the end, when nothing is emitted any more.
    """

    def __init__(
        self,
        report: Callable[[Exception, T | None], None],
        post: Callable[[Callable[[], None]], None] = lambda action: action(),
        subscribed: Callable[[bool], None] = lambda _: None,
    ) -> None:
        super().__init__()
        self._report = report
        self._post = post
        self._subscribed = subscribed

    def _subscribe_core(
        self, observer: abc.ObserverBase[T], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        self._subscribed(self.is_stopped)
        return super()._subscribe_core(observer, scheduler)

    def aio(self, *, limit: int = 1000) -> AsyncGenerator[T, None]:
        """Iterate over the stream in asyncio; see :func:`syft_flwr.feed.aio`."""
        return aio(self, limit=limit)

    @property
    def is_observed(self) -> bool:
        """Whether there is anyone to emit to."""
        return bool(self.observers) and not self.is_stopped

    def tell(self, value: T) -> None:
        """Emit a value on the thread that emits; from there at once."""
        if self.is_observed:
            self._post(lambda: self.on_next(value))

    def on_next(self, value: T) -> None:
        """Pass a value to every observer; after the end it is ignored."""
        if self.is_stopped:
            return
        for observer in tuple(self.observers):
            try:
                observer.on_next(value)
            except Exception as error:  # a user's pipeline; it must not stop the feed
                self._report(error, value)

    def _on_completed_core(self) -> None:
        self._end(lambda observer: observer.on_completed())

    def _on_error_core(self, error: Exception) -> None:
        self.exception = error
        self._end(lambda observer: observer.on_error(error))

    def _end(self, tell: Callable[[abc.ObserverBase[T]], None]) -> None:
        for observer in tuple(self.observers):
            try:
                tell(observer)
            except Exception as error:  # as above
                self._report(error, None)
        with self.lock:
            self.observers.clear()
