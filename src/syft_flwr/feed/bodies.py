"""Load the bodies of messages in a stream."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol

from reactivex import Observable, abc
from reactivex.disposable import CompositeDisposable, Disposable

from syft_flwr.errors import TransferError
from syft_flwr.models import FeedError, Message, Received

_CAPACITY = 1_000


class BodySource(Protocol):
    """Where bodies come from: a :class:`~syft_flwr.runtime.DriveRuntime`, live or of a replay."""

    def fetch_body(self, message: Message) -> Future[bytes]:
        """Begin to download a message's body."""

    def report(self, where: str, error: BaseException, message: Message | None = None) -> None:
        """Tell of an exception that was contained."""


def with_body(
    source: BodySource, *, max_size: int | None = None, parallel: int = 4
) -> Callable[[Observable[Message]], Observable[Received | FeedError]]:
    """Download the body of each message, some at once; the order stays.

    A body that can't be had becomes a :class:`~syft_flwr.models.FeedError` in its place, and the stream goes on.
    Elements are emitted on the thread that downloads, one at a time. When a thousand messages wait, the stream before
    this operator has to wait, too: the feed is not polled until there is room.

    Args:
        source: The runtime whose messages they are.
        max_size: Largest body to load, in bytes; of larger ones nothing is downloaded.
        parallel: Downloads under way at once.

    Raises:
        ValueError: ``parallel`` is less than 1.
    """
    if parallel < 1:
        raise ValueError(f"parallel must be at least 1; it is {parallel}")

    def apply(messages: Observable[Message]) -> Observable[Received | FeedError]:
        def subscribe(
            observer: abc.ObserverBase[Received | FeedError], scheduler: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            loader = _Loader(source, observer, max_size, parallel)
            subscription = messages.subscribe(loader.on_next, loader.on_error, loader.on_completed, scheduler=scheduler)
            return CompositeDisposable(subscription, Disposable(loader.dispose))

        return Observable(subscribe)

    return apply


class _Slot:
    """A message in its place; ``future`` is set once its download begins."""

    __slots__ = ("future", "message")

    def __init__(self, message: Message) -> None:
        self.message = message
        self.future: Future[bytes] | None = None


class _Loader:
    """Downloads for one subscription, and emits in order."""

    def __init__(
        self, source: BodySource, observer: abc.ObserverBase[Received | FeedError], max_size: int | None, parallel: int
    ) -> None:
        self._source = source
        self._observer = observer
        self._max_size = max_size
        self._parallel = parallel
        self._changed = threading.Condition()
        self._slots: deque[_Slot] = deque()
        self._to_begin: deque[_Slot] = deque()
        self._under_way = 0
        self._emitting = False
        self._completed = False
        self._disposed = False

    def on_next(self, message: Message) -> None:
        slot = _Slot(message)
        with self._changed:
            self._changed.wait_for(lambda: len(self._slots) < _CAPACITY or self._disposed)
            if self._disposed:
                return
            self._slots.append(slot)
            self._to_begin.append(slot)
        self._advance()

    def on_error(self, error: Exception) -> None:
        self.dispose()
        self._observer.on_error(error)

    def on_completed(self) -> None:
        with self._changed:
            self._completed = True
        self._advance()

    def dispose(self) -> None:
        with self._changed:
            self._disposed = True
            slots = list(self._slots)
            self._slots.clear()
            self._to_begin.clear()
            self._changed.notify_all()
        for slot in slots:
            if slot.future is not None:
                slot.future.cancel()

    def _advance(self) -> None:
        """Begin what may begin, and emit what is ready; whoever comes meanwhile leaves that to the one who emits."""
        while self._begin_next():
            pass
        with self._changed:
            if self._emitting:
                return
            self._emitting = True
        while (slot := self._next_ready()) is not None:
            try:
                self._observer.on_next(_result(slot))
            except Exception as error:  # a user's pipeline; on this thread nobody else would hear of it
                self._source.report("observer of bodies", error, slot.message)
            while self._begin_next():
                pass

    def _begin_next(self) -> bool:
        with self._changed:
            if not self._to_begin or self._under_way >= self._parallel:
                return False
            self._under_way += 1
            slot = self._to_begin.popleft()
        slot.future = self._begin(slot.message)
        slot.future.add_done_callback(self._done)
        return True

    def _begin(self, message: Message) -> Future[bytes]:
        refused: Future[bytes] = Future()
        if self._max_size is not None and message.size > self._max_size:
            refused.set_exception(TransferError(f"the body has {message.size} bytes; the limit is {self._max_size}"))
            return refused
        try:
            return self._source.fetch_body(message)
        except Exception as error:  # the runtime was closed; it is this message's result
            refused.set_exception(error)
            return refused

    def _done(self, _: Future[bytes]) -> None:
        with self._changed:
            self._under_way -= 1
        self._advance()

    def _next_ready(self) -> _Slot | None:
        """Return the first slot if it is ready; else leave emitting to whoever comes next."""
        with self._changed:
            if self._slots and (future := self._slots[0].future) is not None and future.done():
                self._changed.notify_all()
                return self._slots.popleft()
            self._emitting = False
            over = self._completed and not self._slots and not self._disposed
        if over:
            self._observer.on_completed()
        return None


def _result(slot: _Slot) -> Received | FeedError:
    assert slot.future is not None  # noqa: S101 - only ready slots come here
    error = slot.future.exception()
    if error is not None:
        return FeedError("downloading a body", error, slot.message)
    return Received(slot.message, slot.future.result())
