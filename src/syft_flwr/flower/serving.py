"""For how long a data owner serves."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from typing import Any

from syft_flwr.flower.progress import Progress
from syft_flwr.ports import Clock


@dataclass(frozen=True, slots=True)
class Serving:
    """For how long a data owner serves: by default until the run is over.

    ``once`` answers what waits. ``idle`` ends it after so many seconds without a message, ``at_most`` after so many
    seconds in any case.
    """

    once: bool = False
    idle: float | None = None
    at_most: float | None = None


class ServingLimits:
    """Passes progress on, and ends the serving when nothing has been going on for too long, or time is up."""

    def __init__(self, serving: Serving, progress: Progress, clock: Clock) -> None:
        self._serving = serving
        self._progress = progress
        self._clock = clock
        self._working = 0
        self._began = self._since = clock.monotonic()

    def __call__(self, event: str, /, **fields: Any) -> None:
        self._working += {"working": 1, "done": -1}.get(event, 0)
        self._since = self._clock.monotonic()
        self._progress(event, **fields)

    def left(self) -> float:
        """Return the seconds until a limit is reached, if nothing happens meanwhile; infinity if there is none."""
        now = self._clock.monotonic()
        idle = inf if self._serving.idle is None else self._serving.idle
        at_most = inf if self._serving.at_most is None else self._serving.at_most
        return min((now if self._working else self._since) + idle, self._began + at_most) - now

    @contextmanager
    def enforced(self, stop: Callable[[], None]) -> Iterator[None]:
        """Call ``stop`` when a limit is reached while the block runs."""
        if self.left() == inf:
            yield
            return
        over = threading.Event()

        def watch() -> None:
            while (left := self.left()) > 0:
                if self._clock.wait(over, left):
                    return
            stop()

        thread = threading.Thread(target=watch, name="flower-owner-limits", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
