"""``syft-flwr quota``: what an account has spent; and the options that limit what a command may spend."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import click
import typer
from typer.core import TyperOption

from syft_flwr.cli.options import EmailOption
from syft_flwr.cli.output import errors_end_the_command, say
from syft_flwr.cli.plain_help import PlainCommand
from syft_flwr.settings import DAY_VARIABLE, LOG_FORMAT_VARIABLE, MINUTE_VARIABLE

if TYPE_CHECKING:
    from syft_flwr.drive.spending import Spending


class LimitedCommand(PlainCommand):
    """A command that talks to Drive: it has the options that limit what that may cost."""

    def __init__(self, *args: Any, params: list[click.Parameter] | None = None, **settings: Any) -> None:
        super().__init__(*args, params=[*(params or []), *_limits()], **settings)


def _limits() -> Iterator[TyperOption]:
    any_minute = "Quota units that the account may spend in any minute, all its processes together."
    of_a_day = "Likewise for a day, which ends at midnight Pacific time."
    for name, variable, told in (("minute", MINUTE_VARIABLE, any_minute), ("day", DAY_VARIABLE, of_a_day)):
        yield TyperOption(
            param_decls=[f"--quota-per-{name}"],
            type=int,
            help=told,
            envvar=variable,
            show_envvar=True,
            callback=_export,
            expose_value=False,
            metavar="UNITS",
        )


def _export(_: click.Context, option: click.Parameter, limit: int | None) -> None:
    """Hand a limit to all that the command opens, and to the processes that it starts."""
    if limit is not None:
        from syft_flwr.drive.budget import LEAST

        if limit < LEAST:
            raise typer.BadParameter(f"one poll and one answer cost {LEAST} units; it must be at least that")
        os.environ[str(option.envvar)] = str(limit)


def limit_as_the_project_says(directory: Path) -> None:
    """Take the limits from ``[tool.syft_flwr]`` where neither an option nor the environment gives them.

    Raises:
        ConfigurationError: One is no whole number of units.
    """
    from syft_flwr.errors import ConfigurationError
    from syft_flwr.project_table import load_project

    table = load_project(directory)
    for key, variable in (("quota_units_per_minute", MINUTE_VARIABLE), ("quota_units_per_day", DAY_VARIABLE)):
        if key in table and variable not in os.environ:
            if type(table[key]) is not int:
                raise ConfigurationError(
                    f"{key} in [tool.syft_flwr] of {directory / 'pyproject.toml'} must be a whole number of quota "
                    f"units; it is {table[key]!r}"
                )
            os.environ[variable] = str(table[key])


def quota(
    email: EmailOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="The figures as JSON.")] = False,
) -> None:
    """Show what an account has spent this minute and today, on what and by which processes, against its limits.

    Asks no Drive: it reads what the account's processes on this machine have noted.
    """
    with errors_end_the_command():
        from syft_flwr.cli.account import required_email
        from syft_flwr.drive.spending import read_spending
        from syft_flwr.runtime.sharing import state_directory
        from syft_flwr.settings import load_endpoint, state_root

        address = required_email(email)
        spending = read_spending(state_directory(state_root(), address, load_endpoint().url) / "budget")
        if as_json:
            typer.echo(json.dumps({"account": address, **spending.to_json()}))
            return
        for line in _lines(address, spending):
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
            lines += [f"    {name:<{width}}  {units:>10,}" for name, units in sorted(rows.items(), key=_most_first)]
    if spending.days:
        lines.append("  before")
        lines += [f"    {date}  {units:>10,}" for date, units in sorted(spending.days.items(), reverse=True)[:7]]
    return lines


def _most_first(row: tuple[str, int]) -> tuple[int, str]:
    return -row[1], row[0]


def spent(bill: Mapping[str, Any]) -> str:
    """Say what a process has spent, given :meth:`QuotaSnapshot.to_json`."""
    throttled = f", throttled by Drive {bill['throttled']} times" if bill["throttled"] else ""
    waited = f", waited {bill['stretched']:.0f} s for its quota" if bill["stretched"] >= 1 else ""
    by = ", ".join(f"{name} {row['units']:,}" for name, row in bill["savings"].items() if row["units"])
    saved = f", saved {bill['saved']:,} ({by})" if by else ""
    return f"spent {bill['units']:,} quota units in {bill['calls']:,} calls{saved}{throttled}{waited}"


def tell_spending(account: str, bill: Mapping[str, Any] | None) -> None:
    """Say on standard error what a command has spent, if anything, given :meth:`QuotaSnapshot.to_json`."""
    if bill is None or not bill["calls"]:
        return
    if os.environ.get(LOG_FORMAT_VARIABLE) == "json":
        typer.echo(json.dumps({"event": "bill", "account": account, **bill}), err=True)
    else:
        say(spent(bill), err=True)
