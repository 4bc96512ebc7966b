"""The thread on which rows of the journal are passed on, and on which users' observers run."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections import deque
from collections.abc import Callable

from syft_flwr.errors import RuntimeClosedError
from syft_flwr.feed.schedule import pause_after
from syft_flwr.ports import Clock


class DispatchThread:
    """Does one thing at a time: what others bring, what has come due, and steps of its own work.

    No lock is held while any of it runs.

    Args:
        name: The thread's name.
        step: Does a piece of its work; returns whether there was any. One that raises is reported, and done again.
        has_work: Tells whether there is any; called under :attr:`changed`.
        report: Hears what a step raised.
        clock: Time.
        threaded: Whether there is a thread; else everything happens when :meth:`run` is called.

    Attributes:
        lock: Guards what is brought.
        changed: The same; notified when something was.
    """

    def __init__(
        self,
        name: str,
        *,
        step: Callable[[], bool],
        has_work: Callable[[], bool],
        report: Callable[[Exception], None],
        clock: Clock,
        threaded: bool,
    ) -> None:
        self._step = step
        self._has_work = has_work
        self._report = report
        self._clock = clock
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self._posted: deque[Callable[[], None]] = deque()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = itertools.count()
        self._busy = False
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True) if threaded else None

    def start(self) -> None:
        """Begin, if there is a thread."""
        if self._thread is not None:
            self._thread.start()

    def post(self, action: Callable[[], None]) -> None:
        """Run a function on the thread; at once if this is it, or if there is none."""
        with self.changed:
            if self._thread is not None and not (self._stopped or self.is_here()):
                self._posted.append(action)
                self.changed.notify_all()
                return
        action()

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Run a function of ours, which must not block, on the thread after some seconds."""
        with self.changed:
            heapq.heappush(self._timers, (self._clock.monotonic() + seconds, next(self._serial), action))
            self.changed.notify_all()

    def is_here(self) -> bool:
        """Tell whether the caller is on the thread."""
        return threading.current_thread() is self._thread

    def runs_here(self) -> bool:
        """Tell whether the caller is on the thread, or does its work since there is none."""
        return self._thread is None or self.is_here()

    def run(self, timeout: float | None = None) -> None:
        """Wait until all that was brought so far is done; without a thread, do it. On the thread: return at once."""
        if self._thread is None:
            while not self._stopped and self._do():
                pass
        elif not self.is_here():
            with self.changed:
                self.changed.wait_for(lambda: self._stopped or not self._is_at_work(), timeout)

    def wait_for(self, is_done: Callable[[], bool], timeout: float | None) -> bool:
        """Wait until there is nothing left to do and ``is_done``; return whether it came to that."""
        if self._thread is None:
            self.run()
        with self.changed:
            return self.changed.wait_for(lambda: self._stopped or (not self._is_at_work() and is_done()), timeout)

    def stop(self) -> None:
        """End after what is being done; returns at once."""
        with self.changed:
            self._stopped = True
            self.changed.notify_all()

    def join(self, timeout: float) -> None:
        """Wait for the thread, unless this is it."""
        if self._thread is not None and not self.is_here():
            self._thread.join(timeout)

    def _run(self) -> None:
        failures = 0
        while True:
            with self.changed:
                self._busy = False
                self.changed.notify_all()
                self.changed.wait_for(lambda: self._stopped or self._is_at_work(), self._until_timer())
                if self._stopped:
                    return
                self._busy = True
            try:
                self._do()
                failures = 0
            except RuntimeClosedError:
                self.stop()  # nobody shall wait for what is not done any more
                return
            except Exception as error:  # a full disk, a defect: the rows are in the journal, and come again
                failures += 1
                self._report(error)
                with self.changed:
                    self.changed.wait_for(lambda: self._stopped, pause_after(failures))

    def _is_at_work(self) -> bool:
        return self._busy or bool(self._posted) or self._until_timer() == 0.0 or self._has_work()

    def _until_timer(self) -> float | None:
        return max(0.0, self._timers[0][0] - self._clock.monotonic()) if self._timers else None

    def _do(self) -> bool:
        did = False
        while not self._stopped:
            with self.changed:
                if self._until_timer() == 0.0:
                    action = heapq.heappop(self._timers)[2]
                elif self._posted:
                    action = self._posted.popleft()
                else:
                    break
            did = True
            action()
        return self._step() or did
