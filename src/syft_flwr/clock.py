"""The clock of the real world."""

from __future__ import annotations

import threading
import time

SIGNAL_INTERVAL = 0.5
"""Seconds after which the main thread, when it waits, looks for signals.

The kernel may hand a Ctrl-C to any thread that happens to run. Python acts on it in the main thread, which does not
wake up for it if it blocks without a timeout (https://docs.python.org/3/library/signal.html#signals-and-threads).
"""


class SystemClock:
    """A :class:`~syft_flwr.ports.Clock` that tells the machine's time; signals interrupt a wait of the main thread."""

    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def wait(self, event: threading.Event, timeout: float | None) -> bool:
        if threading.current_thread() is not threading.main_thread():
            return event.wait(None if timeout is None else min(timeout, threading.TIMEOUT_MAX))
        end = float("inf") if timeout is None else time.monotonic() + timeout
        while not event.wait(max(0.0, min(SIGNAL_INTERVAL, end - time.monotonic()))):
            if time.monotonic() >= end:
                return False
        return True
