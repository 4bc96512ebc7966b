"""The options that limit what a command may spend."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import typer
from typer.core import TyperOption

from syft_flwr.cli.plain_help import PlainCommand
from syft_flwr.errors import ConfigurationError
from syft_flwr.settings import DAY_VARIABLE, MINUTE_VARIABLE


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
