"""``syft-flwr runs``: the runs of this machine's aggregators."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from syft_flwr.cli.output import count, duration, say
from syft_flwr.cli.plain_help import PlainCommand

if TYPE_CHECKING:
    from syft_flwr.flower.runs import RunStatus

runs = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help="List an aggregator's runs, look at one, or stop it. Drive is not asked.",
)

DirOption = Annotated[Path, typer.Option("--dir", help="Directory that has the runs' directories.", file_okay=False)]
RunArgument = Annotated[
    str,
    typer.Argument(help="A run's directory or its ID's beginning; by default the latest.", show_default=False),
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON on stdout; times are Unix seconds.")]

_RUNS = Path("runs")


@runs.command("list", cls=PlainCommand)
def list_runs(directory: DirOption = _RUNS, as_json: JsonOption = False) -> None:
    """List runs, the latest first, and how they stand."""
    from syft_flwr.flower.runs import find

    found = find(directory)
    if as_json:
        typer.echo(json.dumps([run.to_json() for run in found], default=str))
        return
    for run in found:
        say(_line(run))
    if not found:
        say(f"no runs in {directory}")


@runs.command(cls=PlainCommand)
def show(run: RunArgument = "", directory: DirOption = _RUNS, as_json: JsonOption = False) -> None:
    """Show how a run stands: its round, its metrics, and what each data owner does since when."""
    from syft_flwr.flower.runs import choose

    status = choose(directory, run)
    if as_json:
        typer.echo(json.dumps(status.to_json(), default=str))
        return
    from rich.console import Console

    from syft_flwr.cli.view import metrics_table

    say(_line(status))
    if status.error:
        say(f"error: {status.error}")
    for words in _owners(status, time.time()):
        say(f"  {words}")
    if status.rounds:
        Console(highlight=False, soft_wrap=True).print(metrics_table(status.to_json()["rounds"]))


@runs.command(cls=PlainCommand)
def log(run: RunArgument = "", directory: DirOption = _RUNS, as_json: JsonOption = False) -> None:
    """Print what happened in a run; with --json all events, one on a line."""
    from syft_flwr.cli.event_lines import event_line
    from syft_flwr.flower.runs import choose, events

    for event, fields in events(choose(directory, run).directory):
        if as_json:
            typer.echo(json.dumps({"event": event, **fields}))
        elif line := event_line(event, fields):
            say(f"{time.strftime('%F %T', time.localtime(fields['time']))} {line}")


@runs.command(cls=PlainCommand)
def stop(run: RunArgument = "", directory: DirOption = _RUNS, as_json: JsonOption = False) -> None:
    """Stop a run, as Ctrl-C does: its data owners are told, and what there is of its result is saved."""
    from syft_flwr.flower import runs as known

    status = known.choose(directory, run)
    known.stop(status)
    told = {"run_id": status.record.run_id, "pid": status.record.pid, "directory": str(status.directory)}
    typer.echo(json.dumps(told) if as_json else f"run {told['run_id']} (process {told['pid']}) is told to end")


def _line(run: RunStatus) -> str:
    rounds = f"round {run.round} of {run.of}" if run.round else "no round yet"
    began = time.strftime("%F %T", time.localtime(run.record.started))
    return f"{run.record.run_id}  {run.record.project}  {began}  {run.state}, {rounds}  {run.directory}"


def _owners(run: RunStatus, now: float) -> list[str]:
    told = []
    for email, owner in run.owners.items():
        words = f"{email}  {owner.doing}"
        if run.state == "running" and owner.since:
            words += f" for {duration(now - owner.since)}"
        words += f"; {owner.replies} replies, {count(owner.errors, 'error')}"
        if owner.last_seen is not None:
            words += f"; last seen {duration(now - owner.last_seen)} ago"
        told.append(words)
    return told
