"""What a command says it has spent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from syft_flwr.cli.output import count, events_are_json, say, tell


def spent(bill: Mapping[str, Any]) -> str:
    """Say what a process has spent, given :meth:`QuotaSnapshot.to_json`."""
    throttled = f", throttled by Drive {count(bill['throttled'], 'time')}" if bill["throttled"] else ""
    waited = f", waited {bill['stretched']:.0f} s for its quota" if bill["stretched"] >= 1 else ""
    by = ", ".join(f"{name} {row['units']:,}" for name, row in bill["savings"].items() if row["units"])
    saved = f", saved {bill['saved']:,} ({by})" if by else ""
    return f"spent {bill['units']:,} quota units in {count(bill['calls'], 'call')}{saved}{throttled}{waited}"


def tell_spending(account: str, bill: Mapping[str, Any] | None) -> None:
    """Say on standard error what a command has spent, if anything, given :meth:`QuotaSnapshot.to_json`."""
    if bill is None or not bill["calls"]:
        return
    if events_are_json():
        tell("bill", account=account, **bill)
    else:
        say(spent(bill), err=True)
