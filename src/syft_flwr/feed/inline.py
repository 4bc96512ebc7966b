"""Dispatch without threads, for replays: everything happens at once, on the thread of whoever asks."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
Item = TypeVar("Item")
Ready = TypeVar("Ready")

_log = logging.getLogger(__name__)


class InlineExecutor(Executor):
    """Runs what is submitted before ``submit`` returns."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:  # as a thread pool does
            future.set_exception(error)
        return future


class InlineLane(Generic[Item, Ready]):
    """A :class:`~syft_flwr.feed.lanes.Lane` without threads: ``offer`` handles the item before it returns.

    What is offered from within a handler waits until that is done, so order is kept.
    """

    def __init__(
        self,
        name: str,
        *,
        prepare: Callable[[Item], Ready | None],
        handle: Callable[[Item, Ready], None],
        **_settings: Any,
    ) -> None:
        """Take what a lane takes; nothing ever waits, so capacity, concurrency and the like have no meaning."""
        self._name = name
        self._prepare = prepare
        self._handle = handle
        self._queue: deque[Item] = deque()
        self._busy = False
        self._stopped = False

    def offer(self, item: Item) -> bool:
        """Handle an item, or queue it behind the one that is being handled; ``False`` when stopped."""
        if self._stopped:
            return False
        self._queue.append(item)
        if self._busy:
            return True
        self._busy = True
        try:
            while self._queue:
                self._run(self._queue.popleft())
        finally:
            self._busy = False
        return True

    def stop(self, timeout: float) -> list[tuple[Item, Ready]]:
        """Start no more items; none was prepared and not handled."""
        del timeout
        self._stopped = True
        self._queue.clear()
        return []

    def _run(self, item: Item) -> None:
        try:
            ready = self._prepare(item)
            if ready is not None:
                self._handle(item, ready)
        except Exception:
            _log.exception("lane %s: an item was given up", self._name)
