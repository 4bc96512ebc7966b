"""Work without threads, for replays and tests: everything happens at once, on the caller's thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from typing import Any, ParamSpec, TypeVar

from syft_flwr.addresses import fold_address
from syft_flwr.exchange.lane import Steps
from syft_flwr.exchange.work import Step, Work

P = ParamSpec("P")
T = TypeVar("T")

_UNBOUNDED = 2**31


class SynchronousExecutor(Executor):
    """Runs what is submitted before ``submit`` returns."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:  # as a thread pool does
            future.set_exception(error)
        return future


class SynchronousLane:
    """A :class:`~syft_flwr.exchange.lane.Lane` without threads: ``offer`` handles the request before it returns.

    What is offered from within a handler waits until that is done, so order is kept. A request that can't be had at
    present comes again later, and until then the others of its sender wait.

    Args:
        name: For the log.
        steps: What is done to a request.
        later: Calls a function after some seconds.
    """

    def __init__(
        self, name: str, *, steps: Steps, later: Callable[[float, Callable[[], None]], None], **_settings: Any
    ) -> None:
        """Take what a lane takes; nothing waits for room, so capacity, concurrency and the like have no meaning."""
        del name
        self._steps = steps
        self._later = later
        self._queue: deque[Work] = deque()
        self._held: dict[str, deque[Work]] = {}
        self._busy = False
        self._stopped = False

    def room(self) -> int:
        return 0 if self._stopped else _UNBOUNDED

    def offer(self, work: Work) -> bool:
        """Handle a request, or queue it behind the one that is being handled; ``False`` when stopped."""
        if self._stopped:
            return False
        self._queue.append(work)
        if self._busy:
            return True
        self._busy = True
        try:
            while self._queue:
                self._run(self._queue.popleft())
        finally:
            self._busy = False
        return True

    def stop(self, timeout: float) -> list[Work]:
        """Start no more requests; return what was not begun."""
        del timeout
        self._stopped = True
        left = [*self._queue, *(work for works in self._held.values() for work in works)]
        self._queue.clear()
        self._held.clear()
        return left

    def _run(self, work: Work) -> None:
        sender = fold_address(work.message.sender)
        if sender in self._held:
            self._held[sender].append(work)
            return
        failed = self._steps.prepare(work) if work.step is Step.QUEUED else 0.0
        if not failed and work.step is not Step.OVER:
            failed = self._steps.handle(work)
        if failed:
            self._held[sender] = deque([work])
            self._later(failed, partial(self._resume, sender))

    def _resume(self, sender: str) -> None:
        for work in self._held.pop(sender, ()):
            self.offer(work)
