"""The clock of the real world."""

from __future__ import annotations

import threading
import time


class SystemClock:
    """A :class:`~syft_flwr.ports.Clock` that tells the machine's time."""

    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def wait(self, event: threading.Event, timeout: float | None) -> bool:
        return event.wait(None if timeout is None else min(timeout, threading.TIMEOUT_MAX))
