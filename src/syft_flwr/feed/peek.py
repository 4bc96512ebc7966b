"""Whether a poll must list the feed: asking for the start token costs a twentieth, and mostly says that nothing is new.

An account's start token moves only when its feed does. Nothing depends on that: lists are due by time as well, and a
Drive whose token denies what a list shows, or cries wolf, is not asked any more for a day.
"""

from __future__ import annotations

import logging

_log = logging.getLogger(__name__)

LIST_EVERY = 600.0
"""Seconds after which a poll lists whatever the start token says."""
_APART = 60.0
"""Seconds between polls above which they are too seldom for that; then so many of them may be content to peek:"""
_POLLS = 30
_DAY = 86_400.0
_LAG = 30.0
"""Seconds by which an entry may ordinarily trail the time that it bears."""
_WOLVES = 10
_DENIALS = 2
_DISTRUST = _DAY


class Peek:
    """Decides for one account; pure but for the log. Times are monotonic seconds unless said otherwise.

    Args:
        name: The account, for the log.
        distrusted_until: Unix time in seconds before which peeking stays off, from an earlier run.
        listed_at: When an earlier run listed last.
        polls: How many polls there were since.
        tells: Whether the start token was not found to move of itself, or late.
        delay: Seconds by which the feed was found to trail.
    """

    def __init__(
        self,
        name: str,
        distrusted_until: float = 0.0,
        listed_at: float = float("-inf"),
        polls: int = 0,
        *,
        tells: bool = True,
        delay: float = 0.0,
    ) -> None:
        self._name = name
        self._tells = tells
        self._lag = max(_LAG, 2 * delay)
        self.polls = polls
        """Polls since the last one that listed."""
        self.distrusted_until = distrusted_until
        """Unix time in seconds; to be kept for the next run."""
        self.listed_at = listed_at
        self._denied_at = 0.0
        """Drive's time at which the token last denied that there was anything new."""
        self._wolves = 0
        self._denials = 0

    def is_enough(self, now: float, drive_time: float) -> bool:
        """Tell whether the start token may decide if a list is needed."""
        since = now - self.listed_at
        seldom = since > _APART * (self.polls + 1) and self.polls < _POLLS and since < _DAY
        may_wait = since < LIST_EVERY or seldom
        return self._tells and may_wait and drive_time >= self.distrusted_until

    def denies(self, ours: str, start_token: str, drive_time: float) -> bool:
        """Take the start token; tell whether it says that nothing is new."""
        if start_token != ours:
            return False
        self._denied_at = drive_time
        self.polls += 1
        return True

    def listed(self, now: float, drive_time: float, times: list[float], *, asked: bool) -> bool:
        """Take what a list came to; return whether trust in the start token has just ended.

        Args:
            now: When it ended.
            drive_time: The same on Drive's clock.
            times: When (Unix seconds) the changes were made that it brought, where Drive tells.
            asked: Whether the start token had announced something.
        """
        self.listed_at, self.polls = now, 0
        self._wolves = self._wolves + 1 if asked and not times else 0
        if any(time < self._denied_at - self._lag for time in times):
            self._denials += 1
        if self._wolves < _WOLVES and self._denials < _DENIALS:
            return False
        fault = "announces changes that there are not" if self._wolves >= _WOLVES else "denies changes that there are"
        _log.warning("%s: Drive's start token %s; polls list the feed each time for a day", self._name, fault)
        self._wolves = self._denials = 0
        self.distrusted_until = drive_time + _DISTRUST
        return True
