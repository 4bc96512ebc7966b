"""One budget of quota units for an account, shared by all of its processes on a machine.

A library for rate limits across processes would bring a server or an SQLite database, has no reserve, and knows no day
that ends at midnight Pacific time; what is needed is one small file under a lock.
"""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from syft_flwr.drive.budget_file import BudgetFile
from syft_flwr.errors import ConfigurationError, StateError
from syft_flwr.ports import Clock

WINDOW = 60
LEAST = 400
"""Units that a budget needs at least: a poll that lists, a body down, and an answer up."""
_RESERVE = 1 / 3
"""Share of a minute that polls and sweeps leave to sending and answering."""
_ROUNDING = 0.001
"""Units by which a level may be off for having been summed up in small parts."""
_GRACE = 5.0
"""Seconds for which a call that was told to wait keeps its place after it should have asked again."""
_SLACK = 120.0
"""Seconds by which two accounts of Drive's time may differ, for network and rounding."""
_MOST_ROWS = 50
_OTHERS = "others"
_KEPT_DAYS = 30
GOOGLE_PER_MINUTE = 325_000
"""Units that Google allows a user of a project in a minute."""
GOOGLE_PER_DAY = 400_000_000
"""Units a day for a whole project, beyond which charges or throttling begin. Both as of November 2026:
https://developers.google.com/workspace/drive/api/guides/limits"""

try:
    PACIFIC: ZoneInfo | timezone = ZoneInfo("America/Los_Angeles")
except ZoneInfoNotFoundError:  # no tz database: standard time, at worst an hour late
    PACIFIC = timezone(timedelta(hours=-8))


class Wait(NamedTuple):
    """For how many seconds a call must wait, and for what: 0 when it need not.

    ``"polls"`` stands for the share of a minute that polls and sweeps may have.
    """

    seconds: float
    reason: Literal["minute", "day", "polls"] = "minute"


class AccountBudget:
    """Counts units before they are spent, so that no minute and no day ever holds more than its limit.

    The file also tells by which methods and processes the units of the day were spent, and what the days before came to
    (:mod:`syft_flwr.drive.spending`).

    Thread-safe, and safe among processes: a file holds what was spent, second by second
    (:mod:`syft_flwr.drive.budget_file`). Minutes are counted on the system's monotonic clock, which all processes share
    and no correction of the time of day moves; the day is Drive's, which ends at midnight Pacific time
    (https://developers.google.com/workspace/drive/api/guides/limits). What Drive has told one process of the time, the
    others know until the next boot: the machine's own time of day decides nothing once Drive has answered.

    Calls that must wait take turns, across processes: who asks later takes no units that an earlier one waits for.
    Polls and sweeps (``resting`` calls) are spread evenly over two thirds of a minute's units, since the last third is
    kept for messages, and let messages go first; for a minute at most.

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
        self._ticket = uuid.uuid4().hex[:8]
        self._lock = threading.Lock()
        self._saved: Counter[str] = Counter()
        self._own: dict[str, Any] = {"limits": [per_minute, per_day]}
        self._file: BudgetFile | None = None
        if path is not None:
            try:
                self._file = BudgetFile(path)
                self._agree(per_minute, per_day)
            except OSError as error:
                raise StateError(f"can't open {path}: {error}") from error
            except (ConfigurationError, StateError):
                self.close()
                raise

    def reserve(self, units: int, *, resting: bool, clock: Clock, ahead: float | None, method: str = "") -> Wait:
        """Book units for a call that follows at once, or return after what time to ask again.

        Args:
            units: What the call costs.
            resting: Whether it is one that can wait: a poll or a sweep.
            clock: The machine's; read when it is this call's turn.
            ahead: What Drive's Unix time is ahead of the monotonic clock; ``None`` when Drive has not told yet.
            method: The call's, for the bill.

        Returns:
            No wait when the units are booked.
        """
        with self._state(clock, ahead) as (state, now, time):
            mine = f"{self._ticket}/{units}/{resting:d}"
            others = [place for place in state["queue"] if place[0] != mine]
            since = next((place[3] for place in state["queue"] if place[0] == mine), now)
            wait = self._delay(state, units, resting=resting, since=since, now=now, time=time, others=others)
            state["queue"] = others
            if wait.seconds > 0:
                if wait.reason != "day":  # else it may be in nobody's way
                    others.append([mine, units, resting, since, now + wait.seconds + _GRACE])
                return wait
            second = str(int(now))
            state["minute"][second] = state["minute"].get(second, 0) + units
            self._bill(state, units, method)
            for saving, saved in self._saved.items():
                state["saved"][saving] = state["saved"].get(saving, 0) + saved
            self._saved.clear()
            if resting:
                state["rest"][1] -= units
            return wait

    def give_back(self, units: int, *, clock: Clock, ahead: float | None, method: str = "") -> None:
        """Take a call that never came to Drive off the day's bill; its minute is over soon, and keeps it."""
        with self._state(clock, ahead) as (state, _, _):
            if units <= state["methods"].get(method, 0):  # else the day is another one by now
                self._bill(state, -units, method)

    def note_saving(self, saving: str, units: int) -> None:
        """Note units that were not needed, to be written down with the next call."""
        with self._lock:
            self._saved[saving] += units

    def delay(self, units: int, *, clock: Clock, ahead: float | None) -> Wait:
        """Return for how long a resting call of so many units would have to wait."""
        with self._state(clock, ahead) as (state, now, time):
            others = [place for place in state["queue"] if not place[0].startswith(self._ticket)]
            return self._delay(state, units, resting=True, since=now, now=now, time=time, others=others)

    def _bill(self, state: dict[str, Any], units: int, method: str) -> None:
        state["day"][1] += units
        for table, key in (("methods", method), ("by", self._who)):
            spent = state[table]
            row = key if key in spent or len(spent) < _MOST_ROWS else _OTHERS
            spent[row] = spent.get(row, 0) + units

    def close(self) -> None:
        """Close the file; idempotent."""
        with self._lock:
            if self._file is not None:
                self._file.close()
            self._file = None

    def limits(self) -> tuple[int | None, int | None]:
        """Return the units a minute and a day that the account's processes keep to."""
        with self._lock:
            per_minute, per_day = self._own["limits"]
            return per_minute, per_day

    def _agree(self, per_minute: int | None, per_day: int | None) -> None:
        """Set the limits, or keep to those of the account's other processes."""
        assert self._file is not None  # noqa: S101 - the caller has opened it
        with self._file.change() as state, self._file.joining() as alone:
            mine, theirs = [per_minute, per_day], state.get("limits", [None, None])
            for name, ours, other in zip(("a minute", "a day"), mine, theirs, strict=True):
                if not alone and ours is not None and other is not None and ours != other:
                    raise ConfigurationError(
                        f"this process is to keep to {ours:,} quota units {name}, but the account's other "
                        f"processes keep to {other:,}: give all of them the same limit, or this one none"
                    )
            state["limits"] = mine if alone else [other or ours for ours, other in zip(mine, theirs, strict=True)]
            self._own["limits"] = state["limits"]  # should the file be damaged

    def _delay(
        self,
        state: dict[str, Any],
        units: int,
        *,
        resting: bool,
        since: float,
        now: float,
        time: float,
        others: list[list[Any]],
    ) -> Wait:
        """Return when to ask again: when there is room for this call and for those in front of it."""
        per_minute, per_day = state["limits"]
        if per_day is not None and state["day"][1] + units > per_day:
            return Wait(_until_midnight(time), "day")
        order = _order(resting, since, now)
        first = [place for place in others if _order(place[2], place[3], now) < order]
        limit, delay = per_minute or GOOGLE_PER_MINUTE, 0.0
        excess = sum(state["minute"].values()) + units + sum(place[1] for place in first) - limit
        for second, spent in state["minute"].items() if excess > 0 else ():
            delay, excess = int(second) + 1 + WINDOW - now, excess - spent
            if excess <= 0:
                break
        if excess > 0:  # those in front take more than a minute's units
            delay = max(delay, _GRACE)
        if resting and per_minute is not None:
            wanted = units + sum(place[1] for place in first if place[2])
            missing = min(wanted, _rest_capacity(per_minute)) - state["rest"][1]
            if missing > _ROUNDING and (pause := missing / _rest_rate(per_minute)) > delay:
                return Wait(pause, "polls")
        return Wait(max(0.0, delay))

    @contextmanager
    def _state(self, clock: Clock, ahead: float | None) -> Iterator[tuple[dict[str, Any], float, float]]:
        """Lend what was spent, and the monotonic and Drive's time as of which, for a change."""
        with self._lock:
            if self._file is None:
                yield self._own, *self._bring_up_to_date(self._own, clock, ahead)
                return
            with self._file.change() as state:
                yield state, *self._bring_up_to_date(state, clock, ahead)
            self._own["limits"] = state["limits"]

    def _bring_up_to_date(self, state: dict[str, Any], clock: Clock, ahead: float | None) -> tuple[float, float]:
        """Forget what lies behind, and fill the level of resting calls; return the times, which never go back."""
        now = clock.monotonic()
        per_minute, per_day = state.setdefault("limits", list(self._own["limits"]))
        if damaged := state.pop("spent", False):
            state["minute"] = {str(int(now)): per_minute or 0}
        minute: dict[str, int] = state.get("minute", {})  # in the order of time, which never goes back
        while minute and int(oldest := next(iter(minute))) + 1 + WINDOW <= now:
            del minute[oldest]
        newest = int(next(reversed(minute), 0))
        known = state.get("ahead")
        if state.get("boot", boot_id()) == boot_id() and newest <= now + WINDOW:
            if known is None or (ahead is not None and ahead > known - _SLACK):
                known = ahead  # one that is far behind comes from before the machine slept
            now = max(now, float(newest))
        else:
            minute = {str(int(now)): sum(state["minute"].values())}  # another clock: as if spent just now
            known = ahead
            state |= {"rest": [now, 0.0], "queue": []}
        time = clock.time() if known is None else now + known
        today = pacific(time).date().isoformat()
        if damaged:
            state["day"] = [today, per_day or 0]
        since, level = state.get("rest", [now, _rest_capacity(per_minute)])
        level = min(_rest_capacity(per_minute), level + max(0.0, now - since) * _rest_rate(per_minute))
        state |= {
            "minute": minute,
            "day": self._day(state, today, is_sure=known is not None),
            "methods": state.get("methods", {}),
            "by": state.get("by", {}),
            "saved": state.get("saved", {}),
            "rest": [now, level],
            "ahead": known,
            "queue": [place for place in state.get("queue", []) if place[4] > now],
            "boot": boot_id(),
        }
        return now, time

    @staticmethod
    def _day(state: dict[str, Any], today: str, *, is_sure: bool) -> list[Any]:
        """Return the day and its units; begin a new one when it has come."""
        date, spent = state.get("day", [today, 0])
        days: dict[str, int] = state.get("days", {})
        if today > date:
            state |= {
                "methods": {},
                "by": {},
                "saved": {},
                "days": dict(sorted({**days, date: spent}.items())[-_KEPT_DAYS:]),
            }
            return [today, 0]
        if today < date and is_sure:  # a wrong clock had begun a day that has yet to come
            spent += sum(days.pop(day) for day in list(days) if day >= today)
            return [today, spent]
        return [date, spent]


def _order(resting: bool, since: float, now: float) -> tuple[bool, float]:
    """Return what sorts calls that wait: messages first, in the order of asking, and polls once they have waited."""
    return resting and now - since < WINDOW, since


def _rest_rate(per_minute: int | None) -> float:
    return (per_minute or 0) * (1 - _RESERVE) / WINDOW


def _rest_capacity(per_minute: int | None) -> float:
    return _rest_rate(per_minute) * WINDOW / 2


def pacific(time: float) -> datetime:
    """Return a Unix time as Drive's days count it."""
    return datetime.fromtimestamp(time, UTC).astimezone(PACIFIC)


def _until_midnight(time: float) -> float:
    """Return the seconds until Drive's next day begins."""
    here = pacific(time)
    midnight = (here + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return max(1.0, midnight.timestamp() - time)


@cache
def boot_id() -> str:
    """Return what tells this boot of the machine from others; ``""`` where there is no such thing."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
