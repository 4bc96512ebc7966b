"""Runs of an aggregator on this machine, from their directories: what they are and how they stand.

An aggregator writes ``run.json``, which run it is, and its events to ``events.jsonl`` in the run's directory, and keeps
that file locked while it lives.
"""

from __future__ import annotations

import fcntl
import io
import json
import logging
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from msgspec import MsgspecError
from msgspec.json import decode

from syft_flwr.errors import ConfigurationError, StateError
from syft_flwr.flower.progress import JsonLines, Progress
from syft_flwr.private import create_private, make_directories, open_private, write_private

logger = logging.getLogger(__name__)

RUN_FILE = "run.json"
_EVENTS = "events.jsonl"
State = Literal["running", "complete", "failed", "interrupted"]


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run of an aggregator. ``started`` is Unix seconds of its clock; ``pid`` the process that has it in hand."""

    project: str
    directory: str
    project_hash: str
    run_id: str
    started: float
    owners: tuple[str, ...]
    run_config: Mapping[str, bool | float | int | str]
    flwr: str
    pid: int

    def write(self, out: Path) -> None:
        write_private(out / RUN_FILE, json.dumps(asdict(self), indent=2).encode() + b"\n")

    @classmethod
    def read(cls, out: Path) -> RunRecord:
        """Read the record of a run.

        Raises:
            FileNotFoundError: There is none.
            ConfigurationError: It is damaged.
            StateError: Others could have written it.
        """
        with open_private(out / RUN_FILE) as file:
            content = file.read()
        try:
            return decode(content, type=cls)
        except MsgspecError as error:
            raise ConfigurationError(f"{out / RUN_FILE} is damaged: {error}") from error


@dataclass(slots=True)
class OwnerStatus:
    """How a data owner stands: what it does, since when (Unix seconds), when it was last heard of, what it answered."""

    doing: str = "has not come"
    since: float = 0.0
    last_seen: float | None = None
    replies: int = 0
    errors: int = 0


@dataclass(slots=True)
class RunStatus:
    """How a run stands. ``rounds`` has the metrics by round and phase."""

    record: RunRecord
    directory: Path
    state: State
    round: int = 0
    of: int = 0
    error: str = ""
    owners: dict[str, OwnerStatus] = field(default_factory=dict)
    rounds: dict[int, dict[str, dict[str, Any]]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return all that JSON can hold."""
        told = asdict(self)
        rows = [{"round": number, **phases} for number, phases in sorted(self.rounds.items())]
        return {**told.pop("record"), **told, "project_directory": self.record.directory, "rounds": rows}

    def note(self, event: str, fields: dict[str, Any]) -> None:
        """Take in an event."""
        at = float(fields.get("time", 0.0))
        if event == "round":
            self.round, self.of = int(fields["round"]), int(fields["of"])
        elif event == "metrics":
            self.rounds.setdefault(int(fields["round"]), {}).setdefault(fields["phase"], {}).update(fields["values"])
        owner = self.owners.get(str(fields.get("owner", "")))
        if owner is None:
            return
        if event == "owner" and fields["state"] in ("present", "away", "unreachable"):
            owner.doing, owner.since = str(fields["state"]), at
        elif event == "sent":
            owner.doing, owner.since = f"{fields['type']} (round {fields['group']})", at
        elif event == "reply":
            owner.doing, owner.since = "present", at
            owner.errors += bool(fields["error"])
            owner.replies += not fields["error"]
        if event == "reply" or (event == "owner" and fields["state"] == "present"):
            owner.last_seen = at


@contextmanager
def event_log(out: Path) -> Iterator[Progress]:
    """Write events to a run's directory while the block runs.

    Raises:
        ConfigurationError: Another process writes into it.
    """
    make_directories(out)
    with create_private(out / _EVENTS, append=True) as raw:
        try:
            fcntl.flock(raw, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(f"another run writes into {out}; choose another directory with --out") from None
        size = os.fstat(raw.fileno()).st_size
        if size and os.pread(raw.fileno(), 1, size - 1) != b"\n":  # a crash cut it off; the next would be a part of it
            raw.write(b"\n")
        with io.TextIOWrapper(raw, encoding="utf-8", write_through=True) as text:
            yield JsonLines(text)


def events(out: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the events of a run so far; a last line that a crash cut off counts as absent."""
    try:
        file = open_private(out / _EVENTS)
    except FileNotFoundError:
        return
    with file:
        for line in file:
            with suppress(ValueError):
                fields = json.loads(line)
                yield str(fields.pop("event")), fields


def find(directory: Path) -> list[RunStatus]:
    """Return how the runs in a directory stand, the latest first; the log tells of those whose record is damaged."""
    found: list[RunStatus] = []
    for path in directory.glob(f"*/{RUN_FILE}"):
        try:
            found.append(status_of(path.parent))
        except (ConfigurationError, StateError) as error:
            logger.warning("%s", error)
    return sorted(found, key=lambda run: run.record.started, reverse=True)


def choose(directory: Path, name: str) -> RunStatus:
    """Return how a run in a directory stands: named by its own directory, or its ID's beginning, or the latest.

    Raises:
        ConfigurationError: There is none, or there are several.
    """
    if name and (Path(name) / RUN_FILE).is_file():
        return status_of(Path(name))
    found = [run for run in find(directory) if run.record.run_id.startswith(name) or run.directory.name == name]
    if not found:
        raise ConfigurationError(f"no run {name or 'at all'} in {directory}; name its directory, or --dir")
    if name and len(found) > 1:
        raise ConfigurationError(f"{name} is the beginning of {len(found)} runs' IDs; give more of it")
    return found[0]


def status_of(directory: Path) -> RunStatus:
    """Return how a run stands.

    Raises:
        ConfigurationError: Its record is damaged.
    """
    record = RunRecord.read(directory)
    run = RunStatus(record, directory, "interrupted", owners={owner: OwnerStatus() for owner in record.owners})
    dismissed = False
    for event, fields in events(directory):
        run.note(event, fields)
        dismissed = dismissed or event == "dismissed"
    if is_running(directory):
        run.state = "running"
        return run
    with suppress(FileNotFoundError, ValueError):
        result = json.loads((directory / "result.json").read_text(encoding="utf-8"))
        run.error = str(result.get("error", ""))
        if dismissed:  # else the owners wait for somebody to go on
            run.state = "failed" if run.error else "complete"
    return run


def is_running(directory: Path) -> bool:
    """Tell whether a process has the run in hand."""
    try:
        with open_private(directory / _EVENTS) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def stop(run: RunStatus) -> None:
    """Ask a run's process to end, which tells the owners that the run is over.

    Raises:
        ConfigurationError: None has it in hand.
    """
    if run.state != "running":
        raise ConfigurationError(f"run {run.record.run_id} is not running: it is {run.state}")
    os.kill(run.record.pid, signal.SIGINT)
