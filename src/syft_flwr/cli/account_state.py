"""What an account's state directory tells, without a call to Drive."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from syft_flwr.drive.budget_file import read_budget
from syft_flwr.errors import StateError
from syft_flwr.ports import JSON, Transaction
from syft_flwr.state.events import KEPT, Happened, read_after
from syft_flwr.state.holders import at_work
from syft_flwr.state.store import DiskStore

_LATELY = 3_600.0
"""Seconds of the event log that are counted."""


@dataclass(frozen=True, slots=True)
class AccountState:
    """The state of an account on this machine. Times are Unix seconds; ``None`` stands for never, or for none.

    Attributes:
        processes: How many processes have it open now.
        cursor_at: When the page token was stored last.
        swept_at: When the last sweep began.
        swept_found: Message files that it brought, which the feed had not.
        handled_at: When a request was handled last.
        handled_lag: Seconds from its creation until its handler began.
        pending: Requests that wait for a handler, or are being handled.
        spooled: Answers that wait for their upload.
        oldest_pending_at: When the oldest of both was seen first.
        awaited: Requests of our own that have no answer.
        answered: Answers that nobody has taken.
        oldest_awaited_at: When the oldest request without an answer was sent.
        lately: What its processes did in the last hour, as far as the event log reaches: how many of each kind.
        last_event_at: When they did something last.
        budget_day: The day, Pacific time, of ``budget_units``.
        budget_units: What was spent that day, if the account has a budget.
    """

    processes: int = 0
    cursor_at: float | None = None
    swept_at: float | None = None
    swept_found: int | None = None
    handled_at: float | None = None
    handled_lag: float | None = None
    pending: int = 0
    spooled: int = 0
    oldest_pending_at: float | None = None
    awaited: int = 0
    answered: int = 0
    oldest_awaited_at: float | None = None
    lately: dict[str, int] = field(default_factory=dict)
    last_event_at: float | None = None
    budget_day: str | None = None
    budget_units: int | None = None


def read_state(directory: Path) -> AccountState:
    """Read an account's state directory, also while processes use it; of one that is not there, nothing.

    Raises:
        StateError: It can't be read.
    """
    if not (directory / "ledger").is_dir():
        return AccountState()
    with closing(DiskStore(directory / "ledger")) as store:
        single, work, futures, events = store.transact(_rows)
    cursor, swept = single["cursor"], single["swept"]
    handled = next((event for event in reversed(events) if event.what == "handled"), None)
    waiting = [row for row in futures if row["response"] is None]
    day, units = _budget(directory / "budget")
    return AccountState(
        processes=at_work(directory),
        cursor_at=None if cursor is None else cursor["obtained_at"],
        swept_at=swept or None,
        swept_found=single["swept_found"],
        handled_at=None if handled is None else handled.at,
        handled_lag=None if handled is None else handled.fields["lag"],
        pending=sum("reply" not in row for row in work),
        spooled=sum("reply" in row for row in work),
        oldest_pending_at=min((row["seen_at"] for row in work), default=None),
        awaited=len(waiting),
        answered=len(futures) - len(waiting),
        oldest_awaited_at=min((row["sent_at"] for row in waiting), default=None),
        lately=dict(Counter(event.what for event in events if event.at >= time.time() - _LATELY)),
        last_event_at=events[-1].at if events else None,
        budget_day=day,
        budget_units=units,
    )


def _rows(tx: Transaction) -> tuple[dict[str, JSON], list[JSON], list[JSON], list[Happened]]:
    work, futures = ([row for _, row in tx.scan(prefix)] for prefix in ("work/", "future/"))
    single = {key: tx.get(key) for key in ("cursor", "swept", "swept_found")}
    return single, work, futures, list(read_after(tx, 0, limit=KEPT))


def _budget(path: Path) -> tuple[str | None, int | None]:
    try:
        day, units = read_budget(path).get("day", (None, None))
    except StateError:
        return None, None
    return day, units


def age(since: float | None) -> float | None:
    """Return the seconds since a time, never less than none."""
    return None if since is None else max(0.0, time.time() - since)
