"""``syft-flwr status``: how an account stands on this machine, without a call to Drive."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from syft_flwr.cli.options import EmailOption
from syft_flwr.cli.output import count, duration, say

if TYPE_CHECKING:
    from syft_flwr.cli.account import Account
    from syft_flwr.cli.account_state import AccountState
    from syft_flwr.drive.spending import Spending


def status(
    email: EmailOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object on stdout; times are Unix seconds.")] = False,
) -> None:
    """Tell how an account stands: what it has read, what waits, what it may spend. Drive is not asked."""
    from syft_flwr.cli.account import account_of
    from syft_flwr.cli.account_state import read_state
    from syft_flwr.drive.spending import read_spending

    account = account_of(email)
    state = read_state(account.directory)
    spending = read_spending(account.directory / "budget")
    settings = account.settings
    if as_json:
        told = {"email": account.email, "drive": account.endpoint.url, "directory": str(account.directory)}
        limits = {
            "poll_interval": settings.poll_interval,
            "quota_units_per_minute": settings.quota_units_per_minute,
            "quota_units_per_day": settings.quota_units_per_day,
        }
        typer.echo(json.dumps({**told, **asdict(state), **limits, "spending": spending.to_json()}))
        return
    say(f"{account.email} on {account.endpoint.url}")
    for name, words in [*lines(account, state, time.time()), *_pace(spending)]:
        say(f"  {name:<12}{words}", indent=14)


def lines(account: Account, state: AccountState, now: float) -> list[tuple[str, str]]:
    """Return names and words of what there is to tell."""
    from syft_flwr.drive.habits import Habits

    settings = account.settings
    limits = [
        f"{limit:,} a {period}"
        for limit, period in ((settings.quota_units_per_minute, "minute"), (settings.quota_units_per_day, "day"))
        if limit is not None
    ]
    spent = "nothing is counted" if state.budget_units is None else f"{state.budget_units:,} on {state.budget_day}"
    return [
        ("state", f"{account.directory}, open in {count(state.processes, 'process')}"),
        ("feed", _since(state.cursor_at, now, "page token stored", "no page token yet")),
        ("sweep", _since(state.swept_at, now, "the last one began", "none yet") + _found(state.swept_found)),
        ("handled", _handled(state, now)),
        ("polls", f"every {settings.poll_interval:g} s while messages flow, unless a process was told otherwise"),
        ("waiting", f"{count(state.pending, 'request')}{_oldest(state.oldest_pending_at, now)}"),
        ("to send", count(state.spooled, "answer")),
        ("sent", f"{count(state.awaited, 'request')} without an answer{_oldest(state.oldest_awaited_at, now)}"),
        ("answered", f"{count(state.answered, 'answer')} not taken yet"),
        ("last hour", _lately(state, now)),
        *([("probe", "; ".join(found))] if (found := Habits.read(account.directory).in_words()) else []),
        ("units", f"{spent} (Pacific time); budget: {' and '.join(limits) or 'none'}"),
    ]


def _pace(spending: Spending) -> list[tuple[str, str]]:
    """Return what the day comes to and what was not needed, where anything was spent."""
    if not spending.today:
        return []
    share = 100 * spending.until_midnight / spending.google_per_day
    saved = ", ".join(f"{units:,} by {name}" for name, units in sorted(spending.savings.items()) if units)
    this_minute = f"{spending.minute:,} of {spending.per_minute:,}"
    day = f"{spending.until_midnight:,} until midnight at this pace, {share:.2g} % of what Google lets a project spend"
    return [("a minute", this_minute), ("a day", day), *([("saved", f"{saved} today")] if saved else [])]


def _lately(state: AccountState, now: float) -> str:
    """Say what the event log tells of the last hour."""
    shown = ("handled", "replied", "rejected", "sent", "answered", "paused")
    told = ", ".join(f"{state.lately[what]} {what}" for what in shown if what in state.lately) or "nothing"
    return f"{told}; {_since(state.last_event_at, now, 'the last event was', 'no event yet')}"


def _found(files: int | None) -> str:
    return "" if files is None else f", and brought {count(files, 'message')} that the feed had not"


def _handled(state: AccountState, now: float) -> str:
    lag = "" if state.handled_lag is None else f", begun {duration(state.handled_lag)} after it was made"
    return _since(state.handled_at, now, "the last request was handled", "no request yet") + lag


def _since(time: float | None, now: float, what: str, never: str) -> str:
    return never if time is None else f"{what} {duration(max(0.0, now - time))} ago"


def _oldest(time: float | None, now: float) -> str:
    return "" if time is None else f", the oldest for {duration(max(0.0, now - time))}"
