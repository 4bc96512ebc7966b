"""When to sweep: how often, how thoroughly, and again soon after something new was seen."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from syft_flwr.feed.interval import SweepInterval

_FULL_EVERY = 8
_SECOND_LOOK = 10.0
"""Seconds after a fresh start token at which lists have caught up with what was written around it."""


class SweepKind(Enum):
    """What a sweep looks at."""

    FULL = "full"
    """Every inbox folder, and folders never seen."""
    RECENT = "recent"
    """What was created since the last sweep."""


class SweepSchedule:
    """Decides on sweeps. All times are seconds on one monotonic clock. Not thread-safe.

    Args:
        interval: Pause between sweeps; it adapts between a quarter and eight times of this.
    """

    def __init__(self, interval: float) -> None:
        self._interval = SweepInterval.starting_at(interval)
        self._next = 0.0
        self._full_next = True
        self._second_look: float | None = None
        self._since_full = 0
        self._known_roots: set[str] = set()
        self._unproven: dict[str, tuple[float, float]] = {}
        self._delivered = 0

    def token_restarted(self, now: float) -> None:
        """Ask for a full sweep at once and another one shortly, since the feed has a gap before the new token."""
        self._next = now
        self._full_next = True
        self._second_look = now + _SECOND_LOOK

    def roots_seen(self, roots: Iterable[str], now: float) -> None:
        """Note the inbox roots that exist.

        One never seen before is swept after 1, 2, 4 … seconds, until the feed delivers from it.
        """
        fresh = set(roots) - self._known_roots
        self._known_roots |= fresh
        if self._since_full or not self._full_next:
            self._unproven |= dict.fromkeys(fresh, (now + 1.0, 1.0))

    def delivered(self, root: str, messages: int = 1) -> None:
        """Note that the feed brought messages from an inbox root."""
        self._delivered += messages
        self._unproven.pop(root, None)

    def due(self, now: float, *, wanted: bool = False) -> SweepKind | None:
        """Tell which sweep is due. ``wanted`` asks for a full one at the next occasion."""
        if self._second_look is not None and now >= self._second_look:
            return SweepKind.FULL
        if now >= self._next:
            return SweepKind.FULL if self._full_next or wanted else SweepKind.RECENT
        if any(at <= now for at, _ in self._unproven.values()):
            return SweepKind.RECENT
        return None

    def swept(self, kind: SweepKind, now: float, *, missed: int) -> None:
        """Note a sweep that ended.

        Args:
            kind: Which one it was.
            now: The time.
            missed: Messages it found that the feed should have brought by then.
        """
        if kind is SweepKind.FULL:
            self._since_full = 0
            if self._second_look is not None and now >= self._second_look:
                self._second_look = None
        self._since_full += 1
        self._full_next = self._since_full >= _FULL_EVERY
        self._interval = self._interval.after_sweep(missed=missed, delivered=self._delivered)
        self._delivered = 0
        self._next = now + self._interval.current
        self._unproven = {
            root: (at, delay) if at > now else (now + delay * 2, delay * 2)
            for root, (at, delay) in self._unproven.items()
            if at > now or delay * 2 < self._interval.current
        }

    @property
    def interval(self) -> float:
        """The present pause between sweeps."""
        return self._interval.current

    def next_at(self) -> float:
        """Return when the next sweep is due."""
        times = [self._next, *(at for at, _ in self._unproven.values())]
        return min([*times, self._second_look] if self._second_look is not None else times)
