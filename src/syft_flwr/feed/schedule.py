"""How long to pause between polls, and when to sweep: pure decisions. All times are seconds on one monotonic clock."""

from __future__ import annotations

import random
from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple

from syft_flwr.errors import DriveError, RateLimitedError

_JITTER = 0.1
_SHORTEST_PAUSE = 0.1
_LONGEST_PAUSE = 300.0
_SHORTEST_SWEEP = 0.25
_LONGEST_SWEEP = 24.0
_FULL_EVERY = 8
_MOST_POLLS = 30.0
"""Polls from one sweep to the next, where polls are far apart and sweeps find nothing."""
_DAY = 86_400.0
"""Seconds after which a sweep comes however few polls there were, and one that is full."""
_SECOND_LOOK = 10.0
"""Seconds after a fresh start token at which lists have caught up with what was written around it."""
_FREE_GLANCES = 8
"""Glances in a row that find nothing before they come more seldom."""
_WANTED = 15.0
"""Least pause between sweeps that are asked for."""


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


class SweepKind(Enum):
    """What a sweep looks at."""

    FULL = "full"
    """Every inbox folder, and folders never seen."""
    RECENT = "recent"
    """What was created since the last but one sweep."""
    GLANCE = "glance"
    """What was created since the last sweep, because an inbox is new and the feed has not proved itself there."""


class Pace(NamedTuple):
    """How sweeps follow each other: what a process leaves to the next one."""

    interval: float
    """Seconds from one to the next."""
    step: float = 0.5
    """Polls from one to the next, one at least."""
    polls: int = 0
    """Polls since the last one."""
    since_full: int = 0
    """Sweeps since the last full one, it included; 0 before there was any."""
    full_every: int = _FULL_EVERY
    """Sweeps from one full one to the next: as many as that needs lists, so that it costs what they do together."""


class SweepSchedule:
    """Decides on sweeps. Not thread-safe.

    The pause adapts: shorter while sweeps find what the feed missed, down to a quarter of ``base`` and to each poll;
    longer while they find nothing, up to twenty-four times of it and to thirty polls, but never more than a day.

    Args:
        base: Pause between sweeps to begin with.
        feed_tells_of_others: Where the feed was found not to, sweeps are the only way, and come every ``base`` seconds.
    """

    def __init__(self, base: float, *, feed_tells_of_others: bool = True) -> None:
        self._base = base
        self._longest, self._most_polls = (_LONGEST_SWEEP, _MOST_POLLS) if feed_tells_of_others else (1.0, 1.0)
        self.pace = Pace(base)
        self._last = float("-inf")
        self._next = 0.0
        self._full_next = True
        self._full_at = float("-inf")
        self._second_look: float | None = None
        self._failures = 0
        self._not_before = float("-inf")
        self._known_roots: set[str] = set()
        self._unproven: dict[str, tuple[float, float]] = {}
        self._glance_not_before = float("-inf")
        self._glances = 0

    def begin(self, now: float, last: float, pace: Pace | None = None, roots: Iterable[str] = ()) -> None:
        """Take up the sweeps of earlier processes, the last of which began ``last`` seconds from now (negative).

        Inbox roots that they knew are not looked at again.
        """
        self._known_roots |= set(roots)
        self._full_at = now
        if pace is not None:
            self.pace, self._full_next = pace, not 0 < pace.since_full < pace.full_every
        longest = self._base * self._longest
        if pace is not None and pace.step > 1.0:  # the last ones missed nothing
            self.pace = pace._replace(interval=longest, step=min(pace.step, self._most_polls))
        self._last = now + last
        self._next = now + max(0.0, (self.pace.interval if pace else longest) + last)
        if self._second_look is not None:
            self.token_restarted(now)

    def polled(self) -> None:
        """Count a poll."""
        self.pace = self.pace._replace(polls=self.pace.polls + 1)

    def token_restarted(self, now: float) -> None:
        """Ask for a full sweep at once and another look shortly, since the feed has a gap before the new token."""
        self._next = now
        self.pace = self.pace._replace(step=0.5)
        self._full_next = True
        self._second_look = now + _SECOND_LOOK

    def look_everywhere(self) -> None:
        """Let the next sweep be a full one: something was passed over, in a folder of another name for one."""
        self._full_next = True

    def roots_seen(self, roots: Iterable[str], now: float) -> None:
        """Note the inbox roots that exist.

        One never seen before is looked at after 1, 2, 4 … seconds, until the feed delivers from it.
        """
        fresh = set(roots) - self._known_roots
        self._known_roots |= fresh
        if self.pace.since_full or not self._full_next:
            self._unproven |= dict.fromkeys(fresh, (now + 1.0, 1.0))

    def delivered(self, root: str) -> None:
        """Note that the feed brought a message from an inbox root."""
        self._unproven.pop(root, None)
        self._glances = 0

    @property
    def awaits_proof(self) -> bool:
        """Whether there are inboxes from which the feed has not delivered yet."""
        return bool(self._unproven)

    def is_paused(self, now: float) -> bool:
        """Tell whether one has failed so lately that nothing is to be listed yet."""
        return now < self._not_before

    def due(self, now: float, *, wanted: bool = False) -> SweepKind | None:
        """Tell which sweep is due. ``wanted`` asks for one soon."""
        self._full_next |= now >= self._full_at + _DAY
        waits_for_polls = self.pace.polls < self.pace.step and now < self._last + _DAY
        if (now >= self._next and not waits_for_polls) or (wanted and now >= self._last + _WANTED):
            return SweepKind.FULL if self._full_next else SweepKind.RECENT
        if self._second_look is not None and now >= self._second_look:
            return SweepKind.RECENT
        if now >= self._glance_not_before and any(at <= now for at, _ in self._unproven.values()):
            return SweepKind.GLANCE
        return None

    def swept(self, kind: SweepKind, now: float, *, missed: int, full_lists: int = 1) -> None:
        """Note a sweep that ended.

        Args:
            kind: Which one it was.
            now: The time.
            missed: Messages it found that the feed should have brought by then.
            full_lists: How many lists a full one would take now.
        """
        self._failures = 0
        if kind is SweepKind.GLANCE:
            self._glances = 0 if missed else self._glances + 1
            # Each stranger can make new inboxes without end: looks that find nothing come ever more seldom.
            self._glance_not_before = now + pause_after(max(1, self._glances - _FREE_GLANCES), longest=self._base)
            if missed:
                self._quicken()
        else:
            self._second_look = None if now >= (self._second_look or now) else self._second_look
            since_full = 1 if kind is SweepKind.FULL else self.pace.since_full + 1
            self._full_at = now if kind is SweepKind.FULL else self._full_at
            full_every = max(_FULL_EVERY, full_lists)
            self._full_next = since_full >= full_every
            self._last = now
            self.pace = self.pace._replace(polls=0, since_full=since_full, full_every=full_every)
            if missed:
                self._quicken()
            else:
                longer = min(self.pace.interval * 1.5, self._base * self._longest)
                self.pace = self.pace._replace(interval=longer, step=min(self.pace.step * 2, self._most_polls))
            self._next = now + self.pace.interval
        self._unproven = {
            root: (at, delay) if at > now else (now + delay * 2, delay * 2)
            for root, (at, delay) in self._unproven.items()
            if at > now or delay * 2 < self.pace.interval
        }

    def failed(self, now: float, error: BaseException) -> None:
        """Note a sweep that failed; the next attempt comes after a growing pause."""
        self._failures += 1
        self._not_before = now + pause_after(self._failures, error)

    def _quicken(self) -> None:
        shorter = max(self.pace.interval / 2, self._base * _SHORTEST_SWEEP)
        self.pace = self.pace._replace(interval=shorter, step=0.5)
        self._next = min(self._next, self._last + shorter)


def growing_pause(waited: float) -> float:
    """Return the seconds between looks for what has been awaited for so many: what comes soon is seen soon."""
    return max(waited / 4, _SHORTEST_PAUSE)


def pause_after(failures: int, error: BaseException | None = None, *, longest: float = _LONGEST_PAUSE) -> float:
    """Return the seconds to wait after so many failures: 1, 2, 4 … up to the ``longest``, or as long as Drive asks.

    The gateway has retried already what a moment's patience mends; here are a full account, a refused share, an
    outage. For a budget that is spent it is the time after which there is room: who comes later loses the turn.
    """
    asked = error.retry_after if isinstance(error, DriveError) else None
    if asked is not None and isinstance(error, RateLimitedError) and error.reason == "budget":
        return asked
    return max(min(2.0 ** min(failures - 1, 30), longest), asked or 0.0)
