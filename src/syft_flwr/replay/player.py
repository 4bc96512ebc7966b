"""Do again what a recording says was done: the steps of a replay, whatever their pace."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from syft_flwr import wire
from syft_flwr.drive.folders import Location
from syft_flwr.errors import InvalidNameError, RecordingError
from syft_flwr.exchange.synchronous import SynchronousExecutor, SynchronousLane
from syft_flwr.recording import Recording
from syft_flwr.replay.recorded_drive import RecordedDrive
from syft_flwr.resources import DriveFile
from syft_flwr.runtime.assembly import Stores, assemble
from syft_flwr.runtime.handle import DriveRuntime
from syft_flwr.settings import Settings
from syft_flwr.state.futures import Future
from syft_flwr.state.memory import MemoryStore


class RecordingPlayer:
    """A runtime whose Drive is a recording, whose state is in memory, and whose handlers run on the caller's thread.

    Args:
        recording: What to play.
        settings: The runtime's settings.
        directory: An empty directory for bodies.
        time: Returns the Unix time that it is in the recording.

    Raises:
        RecordingError: The recording's start can't be read.
    """

    def __init__(self, recording: Recording, settings: Settings, directory: Path, time: Callable[[], float]) -> None:
        self._entries = recording.entries
        self._time = time
        self.drive = RecordedDrive(recording, time)
        stores = Stores(
            MemoryStore(copies=False),
            MemoryStore(copies=False),
            directory,
            holder="replay",
            is_alive=lambda _: True,
            keep_events=0,
        )
        self.engine = assemble(
            recording.header.account,
            self.drive,
            stores,
            settings=settings,
            clock=_ReplayClock(time, recording.header.time),
            rng=random.Random(0),  # noqa: S311 - the same every time
            url="recording:",
            executor=SynchronousExecutor(),
            make_lane=SynchronousLane,
        )
        self._parts = self.engine.parts
        self.streams = self._parts.streams
        self.runtime = DriveRuntime(self.engine)
        self._restore(recording.header.start, line=1)

    def play(self, index: int) -> None:
        """Do what was done at an entry.

        Raises:
            RecordingError: It can't be done, or somebody asked for what is not in the recording.
        """
        entry = self._entries[index]
        self.drive.stand_at(index)
        match entry.kind:
            case "poll":
                self.engine.follower.follow_from(entry.raw["token"])
                self.engine.follower.follow()
                self.engine.dispatch.thread.run()
            case "restart":
                self._parts.ledger.position.restart(entry.value)
            case "sweep":
                self._sweep(entry.value)
            case "folders":
                self._parts.folders.add(entry.value)
            case "upload":
                self._expect_answer(entry.value)
            case "resume":
                self._restore(entry.value, line=entry.line)
            case _:  # what was looked up or fetched is there when it is asked for
                pass
        if self.drive.failure is not None:
            raise self.drive.failure

    def end(self) -> None:
        """End the streams."""
        self._parts.streams.complete()

    def close(self) -> None:
        """End everything; idempotent."""
        self.engine.close()

    def _sweep(self, files: list[DriveFile]) -> None:
        self._parts.folders.retry_invisible()
        self._parts.folders.add(file for file in files if file.is_folder)
        self.engine.follower.take(file for file in files if not file.is_folder)
        self.engine.dispatch.thread.run()

    def _expect_answer(self, upload: Mapping[str, Any]) -> None:
        """Wait for the answer, if the account sent a request here."""
        try:
            kind, future_id = wire.parse_message_name(upload["name"])
        except InvalidNameError:
            return
        location = self._parts.folders.locate(DriveFile(id="", name="", parents=(upload["parent"],)))
        if kind == "request" and isinstance(location, Location):
            parties = (location.inbox.recipient, location.app, location.endpoint)
            self._parts.ledger.futures.add([Future(future_id, *parties, upload["id"], self._time())])

    def _restore(self, start: Mapping[str, Any], *, line: int) -> None:
        try:
            self._parts.folders.add(DriveFile.from_api(raw) for raw in start["folders"])
            self.engine.dispatch.journaled(self._parts.ledger.restore(start))
            self.engine.follower.follow_from(start["token"] or "")
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise RecordingError(f"line {line}: a start that can't be read: {error!r}", line=line) from error


class _ReplayClock:
    """A :class:`~syft_flwr.ports.Clock` that tells the recorded time; nothing waits in a replay."""

    def __init__(self, unix: Callable[[], float], began: float) -> None:
        self.time = unix
        self._began = began

    def monotonic(self) -> float:
        return self.time() - self._began

    def wait(self, event: threading.Event, timeout: float | None) -> bool:
        del timeout
        return event.is_set()
