"""``syft-flwr quota``: what an account has spent."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from syft_flwr.cli.options import EmailOption

if TYPE_CHECKING:
    from syft_flwr.drive.spending import Spending


def quota(
    email: EmailOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="The figures as JSON.")] = False,
) -> None:
    """Show what an account has spent this minute and today, on what and by which processes, against its limits.

    Asks no Drive: it reads what the account's processes on this machine have noted.
    """
    from syft_flwr.cli.account import account_of
    from syft_flwr.drive.spending import read_spending

    account = account_of(email)
    spending = read_spending(account.directory / "budget")
    if as_json:
        typer.echo(json.dumps({"account": account.email, **spending.to_json()}))
        return
    for line in _lines(account.email, spending):
        typer.echo(line)


def _lines(address: str, spending: Spending) -> list[str]:
    day = f"of {spending.per_day:,} " if spending.per_day is not None else ""
    share = 100 * spending.until_midnight / spending.google_per_day
    lines = [
        f"{address}: quota units of this machine's processes",
        f"  this minute   {spending.minute:>12,}  of {spending.per_minute:,}",
        f"  today         {spending.today:>12,}  {day}(until midnight Pacific time)",
        f"  until then    {spending.until_midnight:>12,}  at this pace",
        f"                {f'{share:.2g} %':>12}  of {spending.google_per_day:,} that Google lets a project spend",
    ]
    tables = {"on": spending.purposes, "by method": spending.methods, "by process": spending.processes}
    for title, rows in {**tables, "saved by": spending.savings}.items():
        if rows:
            lines.append(f"  {title}")
            width = max(map(len, rows))
            most_first = sorted(rows.items(), key=lambda row: (-row[1], row[0]))
            lines += [f"    {name:<{width}}  {units:>10,}" for name, units in most_first]
    if spending.days:
        lines.append("  before")
        lines += [f"    {date}  {units:>10,}" for date, units in sorted(spending.days.items(), reverse=True)[:7]]
    return lines
