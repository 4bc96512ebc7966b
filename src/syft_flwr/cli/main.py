"""The command ``syft-flwr``."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from enum import StrEnum
from typing import Annotated, Any

import click
import typer
from typer.core import TyperGroup

from syft_flwr.cli.bootstrap import bootstrap
from syft_flwr.cli.clean import clean
from syft_flwr.cli.doctor import doctor
from syft_flwr.cli.edit_recording import edit_recording
from syft_flwr.cli.emulator import emulator
from syft_flwr.cli.entry import call
from syft_flwr.cli.limits import LimitedCommand
from syft_flwr.cli.login import login, logout
from syft_flwr.cli.output import errors_end_the_command
from syft_flwr.cli.peers import peers
from syft_flwr.cli.plain_help import PlainCommand, PlainHelp
from syft_flwr.cli.quota import quota
from syft_flwr.cli.record import record
from syft_flwr.cli.replay import replay
from syft_flwr.cli.run import run
from syft_flwr.cli.runs import runs
from syft_flwr.cli.send import send
from syft_flwr.cli.simulate import simulate
from syft_flwr.cli.status import status
from syft_flwr.cli.watch import watch
from syft_flwr.flower.logs import JsonFormatter
from syft_flwr.settings import LOG_FORMAT_VARIABLE


class LogFormat(StrEnum):
    """How log lines are written."""

    TEXT = "text"
    JSON = "json"


class Commands(PlainHelp, TyperGroup):
    """Takes ``-v`` and ``-vv`` also behind a command's name, where people put them; ``--json`` goes for logs, too.

    The outermost group ends all commands alike when there is an error or a signal.
    """

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        with nullcontext() if parent else errors_end_the_command():  # help is written here
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> object:
        with nullcontext() if ctx.parent else errors_end_the_command():
            return super().invoke(ctx)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        verbose = [arg for arg in args[:end] if re.fullmatch("-v+|--verbose", arg)]
        if ctx.parent is None and "--json" in args[:end] and LOG_FORMAT_VARIABLE not in os.environ:
            verbose = ["--log-format", "json", *verbose]  # or log lines would stand between the events
        return super().parse_args(ctx, verbose + [arg for arg in args[:end] if arg not in verbose] + args[end:])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        # Past typer's own, which suggests near matches a second time.
        return click.Group.resolve_command(self, ctx, args)


app = typer.Typer(
    name="syft-flwr",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # locals may hold data and tokens
    rich_markup_mode=None,
)

# The modules of the commands import nothing heavy before they run: --help must answer at once.
for command, kind in (
    (simulate, LimitedCommand),
    (run, LimitedCommand),
    (watch, LimitedCommand),
    (record, LimitedCommand),
    (replay, PlainCommand),
    (edit_recording, PlainCommand),
    (bootstrap, PlainCommand),
    (quota, PlainCommand),
    (login, PlainCommand),
    (logout, PlainCommand),
    (doctor, LimitedCommand),
    (status, PlainCommand),
    (send, LimitedCommand),
    (clean, LimitedCommand),
):
    app.command(cls=kind)(command)
app.add_typer(peers, name="peers", cls=Commands)
app.add_typer(runs, name="runs", cls=Commands)
# The emulator is a package of its own and reads its own options.
app.command(
    cls=PlainCommand,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
)(emulator)


@app.command(cls=PlainCommand)
def version() -> None:
    """Show the version."""
    from importlib.metadata import version as of

    typer.echo(f"syft-flwr {of('syft-flwr-drive')}")


def _show_version(wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


@app.callback()
def main(
    context: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version and exit.")
    ] = False,
    verbose: Annotated[
        int,
        typer.Option(
            "--verbose",
            "-v",
            count=True,
            help="Tell more; -vv tells all, tracebacks included.",
            metavar="",
            show_default=False,
        ),
    ] = 0,
    log_format: Annotated[
        LogFormat,
        typer.Option(envvar=LOG_FORMAT_VARIABLE, help="Log lines as text, or as JSON, which --json implies."),
    ] = LogFormat.TEXT,
) -> None:
    """Train models together with Flower when all that you share is Google Drive."""
    if verbose or log_format is LogFormat.JSON:
        _log_to_stderr(context, (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)], log_format)


def _log_to_stderr(context: typer.Context, level: int, log_format: LogFormat) -> None:
    """Show what is logged here and in processes that are started, until the command has ended."""
    ours, handler = logging.getLogger("syft_flwr"), logging.StreamHandler()
    # As JSON, other libraries' warnings too: what Python makes of them by itself is none.
    log = logging.getLogger() if log_format is LogFormat.JSON else ours
    if log_format is LogFormat.JSON:
        handler.setFormatter(JsonFormatter())
        context.with_resource(_variable(LOG_FORMAT_VARIABLE, log_format.value))
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    before = ours.level
    log.addHandler(handler)
    ours.setLevel(level)
    context.call_on_close(lambda: log.removeHandler(handler))
    context.call_on_close(lambda: ours.setLevel(before))


@contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


if __name__ == "__main__":
    call(app)
