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
from syft_flwr.feed.shared_bodies import MAX_BYTES, SharedBodies
from syft_flwr.models import FeedError, Message, Received

_CAPACITY = 1_000
_JOIN_TIMEOUT = 1.0


class BodySource(Protocol):
    """Where bodies come from: a :class:`~syft_flwr.runtime.DriveRuntime`, live or of a replay."""

    @property
    def _is_synchronous(self) -> bool: ...

    @property
    def _bodies(self) -> SharedBodies: ...

    def _report(self, where: str, error: BaseException, message: Message | None = None) -> None: ...


def with_body(
    source: BodySource, *, max_size: int | None = None, parallel: int = 4
) -> Callable[[Observable[Message]], Observable[Received | FeedError]]:
    """Download the body of each message, some at once; the order stays.

    A body that can't be had becomes a :class:`~syft_flwr.models.FeedError` in its place, and the stream goes on.
    Elements are emitted on a thread of the subscription's own, one at a time (in a replay, at once). Bodies of 32 MB
    at most are in memory. When a thousand messages wait, the stream before this operator has to wait, too; the feed
    goes on into the journal. A body that several pipelines want, or a handler as well, is downloaded once, unless one
    of them falls so far behind that more than 32 MB would have to be kept for it.

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
            on_next = loader.load_now if source._is_synchronous else loader.on_next  # noqa: SLF001 - a friend of it
            subscription = messages.subscribe(on_next, loader.on_error, loader.on_completed, scheduler=scheduler)
            return CompositeDisposable(subscription, Disposable(loader.dispose))

        return Observable(subscribe)

    return apply


class _Loader:
    """Downloads for one subscription, and emits in order."""

    def __init__(
        self, source: BodySource, observer: abc.ObserverBase[Received | FeedError], max_size: int | None, parallel: int
    ) -> None:
        self._source = source
        self._bodies = source._bodies  # noqa: SLF001 - a friend of it
        self._observer = observer
        self._max_size = max_size
        self._parallel = parallel
        self._changed = threading.Condition()
        self._waiting: deque[Message] = deque()
        self._begun: deque[tuple[Message, Future[bytes]]] = deque()
        self._bytes = 0
        self._thread: threading.Thread | None = None
        self._completed = False
        self._disposed = False

    def load_now(self, message: Message) -> None:
        """Emit a message before returning."""
        self._want(message)
        try:
            self._emit(message, self._begin(message))
        finally:
            self._leave(message)

    def on_next(self, message: Message) -> None:
        with self._changed:
            self._changed.wait_for(lambda: len(self._waiting) < _CAPACITY or self._disposed)
            if self._disposed:
                return
            self._waiting.append(message)
            self._want(message)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="syft-bodies", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def on_error(self, error: Exception) -> None:
        self.dispose()
        self._observer.on_error(error)

    def on_completed(self) -> None:
        with self._changed:
            self._completed = True
            is_over = self._thread is None and not self._disposed
            self._changed.notify_all()
        if is_over:
            self._observer.on_completed()

    def dispose(self) -> None:
        with self._changed:
            self._disposed = True
            for message in self._waiting:
                self._leave(message)
            for message, future in self._begun:
                self._drop(message, future)
            self._waiting.clear()
            self._begun.clear()
            self._changed.notify_all()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_JOIN_TIMEOUT)

    def _run(self) -> None:
        while not self._disposed:
            self._begin_some()
            with self._changed:
                self._changed.wait_for(self._is_ready)
                if self._disposed:
                    return
                if not self._begun and not self._waiting:
                    break
                if not self._begun or not self._begun[0][1].done():
                    continue
                message, future = self._begun[0]
            self._emit(message, future)
            with self._changed:
                self._bytes -= message.size
                if self._begun:
                    self._leave(self._begun.popleft()[0])
                self._changed.notify_all()
        if not self._disposed:
            self._tell(self._observer.on_completed)

    def _is_ready(self) -> bool:
        can_emit = bool(self._begun) and self._begun[0][1].done()
        can_begin = bool(self._waiting) and self._may_begin()
        return self._disposed or can_emit or can_begin or (self._completed and not self._begun and not self._waiting)

    def _may_begin(self) -> bool:
        if not self._begun:
            return True
        under_way = sum(not future.done() for _, future in self._begun)
        return under_way < self._parallel and self._bytes + self._waiting[0].size <= MAX_BYTES

    def _begin_some(self) -> None:
        while True:
            with self._changed:
                if not self._waiting or not self._may_begin():
                    return
                message = self._waiting.popleft()
                self._bytes += message.size
                self._changed.notify_all()
            future = self._begin(message)
            with self._changed:
                if self._disposed:
                    self._drop(message, future)
                    return
                self._begun.append((message, future))
            future.add_done_callback(self._wake)

    def _drop(self, message: Message, future: Future[bytes]) -> None:
        future.cancel()
        self._leave(message)

    def _wake(self, _: Future[bytes]) -> None:
        with self._changed:
            self._changed.notify_all()

    def _begin(self, message: Message) -> Future[bytes]:
        refused: Future[bytes] = Future()
        if self._is_too_large(message):
            refused.set_exception(TransferError(f"the body has {message.size} bytes; the limit is {self._max_size}"))
            return refused
        try:
            return self._bodies.get(message)
        except Exception as error:  # the runtime was closed; it is this message's result
            refused.set_exception(error)
            return refused

    def _is_too_large(self, message: Message) -> bool:
        return self._max_size is not None and message.size > self._max_size

    def _want(self, message: Message) -> None:
        if not self._is_too_large(message):
            self._bodies.want(message)

    def _leave(self, message: Message) -> None:
        if not self._is_too_large(message):
            self._bodies.leave(message)

    def _emit(self, message: Message, future: Future[bytes]) -> None:
        error = future.exception()
        element = FeedError("downloading a body", error, message) if error else Received(message, future.result())
        self._tell(lambda: self._observer.on_next(element), message)

    def _tell(self, tell: Callable[[], None], message: Message | None = None) -> None:
        try:
            tell()
        except Exception as raised:  # a user's pipeline; on this thread it would be heard of nowhere
            self._source._report("observer of bodies", raised, message)  # noqa: SLF001 - a friend of it
