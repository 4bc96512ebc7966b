"""The clocks of the real world."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from syft_flwr.ports import Clock

CONTRADICTION = 120.0
"""Seconds by which two clocks may differ, for network and rounding, and mean the same time."""
SIGNAL_INTERVAL = 0.5
"""Seconds after which the main thread, when it waits, looks for signals.

The kernel may hand a Ctrl-C to any thread that happens to run. Python acts on it in the main thread, which does not
wake up for it if it blocks without a timeout (https://docs.python.org/3/library/signal.html#signals-and-threads).
"""
_SLEEP_INTERVAL = 60.0
"""Seconds after which a wait looks whether the machine has slept, which does not count for Python's own waits."""
_WITH_SLEEP: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Linux's clock that goes on while the machine sleeps; macOS's monotonic one does so."""


class DriveClock:
    """Drive's time of day, and the machine's monotonic clock: a wrong or corrected local clock decides nothing.

    Args:
        clock: The machine's.
        drive_time: Returns Drive's Unix time in seconds, as of its last answer.
    """

    def __init__(self, clock: Clock, drive_time: Callable[[], float]) -> None:
        self.time = drive_time
        self.monotonic = clock.monotonic
        self.wait = clock.wait
        self._local_time = clock.time

    def confirmed_time(self) -> float | None:
        """Return Drive's time; ``None`` while the machine's clock contradicts it, and either may be wrong."""
        now = self.time()
        return now if abs(now - self._local_time()) <= CONTRADICTION else None


class SystemClock:
    """A :class:`~syft_flwr.ports.Clock` that tells the machine's time; signals interrupt a wait of the main thread.

    The time for which the machine sleeps counts, since a budget's minute and day pass meanwhile.
    """

    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.clock_gettime(_WITH_SLEEP)

    def wait(self, event: threading.Event, timeout: float | None) -> bool:
        is_main = threading.current_thread() is threading.main_thread()
        longest = SIGNAL_INTERVAL if is_main else _SLEEP_INTERVAL
        end = float("inf") if timeout is None else self.monotonic() + timeout
        while not event.wait(max(0.0, min(longest, end - self.monotonic()))):
            if self.monotonic() >= end:
                return False
        return True
