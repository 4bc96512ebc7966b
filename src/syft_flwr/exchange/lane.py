"""The requests of one endpoint: those of one sender in order, the senders in turn, downloads ahead of the handler."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from typing import Protocol

from syft_flwr.addresses import fold_address
from syft_flwr.exchange.handler_threads import HandlerThreads
from syft_flwr.exchange.work import Step, Work

_log = logging.getLogger(__name__)


class Steps(Protocol):
    """What is done to a request (:class:`~syft_flwr.exchange.responder.Responder`)."""

    def prepare(self, work: Work) -> float:
        """Download the body; return 0, or the seconds to wait before another attempt."""

    def handle(self, work: Work) -> float:
        """Run the handler and put its answer on disk; return 0, or the seconds to wait before another attempt."""

    def release(self, work: Work) -> None:
        """Give a request back that will not be handled here."""


class _Sender:
    """The requests of one sender: ``ahead`` are being prepared or are ready, ``waiting`` come after them."""

    __slots__ = ("ahead", "busy", "held", "ready", "waiting")

    def __init__(self) -> None:
        self.ahead: deque[Work] = deque()
        self.waiting: deque[Work] = deque()
        self.busy = False
        self.ready = False
        """Whether it stands in the line for a thread."""
        self.held = False
        """Whether its first request failed and is to be tried again; until then the others wait."""


class Lane:
    """A bounded queue in front of a handler. Thread-safe.

    Each request is *prepared* on the pool of transfers, some ahead, then *handled* on a thread for handlers. Requests
    of one sender are handled one after the other, in the order in which they were offered, each once the answer to
    the one before it is on disk. Senders take turns; one whose request can't be had at present holds up no other.

    Args:
        name: For the log.
        steps: What is done to a request.
        pool: Runs the preparations.
        threads: Run the handlers.
        later: Calls a function after some seconds.
        capacity: Requests in memory at most; :meth:`offer` refuses more.
        concurrency: Requests of different senders handled at once.
        lookahead: Requests prepared in advance.
        on_room: Called each time the queue has become half empty.
    """

    def __init__(
        self,
        name: str,
        *,
        steps: Steps,
        pool: Executor,
        threads: HandlerThreads,
        later: Callable[[float, Callable[[], None]], None],
        capacity: int,
        concurrency: int = 1,
        lookahead: int = 4,
        on_room: Callable[[], None] = lambda: None,
    ) -> None:
        self._name = name
        self._steps = steps
        self._pool = pool
        self._threads = threads
        self._later = later
        self._capacity = capacity
        self._concurrency = concurrency
        self._window = concurrency + lookahead
        self._on_room = on_room
        self._changed = threading.Condition()
        self._senders: dict[str, _Sender] = {}
        self._turns: deque[str] = deque()
        """Senders who have something to prepare, the next one first."""
        self._ready: deque[str] = deque()
        """Senders whose first request is prepared, and none of whose is being handled."""
        self._preparing: set[Work] = set()
        """What is on the pool: its step is one ahead of what the lane has heard, so it is left alone."""
        self._size = 0
        self._ahead = 0
        self._active = 0
        self._handling: set[int] = set()
        self._stopping = False

    def room(self) -> int:
        """Return how many more requests :meth:`offer` would take."""
        with self._changed:
            return 0 if self._stopping else self._capacity - self._size

    def offer(self, work: Work) -> bool:
        """Queue a request; ``False`` when the lane is full or stopping."""
        with self._changed:
            if self._stopping or self._size >= self._capacity:
                return False
            self._size += 1
            key = fold_address(work.message.sender)
            sender = self._senders.setdefault(key, _Sender())
            sender.waiting.append(work)
            if len(sender.waiting) == 1 and not sender.held:
                self._turns.append(key)
            begun = self._prepare_ahead()
        self._begin(begun)
        return True

    def stop(self, timeout: float) -> list[Work]:
        """Start no more requests, wait up to ``timeout`` seconds for those being handled; return what was not begun.

        A handler that is still busy then is left to end by itself. Calling it again only waits again.
        """
        with self._changed:
            self._stopping = True
            left = [work for sender in self._senders.values() for work in (*sender.ahead, *sender.waiting)]
            self._senders.clear()
            self._turns.clear()
            self._ready.clear()
            self._size = self._ahead = 0
            mine = threading.get_ident() in self._handling  # a handler that stops its own lane
            self._changed.wait_for(lambda: len(self._handling) <= mine, timeout)
        return left

    # -- preparing --------------------------------------------------------------------------------------------

    def _prepare_ahead(self) -> list[tuple[str, Work]]:
        """Choose what to prepare now, a request of each sender in turn; the caller holds the lock."""
        begun: list[tuple[str, Work]] = []
        while self._turns and self._ahead < self._window:
            key = self._turns.popleft()
            sender = self._senders[key]
            work = sender.waiting.popleft()
            sender.ahead.append(work)
            self._ahead += 1
            if sender.waiting:
                self._turns.append(key)
            if work.step is Step.QUEUED and work not in self._preparing:
                begun.append((key, work))
            else:
                self._is_ready(key, sender)
        self._preparing.update(work for _, work in begun)
        return begun

    def _begin(self, begun: list[tuple[str, Work]]) -> None:
        for key, work in begun:
            try:
                self._pool.submit(self._steps.prepare, work).add_done_callback(partial(self._prepared, key, work))
            except RuntimeError:  # the pool is shut down: so is everything
                _log.debug("lane %s: closed before request %s was prepared", self._name, work.message.future_id)
        self._start_handlers()

    def _prepared(self, key: str, work: Work, done: Future[float]) -> None:
        pause = 0.0 if done.cancelled() else done.result()
        with self._changed:
            self._preparing.discard(work)
            sender = self._senders.get(key)
            late = sender is None or not (work in sender.ahead or work in sender.waiting)  # stopped meanwhile
            if sender is not None and not late:
                if pause:
                    self._hold(key, sender, work, pause)
                elif work.step is Step.OVER:
                    self._remove(key, sender, work)
                self._is_ready(key, sender)
            begun = self._prepare_ahead()
            room = self._room_again()
        if late:  # it was given back by who has stopped the lane
            work.drop_body()
        self._begin(begun)
        if room:
            self._on_room()

    def _hold(self, key: str, sender: _Sender, work: Work, pause: float) -> None:
        """Let a sender wait from this request on: what is behind it must not overtake it."""
        while sender.ahead:
            last = sender.ahead.pop()
            self._ahead -= 1
            sender.waiting.appendleft(last)
            if last is work:
                break
        if key in self._turns:
            self._turns.remove(key)
        if not sender.held:
            sender.held = True
            self._later(pause, partial(self._resume, key))

    def _resume(self, key: str) -> None:
        with self._changed:
            sender = self._senders.get(key)
            if sender is None or not sender.held:
                return
            sender.held = False
            if sender.waiting:
                self._turns.append(key)
            begun = self._prepare_ahead()
        self._begin(begun)

    def _remove(self, key: str, sender: _Sender, work: Work) -> None:
        """Let go of a request that is over without its handler."""
        self._size -= 1
        if work in sender.ahead:
            sender.ahead.remove(work)
            self._ahead -= 1
        else:
            sender.waiting.remove(work)
            if not sender.waiting and key in self._turns:
                self._turns.remove(key)
        self._drop_if_empty(key, sender)

    def _drop_if_empty(self, key: str, sender: _Sender) -> None:
        if not (sender.ahead or sender.waiting or sender.busy or sender.ready):
            self._senders.pop(key, None)

    # -- handling ---------------------------------------------------------------------------------------------

    def _is_ready(self, key: str, sender: _Sender) -> None:
        if self._can_be_handled(sender) and not (sender.busy or sender.ready):
            sender.ready = True
            self._ready.append(key)

    def _can_be_handled(self, sender: _Sender) -> bool:
        first = sender.ahead[0] if sender.ahead else None
        return first is not None and first.step in (Step.PREPARED, Step.HANDLED) and first not in self._preparing

    def _start_handlers(self) -> None:
        with self._changed:
            wanted = min(len(self._ready), self._concurrency - self._active)
            self._active += max(0, wanted)
        for _ in range(wanted):
            self._threads.submit(self._work)

    def _work(self) -> None:
        """Handle one request, and leave the thread to the other lanes."""
        with self._changed:
            while self._ready and not self._stopping:
                key = self._ready.popleft()
                sender = self._senders[key]
                sender.ready = False
                if self._can_be_handled(sender):
                    work = sender.ahead.popleft()
                    sender.busy = True
                    self._ahead -= 1
                    self._handling.add(threading.get_ident())
                    break
                self._drop_if_empty(key, sender)
            else:
                self._active -= 1
                return
            begun = self._prepare_ahead()
        self._begin(begun)
        pause = self._steps.handle(work)
        with self._changed:
            self._active -= 1
            self._handling.discard(threading.get_ident())
            sender.busy = False
            begun = []
            if self._senders.get(key) is sender:
                if pause:
                    sender.ahead.appendleft(work)
                    self._ahead += 1
                    self._hold(key, sender, work, pause)
                else:
                    self._size -= 1
                    self._is_ready(key, sender)
                    self._drop_if_empty(key, sender)
                begun = self._prepare_ahead()
            room = self._room_again()
            abandoned = bool(pause) and self._stopping
            self._changed.notify_all()
        if abandoned:
            self._steps.release(work)
        self._begin(begun)
        if room:
            self._on_room()

    def _room_again(self) -> bool:
        return not self._stopping and self._size == self._capacity // 2
