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
_MOST_ROWS = 50
_OTHERS = "others"
_KEPT_DAYS = 30
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
GOOGLE_PER_MINUTE = 325_000
"""Units that Google allows a user of a project in a minute."""
GOOGLE_PER_DAY = 400_000_000
"""Units a day for a whole project, beyond which charges or throttling begin. Both as of November 2026:
https://developers.google.com/workspace/drive/api/guides/limits"""

try:
    PACIFIC: ZoneInfo | timezone = ZoneInfo("America/Los_Angeles")
except ZoneInfoNotFoundError:  # no tz database: standard time, at worst an hour late
    PACIFIC = timezone(timedelta(hours=-8))


class AccountBudget:
    """Counts units before they are spent, so that no minute and no day ever holds more than its limit.

    The file also tells by which methods and processes the units of the day were spent, and what the days before came to
    (:mod:`syft_flwr.drive.spending`).

    Thread-safe, and safe among processes: a file under an flock holds what was spent, second by second. It is not
    synced, since a power cut takes longer than the minute; a process that is killed leaves it whole. Minutes are
    counted on the system's monotonic clock, which all processes share and no correction of the time of day moves; the
    day is Drive's, which ends at midnight Pacific time
    (https://developers.google.com/workspace/drive/api/guides/limits).

    Polls and sweeps (``resting`` calls) are spread evenly over two thirds of a minute's units; the last third is kept
    for messages.

    The limits stand in the file, too: those of the process that used the account first, as long as any uses it. A
    process that gives none keeps to them. Without any, Google's own for a user and a minute is the limit.

    Args:
        per_minute: Units in any 60 seconds.
        per_day: Units a day.
        path: The file; without it the budget is this object's own.
        who: This process's name in the file.

    Raises:
        ConfigurationError: A limit is too low for anything to work, or another one than the account's other processes
            keep to.
        StateError: The file can't be opened.
    """

    def __init__(
        self, *, per_minute: int | None = None, per_day: int | None = None, path: Path | None = None, who: str = ""
    ) -> None:
        for name, limit in (("quota_units_per_minute", per_minute), ("quota_units_per_day", per_day)):
            if limit is not None and limit < LEAST:
                raise ConfigurationError(
                    f"{name} must be at least {LEAST}, what one poll and one answer cost; it is {limit}"
                )
        self._who = who
        self._lock = threading.Lock()
        self._path = path
        self._own: dict[str, Any] = {"limits": [per_minute, per_day]}
        self._file: int | None = None
        self._users: int | None = None
        """Open, under a shared flock, as long as this process uses the account."""
        if path is not None:
            try:
                self._file = os.open(path, _FLAGS, 0o600)
                self._users = os.open(path.with_name(f"{path.name}.users"), _FLAGS, 0o600)
                self._agree(per_minute, per_day)
            except OSError as error:
                self.close()
                raise StateError(f"can't open {path}: {error}") from error
            except ConfigurationError:
                self.close()
                raise

    def reserve(
        self, units: int, *, resting: bool, clock: Callable[[], float], drive_time: float, method: str = ""
    ) -> float:
        """Book units for a call that follows at once, or return the seconds after which to ask again.

        Args:
            units: What the call costs.
            resting: Whether it is one that can wait: a poll or a sweep.
            clock: Returns the monotonic time; read when it is this call's turn.
            drive_time: Drive's clock, Unix seconds.
            method: The call's, for the bill.

        Returns:
            0 when the units are booked.
        """
        with self._state(clock, drive_time) as (state, now):
            delay = self._delay(state, units, resting=resting, now=now, drive_time=drive_time)
            if delay == 0:
                second = str(int(now))
                state["minute"][second] = state["minute"].get(second, 0) + units
                state["day"][1] += units
                for table, key in (("methods", method), ("by", self._who)):
                    spent = state[table]
                    row = key if key in spent or len(spent) < _MOST_ROWS else _OTHERS
                    spent[row] = spent.get(row, 0) + units
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
            for file in (self._file, self._users):
                if file is not None:
                    os.close(file)
            self._file = self._users = self._path = None

    def limits(self) -> tuple[int | None, int | None]:
        """Return the units a minute and a day that the account's processes keep to."""
        with self._lock:
            per_minute, per_day = (self._own if self._file is None else self._read()).get("limits", (None, None))
            return per_minute, per_day

    def _agree(self, per_minute: int | None, per_day: int | None) -> None:
        """Set the limits, or keep to those of the account's other processes."""
        assert self._file is not None and self._users is not None  # noqa: S101, PT018 - the caller has opened them
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            state = self._read()
            theirs = state.get("limits", [None, None])
            try:
                fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                state["limits"] = [per_minute, per_day]
            except BlockingIOError:  # others use the account
                mine = [per_minute, per_day]
                for name, ours, other in zip(("a minute", "a day"), mine, theirs, strict=True):
                    if ours is not None and other is not None and ours != other:
                        raise ConfigurationError(
                            f"this process is to keep to {ours:,} quota units {name}, but the account's other "
                            f"processes keep to {other:,}: give all of them the same limit, or this one none"
                        ) from None
                state["limits"] = [other or ours for ours, other in zip(mine, theirs, strict=True)]
            fcntl.flock(self._users, fcntl.LOCK_SH)
            self._own["limits"] = state["limits"]  # should the file be damaged
            self._write(state)
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def _delay(self, state: dict[str, Any], units: int, *, resting: bool, now: float, drive_time: float) -> float:
        per_minute, per_day = state["limits"]
        if per_day is not None and state["day"][1] + units > per_day:
            return _until_midnight(drive_time)
        delay = 0.0
        excess = sum(state["minute"].values()) + units - (per_minute or GOOGLE_PER_MINUTE)
        for second, spent in sorted((int(second), spent) for second, spent in state["minute"].items()):
            if excess <= 0:
                break
            delay, excess = second + 1 + WINDOW - now, excess - spent
        if resting and per_minute is not None:
            missing = min(units, _rest_capacity(per_minute)) - state["rest"][1]
            if missing > _ROUNDING:
                delay = max(delay, missing / _rest_rate(per_minute))
        return max(0.0, delay)

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
                self._write(state)
            except OSError as error:
                raise StateError(f"can't keep the budget in {self._path}: {error}") from error
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)

    def _write(self, state: dict[str, Any]) -> None:
        assert self._file is not None  # noqa: S101 - the caller has looked
        content = json.dumps(state, separators=(",", ":")).encode()
        os.pwrite(self._file, content, 0)
        os.ftruncate(self._file, len(content))

    def _read(self) -> dict[str, Any]:
        assert self._file is not None  # noqa: S101 - the caller has looked
        text = os.pread(self._file, _MOST_BYTES, 0).decode(errors="replace")
        if not text:
            return {}
        try:
            # What is behind the object is the rest of a longer one, of a process that was killed.
            state, _ = json.JSONDecoder().raw_decode(text)
            if "day" in state:  # else nobody has spent anything yet
                numbers = [*state["minute"].values(), *state["rest"], state["day"][1]]
                tables = [state.get(table, {}) for table in ("methods", "by", "days")]
                float(sum(numbers) + sum(number for table in tables for number in table.values()))
                [int(second) for second in state["minute"]], str(state["day"][0])
            [None if limit is None else int(limit) for limit in _two(state.get("limits", [None, None]))]
        except (ValueError, LookupError, TypeError, AttributeError):
            _log.warning("the budget in %s is damaged: all of it counts as spent", self._path)
            return {"spent": True}
        return dict(state)

    def _bring_up_to_date(self, state: dict[str, Any], now: float, drive_time: float) -> float:
        """Forget what lies behind, and fill the level of resting calls; return the time, which never goes back."""
        today = datetime.fromtimestamp(drive_time, UTC).astimezone(PACIFIC).date().isoformat()
        per_minute, per_day = state.setdefault("limits", list(self._own["limits"]))
        if state.pop("spent", False):
            state |= {"minute": {str(int(now)): per_minute or 0}, "day": [today, per_day or 0]}
        minute = {second: spent for second, spent in state.get("minute", {}).items() if int(second) + 1 + WINDOW > now}
        newest = max((int(second) for second in minute), default=0)
        if state.get("boot", boot_id()) == boot_id() and newest <= now + WINDOW:
            now = max(now, float(newest))
        else:
            minute = {str(int(now)): sum(state["minute"].values())}  # another clock: as if spent just now
            state["rest"] = [now, 0.0]
        since, level = state.get("rest", [now, _rest_capacity(per_minute)])
        level = min(_rest_capacity(per_minute), level + max(0.0, now - since) * _rest_rate(per_minute))
        day = state.get("day", [today, 0])
        if today > day[0]:
            days = {**state.get("days", {}), day[0]: day[1]}
            state |= {"methods": {}, "by": {}, "days": dict(sorted(days.items())[-_KEPT_DAYS:])}
            day = [today, 0]
        state |= {
            "minute": minute,
            "day": day,
            "methods": state.get("methods", {}),
            "by": state.get("by", {}),
            "rest": [now, level],
            "boot": boot_id(),
        }
        return now


def _rest_rate(per_minute: int | None) -> float:
    return (per_minute or 0) * (1 - _RESERVE) / WINDOW


def _rest_capacity(per_minute: int | None) -> float:
    return _rest_rate(per_minute) * WINDOW / 2


def _two(limits: list[Any]) -> tuple[Any, Any]:
    one, other = limits
    return one, other


def _until_midnight(drive_time: float) -> float:
    """Return the seconds until Drive's next day begins."""
    here = datetime.fromtimestamp(drive_time, UTC).astimezone(PACIFIC)
    midnight = (here + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return max(1.0, midnight.timestamp() - drive_time)


def boot_id() -> str:
    """Return what tells this boot of the machine from others; ``""`` where there is no such thing."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
