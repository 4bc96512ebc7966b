"""How long to pause between polls and between sweeps: pure decisions."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

_JITTER = 0.1
_SHORTEST_SWEEP = 0.25
_LONGEST_SWEEP = 8.0


class PollInterval:
    """The pause between polls: ``base`` seconds while there is traffic, doubling up to ``longest`` when quiet.

    Without ``longest`` it is ``base``, always and exactly. With it, each pause is jittered by up to a tenth, so
    that many clients don't poll in step.
    """

    def __init__(self, base: float, longest: float | None, rng: random.Random) -> None:
        self.base = base
        self._longest = longest
        self._rng = rng
        self._current = base

    def next(self, *, active: bool) -> float:
        """Return the pause after a poll; ``active`` when it brought traffic or somebody waits for an answer."""
        if self._longest is None or self._longest <= self.base:
            return self.base
        self._current = self.base if active else min(max(self._current, self.base) * 2, self._longest)
        return self._current * self._rng.uniform(1 - _JITTER, 1.0)


@dataclass(frozen=True, slots=True)
class SweepInterval:
    """The pause between sweeps: shorter while they find what the feed missed, longer once the feed has proved itself.

    Between a quarter and eight times ``base`` seconds.
    """

    base: float
    current: float

    @classmethod
    def starting_at(cls, base: float) -> SweepInterval:
        return cls(base, base)

    def after_sweep(self, *, missed: int, delivered: int) -> SweepInterval:
        """Return the interval after a sweep.

        Args:
            missed: Messages that the sweep found, older than the feed's ordinary lag.
            delivered: Messages that the feed brought by itself since the last sweep.
        """
        if missed:
            return replace(self, current=max(self.current / 2, self.base * _SHORTEST_SWEEP))
        if delivered:
            return replace(self, current=min(self.current * 1.5, self.base * _LONGEST_SWEEP))
        return self
