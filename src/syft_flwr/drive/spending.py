"""What an account has spent: read from its budget file, by any process, without a call to Drive."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from syft_flwr.clock import SystemClock
from syft_flwr.drive.budget import GOOGLE_PER_DAY, GOOGLE_PER_MINUTE, WINDOW, boot_id, pacific
from syft_flwr.drive.budget_file import read_budget
from syft_flwr.ports import Clock

_PURPOSES: Mapping[str, str] = {
    "changes.getStartPageToken": "at rest",
    "changes.list": "at rest",
    "files.list": "at rest",
    "files.get": "receiving",
    "files.get_media": "receiving",
    "files.delete": "cleaning up",
}
"""What a method is called for; those that are not here send."""


@dataclass(frozen=True, slots=True)
class Spending:
    """Quota units of one account, those of all its processes on this machine together.

    Attributes:
        minute: Units of the last 60 seconds.
        today: Units since the day began, which is at midnight Pacific time.
        until_midnight: Units that today will have come to at the pace of the day so far.
        per_minute: The account's limit, or Google's for a user of a project.
        per_day: The account's limit, if there is one.
        methods: Units of today by method.
        purposes: The same by what they were spent on.
        processes: The same by process.
        days: Units of earlier days, by date (ISO 8601).
        savings: Units of today that peeks, inlined bodies and kept objects made needless.
        google_per_day: Units a day from which on Google throttles or charges a whole project.
    """

    minute: int
    today: int
    until_midnight: int
    per_minute: int
    per_day: int | None
    methods: Mapping[str, int]
    purposes: Mapping[str, int]
    processes: Mapping[str, int]
    days: Mapping[str, int]
    savings: Mapping[str, int]
    google_per_day: int = GOOGLE_PER_DAY

    def to_json(self) -> dict[str, Any]:
        """Return plain dicts and numbers, for ``json.dumps``."""
        return asdict(self)


def read_spending(path: Path, clock: Clock | None = None) -> Spending:
    """Read a budget file; one that is not there yet tells of nothing.

    Args:
        path: The file.
        clock: The one that its writers keep; by default the machine's.

    Raises:
        StateError: It can't be read, or is damaged.
    """
    clock = SystemClock() if clock is None else clock
    state = read_budget(path)
    now, is_this_boot = clock.monotonic(), state.get("boot") == boot_id()
    ahead = state.get("ahead") if is_this_boot else None
    here = pacific(clock.time() if ahead is None else now + ahead)
    date, spent = state.get("day", [here.date().isoformat(), 0])
    is_today = date == here.date().isoformat()
    methods = state.get("methods", {}) if is_today else {}
    purposes = Counter[str]()
    for method, units in methods.items():
        purposes[_PURPOSES.get(method, "sending")] += units
    minute = sum(u for second, u in state.get("minute", {}).items() if is_this_boot and int(second) > now - WINDOW)
    begun = here - here.replace(hour=0, minute=0, second=0, microsecond=0)
    per_minute, per_day = state.get("limits", [None, None])
    return Spending(
        minute=minute,
        today=spent if is_today else 0,
        until_midnight=round((spent if is_today else 0) * (timedelta(days=1) / max(begun, timedelta(minutes=1)))),
        per_minute=per_minute or GOOGLE_PER_MINUTE,
        per_day=per_day,
        methods=methods,
        purposes=dict(purposes),
        processes=state.get("by", {}) if is_today else {},
        days=state.get("days", {}) | ({} if is_today else {date: spent}),
        savings=state.get("saved", {}) if is_today else {},
    )
