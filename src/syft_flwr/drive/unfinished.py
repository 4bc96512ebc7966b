"""What calls that failed halfway have come to, for whoever makes them again."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from typing import Generic, TypeVar

from syft_flwr.ports import Clock

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Unfinished(Generic[K, T]):
    """A bounded number of them, for a time. Thread-safe.

    Args:
        clock: Monotonic time.
        keep_for: Seconds after which they are worth nothing.
        most: How many are kept; the oldest go first.
    """

    def __init__(self, clock: Clock, *, keep_for: float, most: int = 100) -> None:
        self._clock = clock
        self._keep_for = keep_for
        self._most = most
        self._lock = threading.Lock()
        self._kept: dict[K, tuple[float, T]] = {}

    def take(self, call: K) -> T | None:
        """Return what a call has come to, once."""
        with self._lock:
            until, kept = self._kept.pop(call, (float("-inf"), None))
            return kept if self._clock.monotonic() < until else None

    def keep(self, call: K, kept: T) -> None:
        """Keep what a call has come to."""
        with self._lock:
            now = self._clock.monotonic()
            self._kept = {key: each for key, each in self._kept.items() if now < each[0]}
            if len(self._kept) >= self._most:
                del self._kept[next(iter(self._kept))]
            self._kept[call] = (now + self._keep_for, kept)
