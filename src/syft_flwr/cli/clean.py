"""``syft-flwr clean``: remove what nobody needs, after showing it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from syft_flwr.cli.options import YesOption
from syft_flwr.cli.output import confirm, say
from syft_flwr.resources import DriveFile
from syft_flwr.settings import parse_duration, state_root
from syft_flwr.wire import message_kind, timestamp

if TYPE_CHECKING:
    from syft_flwr.ports import DriveGateway


def clean(
    email: Annotated[str | None, typer.Option(help="With --drive: the account; by default SYFTBOX_EMAIL.")] = None,
    drive: Annotated[
        bool, typer.Option("--drive", help="Remove old message files that the account has in Drive, too.")
    ] = False,
    runs: Annotated[
        Path | None,
        typer.Option("--runs", exists=True, file_okay=False, help="Remove an aggregator's old runs in DIRECTORY, too."),
    ] = None,
    older_than: Annotated[
        str, typer.Option(help="With --drive and --runs: the least age of a message file or a run, such as 12h.")
    ] = "7d",
    yes: YesOption = False,
) -> None:
    """Show, and then remove: the state of emulators that are gone; with --drive old messages, with --runs old runs."""
    from syft_flwr.cli.account import account_of, connected

    age = parse_duration(older_than, "--older-than")
    files: list[DriveFile] = []
    directories = [directory for drive in sorted(state_root().glob("emulators/*")) for directory in abandoned(drive)]
    for directory in directories:
        say(f"{directory}: the state on an emulator that is gone")
    _remove(directories, yes)
    places = [] if runs is None else list(old_runs(runs, time.time() - age))
    _remove(places, yes)
    if drive:
        with connected(account_of(email)) as gateway:
            gateway.about()  # tells what time it is at Drive, too
            files = list(old_messages(gateway, gateway.server_time() - age))
            for file in files:
                say(f"{file.name}: a message file in Drive, of {file.created_time}")
            if files and _agreed(len(files), yes):
                for file in files:
                    gateway.delete(file.id)
    if not (directories or places or files):
        say("nothing to remove")


def abandoned(drive: Path) -> Iterator[Path]:
    """Yield the state directories of accounts on an emulator, which no process has open, if it does not answer."""
    from urllib.parse import unquote

    from syft_flwr.cli.account_state import read_state

    directories = [each for each in sorted(drive.glob("*@*")) if not read_state(each).processes]
    if directories and not _answers(unquote(drive.name)):
        yield from directories


def old_runs(directory: Path, before: float) -> Iterator[Path]:
    """Show, and yield, the directories of runs that began before a Unix time and don't go on."""
    from syft_flwr.flower.runs import find

    for run in find(directory):
        if run.record.started < before and run.state != "running":
            say(f"{run.directory}: {run.record.project}, {run.state}, round {run.round}")
            yield run.directory


def old_messages(gateway: DriveGateway, before: float) -> Iterator[DriveFile]:
    """Yield the message files of the account's own that were created before a Unix time."""
    from syft_flwr.drive.query import quote

    query = f"'me' in owners and trashed = false and createdTime < {quote(timestamp(before))}"
    for file in gateway.list_files(query, oldest_first=True):
        if message_kind(file.name) is not None and not file.is_folder:
            yield file


def _remove(directories: Sequence[Path], yes: bool) -> None:
    if directories and _agreed(len(directories), yes):
        for directory in directories:
            shutil.rmtree(directory)


def _answers(host: str) -> bool:
    from http.client import HTTPConnection, HTTPException

    with closing(HTTPConnection(host, timeout=1.0)) as connection:
        try:
            connection.request("GET", "/", headers={"Connection": "close"})
            connection.getresponse().read()
        except (OSError, HTTPException):
            return False
    return True


def _agreed(count: int, yes: bool) -> bool:
    if not yes and not confirm(f"Remove {count}?"):
        say("nothing was removed", err=True)
        return False
    return True
