"""What a data owner keeps of a run on disk: the Context, the last reply, and which run it serves.

::

    {directory}/current            the run served last (JSON)
    {directory}/{run id}/context   one line of JSON (which message made it), then the serialized Context
    {directory}/{run id}/reply     the reply to that message
    {directory}/{run id}/objects/  array records that the run's messages share, by their SHA-256

A Context and the reply that goes with it are one step: the reply is written first, and the Context, whose rename
completes the step, names its message. A message that comes again after a crash is answered from here, and a counter
in the Context counts it once.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from msgspec import MsgspecError
from msgspec.json import decode

from syft_flwr.errors import StateError
from syft_flwr.private import make_private_directory, write_private

_KEPT_RUNS = 20


@dataclass(frozen=True, slots=True)
class RunTag:
    """A run, and when the aggregator started it: Unix seconds of the aggregator's clock."""

    run_id: int
    started: float


class RunStore:
    """Runs of one app on one account. One process at a time."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        make_private_directory(directory)

    def current(self) -> RunTag | None:
        """Return the run that was served last, if there is one."""
        try:
            return decode((self._directory / "current").read_bytes(), type=RunTag)
        except FileNotFoundError:
            return None
        except MsgspecError as error:
            raise StateError(f"{self._directory / 'current'} is damaged ({error}); delete it") from error

    def set_current(self, run: RunTag) -> None:
        write_private(self._directory / "current", json.dumps(asdict(run)).encode())
        self._prune()

    def context(self, run_id: int) -> bytes | None:
        """Return the serialized Context after the run's last message."""
        step = self._read_context(run_id)
        return None if step is None else step[1]

    def reply_to(self, run_id: int, message_id: str) -> bytes | None:
        """Return the reply to a message that was answered already, if it was the run's last one."""
        step = self._read_context(run_id)
        if not message_id or step is None or step[0] != message_id:
            return None
        return (self._run_directory(run_id) / "reply").read_bytes()

    def save(self, run_id: int, message_id: str, context: bytes, reply: bytes) -> None:
        """Store the outcome of a message durably, in one step."""
        directory = self._run_directory(run_id)
        make_private_directory(directory)
        write_private(directory / "reply", reply)
        write_private(directory / "context", json.dumps({"message": message_id}).encode() + b"\n" + context)

    def objects(self, run_id: int) -> Path:
        """Return the directory for array records of a run's messages; it exists afterwards."""
        directory = self._run_directory(run_id) / "objects"
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        return directory

    def forget(self, run_id: int) -> None:
        """Delete what is kept of a run that is over."""
        shutil.rmtree(self._run_directory(run_id), ignore_errors=True)
        (self._directory / "current").unlink(missing_ok=True)

    def _read_context(self, run_id: int) -> tuple[str, bytes] | None:
        path = self._run_directory(run_id) / "context"
        try:
            head, _, context = path.read_bytes().partition(b"\n")
            return str(json.loads(head)["message"]), context
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise StateError(f"{path} is damaged ({error}); delete it to start with an empty Context") from error

    def _run_directory(self, run_id: int) -> Path:
        if type(run_id) is not int or not 0 <= run_id < 2**64:
            raise StateError(f"{run_id!r:.80} is no run ID")
        return self._directory / str(run_id)

    def _prune(self) -> None:
        # Runs whose stop message never came would pile up.
        runs = sorted((p for p in self._directory.iterdir() if p.is_dir()), key=lambda p: p.stat().st_mtime)
        for directory in runs[:-_KEPT_RUNS]:
            shutil.rmtree(directory, ignore_errors=True)
