"""Bounded, keyed dispatch: the items of one key in order, the keys side by side, preparation ahead of the work."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from typing import Generic, TypeVar

Item = TypeVar("Item")
Ready = TypeVar("Ready")

_log = logging.getLogger(__name__)


class _Entry(Generic[Item, Ready]):
    __slots__ = ("item", "ready")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.ready: Future[Ready | None] | None = None


class Lane(Generic[Item, Ready]):
    """A bounded queue with workers of its own.

    Each item is *prepared* on the shared pool, some items ahead (a download), then *handled* on one of the lane's
    threads. Items of one key are handled one after the other, in the order in which they were offered; keys take
    turns, and a key whose first item is not ready yet holds up nobody.

    Args:
        name: For thread names and the log.
        key: An item's key.
        prepare: Returns what ``handle`` needs, or ``None`` when there is nothing to handle. May raise; it is
            logged, and the item leaves the lane.
        handle: Does the work. As ``prepare``, it should contain its own errors.
        pool: Runs ``prepare``.
        capacity: Items waiting at most; :meth:`offer` refuses more.
        concurrency: Items of different keys handled at once.
        lookahead: Items prepared in advance.
        on_drained: Called on a lane's thread when the last waiting item has left.
        on_late: Called with what was still being prepared when :meth:`stop` returned, once it is.
    """

    def __init__(
        self,
        name: str,
        *,
        key: Callable[[Item], str],
        prepare: Callable[[Item], Ready | None],
        handle: Callable[[Item, Ready], None],
        pool: Executor,
        capacity: int,
        concurrency: int = 1,
        lookahead: int = 4,
        on_drained: Callable[[], None] = lambda: None,
        on_late: Callable[[Item, Ready], None] = lambda _item, _ready: None,
    ) -> None:
        self._name = name
        self._key = key
        self._prepare = prepare
        self._handle = handle
        self._pool = pool
        self._capacity = capacity
        self._window = concurrency + lookahead
        self._on_drained = on_drained
        self._on_late = on_late
        self._condition = threading.Condition()
        self._queues: OrderedDict[str, deque[_Entry[Item, Ready]]] = OrderedDict()
        self._busy: set[str] = set()
        self._waiting = 0
        self._preparing = 0
        self._stopping = False
        self._threads = [
            threading.Thread(target=self._work, name=f"syft-lane-{name}-{number}", daemon=True)
            for number in range(concurrency)
        ]
        for thread in self._threads:
            thread.start()

    def offer(self, item: Item) -> bool:
        """Queue an item; ``False`` when the lane is full or stopping."""
        with self._condition:
            if self._stopping or self._waiting >= self._capacity:
                return False
            self._queues.setdefault(self._key(item), deque()).append(_Entry(item))
            self._waiting += 1
            self._prepare_ahead()
            self._condition.notify()
            return True

    def is_idle(self) -> bool:
        """Tell whether nothing waits and nothing is being handled."""
        with self._condition:
            return not self._waiting and not self._busy

    def stop(self, timeout: float) -> list[tuple[Item, Ready]]:
        """Start no more items, wait up to ``timeout`` seconds for those being handled, and return what was prepared.

        A thread that is still busy then is left to end by itself. Calling it again only waits again.
        """
        with self._condition:
            self._stopping = True
            left = [entry for queue in self._queues.values() for entry in queue]
            self._queues.clear()
            self._waiting = 0
            self._condition.notify_all()
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))
        prepared: list[tuple[Item, Ready]] = []
        for entry in left:
            if entry.ready is None or entry.ready.cancel():
                continue
            if not entry.ready.done():
                entry.ready.add_done_callback(partial(self._deliver_late, entry.item))
            elif (ready := _result(entry.ready)) is not None:
                prepared.append((entry.item, ready))
        return prepared

    def _deliver_late(self, item: Item, prepared: Future[Ready | None]) -> None:
        if (ready := _result(prepared)) is not None:
            self._on_late(item, ready)

    def _work(self) -> None:
        while (taken := self._take()) is not None:
            key, entry = taken
            assert entry.ready is not None  # noqa: S101 - _take returns prepared entries only
            try:
                ready = entry.ready.result()
                if ready is not None:
                    self._handle(entry.item, ready)
            except Exception:
                _log.exception("lane %s: an item was given up", self._name)
            with self._condition:
                self._busy.discard(key)
                drained = not self._waiting
                self._condition.notify_all()
            if drained and not self._stopping:
                self._on_drained()

    def _take(self) -> tuple[str, _Entry[Item, Ready]] | None:
        with self._condition:
            while not self._stopping:
                for key, queue in self._queues.items():
                    entry = queue[0]
                    if key in self._busy or entry.ready is None or not entry.ready.done():
                        continue
                    queue.popleft()
                    self._queues.move_to_end(key)
                    if not queue:
                        del self._queues[key]
                    self._busy.add(key)
                    self._waiting -= 1
                    self._preparing -= 1
                    self._prepare_ahead()
                    return key, entry
                self._condition.wait()
            return None

    def _prepare_ahead(self) -> None:
        """Submit preparations up to the window: first items of every key first, then the second ones."""
        depth = 0
        while self._preparing < self._window and self._preparing < self._waiting:
            for queue in self._queues.values():
                if depth < len(queue) and queue[depth].ready is None and self._preparing < self._window:
                    self._preparing += 1
                    entry = queue[depth]
                    entry.ready = self._pool.submit(self._prepare, entry.item)
                    entry.ready.add_done_callback(self._wake)
            depth += 1

    def _wake(self, _: Future[Ready | None]) -> None:
        with self._condition:
            self._condition.notify_all()


def _result(prepared: Future[Ready | None]) -> Ready | None:
    return None if prepared.cancelled() or prepared.exception() is not None else prepared.result()
