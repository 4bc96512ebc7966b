"""When to try again what failed."""

from __future__ import annotations

import threading

from syft_flwr.errors import DriveError
from syft_flwr.ports import Clock

_FIRST = 1.0
_LONGEST = 300.0


class Backoff:
    """Holds each key back for 1, 2, 4 … seconds after it failed, up to five minutes, or as long as Drive asks.

    The gateway has retried already what a moment's patience mends; here are a full account, a refused share, an
    outage. Thread-safe.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._held: dict[str, tuple[float, float]] = {}

    def failed(self, key: str, error: BaseException) -> None:
        """Note a failure."""
        asked = error.retry_after if isinstance(error, DriveError) else None
        with self._lock:
            _, pause = self._held.get(key, (0.0, _FIRST / 2))
            pause = min(pause * 2, _LONGEST)
            self._held[key] = (self._clock.monotonic() + max(pause, asked or 0.0), pause)

    def is_due(self, key: str) -> bool:
        """Tell whether the key may be tried (again)."""
        if not self._held:
            return True
        with self._lock:
            return key not in self._held or self._held[key][0] <= self._clock.monotonic()

    def forget(self, key: str) -> None:
        """Note that the key is over."""
        with self._lock:
            self._held.pop(key, None)
