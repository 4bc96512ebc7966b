"""One budget of quota units for an account, shared by all of its processes on a machine.

A library for rate limits across processes would bring a server or an SQLite database, has no reserve, and knows no day
that ends at midnight Pacific time; what is needed is one small file under a lock.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from syft_flwr.errors import ConfigurationError, StateError

_log = logging.getLogger(__name__)

WINDOW = 60
LEAST = 400
"""Units that a budget needs at least: a poll that lists, a body down, and an answer up."""
_RESERVE = 1 / 3
"""Share of a minute that polls and sweeps leave to sending and answering."""
_ROUNDING = 0.001
"""Units by which a level may be off for having been summed up in small parts."""
_MOST_BYTES = 64 * 1024

try:
    _PACIFIC: ZoneInfo | timezone = ZoneInfo("America/Los_Angeles")
except ZoneInfoNotFoundError:  # no tz database: standard time, at worst an hour late
    _PACIFIC = timezone(timedelta(hours=-8))


class AccountBudget:
    """Counts units before they are spent, so that no minute and no day ever holds more than its limit.

    Thread-safe, and safe among processes: a file under an flock holds what was spent, second by second. It is not
    synced, since a power cut takes longer than the minute; a process that is killed leaves it whole. Minutes are
    counted on the system's monotonic clock, which all processes share and no correction of the time of day moves; the
    day is Drive's, which ends at midnight Pacific time
    (https://developers.google.com/workspace/drive/api/guides/limits).

    Polls and sweeps (``resting`` calls) are spread evenly over two thirds of a minute's units; the last third is kept
    for messages.

    Args:
        per_minute: Units in any 60 seconds.
        per_day: Units a day.
        path: The file; without it the budget is this object's own.

    Raises:
        ConfigurationError: A limit is too low for anything to work.
        StateError: The file can't be opened.
    """

    def __init__(self, *, per_minute: int | None = None, per_day: int | None = None, path: Path | None = None) -> None:
        for name, limit in (("quota_units_per_minute", per_minute), ("quota_units_per_day", per_day)):
            if limit is not None and limit < LEAST:
                raise ConfigurationError(
                    f"{name} must be at least {LEAST}, what one poll and one answer cost; it is {limit}"
                )
        self.per_minute = per_minute
        self.per_day = per_day
        self._lock = threading.Lock()
        self._path = path
        self._own: dict[str, Any] = {}
        self._file: int | None = None
        if path is not None:
            try:
                self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise StateError(f"can't open {path}: {error}") from error

    def reserve(self, units: int, *, resting: bool, clock: Callable[[], float], drive_time: float) -> float:
        """Book units for a call that follows at once, or return the seconds after which to ask again.

        Args:
            units: What the call costs.
            resting: Whether it is one that can wait: a poll or a sweep.
            clock: Returns the monotonic time; read when it is this call's turn.
            drive_time: Drive's clock, Unix seconds.

        Returns:
            0 when the units are booked.
        """
        with self._state(clock, drive_time) as (state, now):
            delay = self._delay(state, units, resting=resting, now=now, drive_time=drive_time)
            if delay == 0:
                second = str(int(now))
                state["minute"][second] = state["minute"].get(second, 0) + units
                state["day"][1] += units
                if resting:
                    state["rest"][1] -= units
            return delay

    def delay(self, units: int, *, clock: Callable[[], float], drive_time: float) -> float:
        """Return the seconds that a resting call of so many units would have to wait."""
        with self._state(clock, drive_time) as (state, now):
            return self._delay(state, units, resting=True, now=now, drive_time=drive_time)

    def close(self) -> None:
        """Close the file; idempotent."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file, self._path = None, None

    def _delay(self, state: dict[str, Any], units: int, *, resting: bool, now: float, drive_time: float) -> float:
        if self.per_day is not None and state["day"][1] + units > self.per_day:
            return _until_midnight(drive_time)
        if self.per_minute is None:
            return 0.0
        delay = 0.0
        excess = sum(state["minute"].values()) + units - self.per_minute
        for second, spent in sorted((int(second), spent) for second, spent in state["minute"].items()):
            if excess <= 0:
                break
            delay, excess = second + 1 + WINDOW - now, excess - spent
        if resting:
            missing = min(units, self._rest_capacity()) - state["rest"][1]
            if missing > _ROUNDING:
                delay = max(delay, missing / self._rest_rate())
        return max(0.0, delay)

    def _rest_rate(self) -> float:
        return (self.per_minute or 0) * (1 - _RESERVE) / WINDOW

    def _rest_capacity(self) -> float:
        return self._rest_rate() * WINDOW / 2

    @contextmanager
    def _state(self, clock: Callable[[], float], drive_time: float) -> Iterator[tuple[dict[str, Any], float]]:
        """Lend what was spent, and the time as of which, for a change."""
        with self._lock:
            if self._file is None:
                yield self._own, self._bring_up_to_date(self._own, clock(), drive_time)
                return
            fcntl.flock(self._file, fcntl.LOCK_EX)
            try:
                state = self._read()
                yield state, self._bring_up_to_date(state, clock(), drive_time)
                content = json.dumps(state, separators=(",", ":")).encode()
                os.pwrite(self._file, content, 0)
                os.ftruncate(self._file, len(content))
            except OSError as error:
                raise StateError(f"can't keep the budget in {self._path}: {error}") from error
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)

    def _read(self) -> dict[str, Any]:
        assert self._file is not None  # noqa: S101 - the caller has looked
        text = os.pread(self._file, _MOST_BYTES, 0).decode(errors="replace")
        if not text:
            return {}
        try:
            # What is behind the object is the rest of a longer one, of a process that was killed.
            state, _ = json.JSONDecoder().raw_decode(text)
            float(sum(state["minute"].values()) + state["day"][1] + sum(state["rest"]))
            [int(second) for second in state["minute"]], str(state["day"][0])
        except (ValueError, LookupError, TypeError, AttributeError):
            _log.warning("the budget in %s is damaged: all of it counts as spent", self._path)
            return {"spent": True}
        return dict(state)

    def _bring_up_to_date(self, state: dict[str, Any], now: float, drive_time: float) -> float:
        """Forget what lies behind, and fill the level of resting calls; return the time, which never goes back."""
        today = datetime.fromtimestamp(drive_time, UTC).astimezone(_PACIFIC).date().isoformat()
        if state.pop("spent", False):
            state |= {"minute": {str(int(now)): self.per_minute or 0}, "day": [today, self.per_day or 0]}
        minute = {second: spent for second, spent in state.get("minute", {}).items() if int(second) + 1 + WINDOW > now}
        newest = max((int(second) for second in minute), default=0)
        if state.get("boot", _boot_id()) == _boot_id() and newest <= now + WINDOW:
            now = max(now, float(newest))
        else:
            minute = {str(int(now)): sum(state["minute"].values())}  # another clock: as if spent just now
            state["rest"] = [now, 0.0]
        since, level = state.get("rest", [now, self._rest_capacity()])
        level = min(self._rest_capacity(), level + max(0.0, now - since) * self._rest_rate())
        day = state.get("day", [today, 0])
        state |= {
            "minute": minute,
            "day": [today, 0] if today > day[0] else day,
            "rest": [now, level],
            "boot": _boot_id(),
        }
        return now


def _until_midnight(drive_time: float) -> float:
    """Return the seconds until Drive's next day begins."""
    here = datetime.fromtimestamp(drive_time, UTC).astimezone(_PACIFIC)
    midnight = (here + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return max(1.0, midnight.timestamp() - drive_time)


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
