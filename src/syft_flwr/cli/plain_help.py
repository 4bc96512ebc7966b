"""Help in plain text: typer's tables cut the names of options at 80 columns."""

from __future__ import annotations

import inspect
from collections import Counter
from typing import get_type_hints

import click
from typer import core
from typer.core import TyperCommand
from typer.models import ArgumentInfo

core.HAS_RICH = False
"""With it, typer imports Rich's reader of Markdown for each help, to escape brackets for an export to HTML."""


class PlainHelp(click.Command):
    """Writes help without tables, and tells of each command in whole sentences where a group lists them."""

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        self._restore_help_of_arguments()
        super().format_help(ctx, formatter)

    def format_arguments(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Leave them to typer, which lists them too."""

    def get_short_help_str(self, limit: int = 45) -> str:
        del limit
        return " ".join((self.help or "").partition("\n\n")[0].split())

    def _restore_help_of_arguments(self) -> None:
        """Set the arguments' help again: click 8.5 forgets what typer has set before."""
        hints = get_type_hints(inspect.unwrap(self.callback), include_extras=True) if self.callback else {}
        for parameter in self.params:
            for info in getattr(hints.get(parameter.name or ""), "__metadata__", ()):
                if isinstance(info, ArgumentInfo):
                    vars(parameter)["help"] = info.help


class PlainCommand(PlainHelp, TyperCommand):
    """A command with plain help. An option that has one value may be given once: of two, which is meant?"""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        _, _, given = self.make_parser(ctx).parse_args(list(args))
        for option, times in Counter(given).items():
            if times > 1 and isinstance(option, click.Option) and not (option.multiple or option.is_flag):
                raise click.UsageError(f"{option.opts[0]} is given {times} times; give it once", ctx)
        return super().parse_args(ctx, args)
