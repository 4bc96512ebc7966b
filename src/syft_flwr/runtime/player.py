"""Do again what a recording says was done: the steps of a replay, whatever their pace."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from syft_flwr import wire
from syft_flwr.drive.folders import FolderIndex, Location
from syft_flwr.drive.inboxes import InboxMaker
from syft_flwr.errors import InvalidNameError, RecordingError
from syft_flwr.exchange.context import Exchange
from syft_flwr.exchange.ids import IdPool
from syft_flwr.feed.inline import InlineExecutor, InlineLane
from syft_flwr.feed.recording.drive import RecordedDrive
from syft_flwr.feed.recording.reader import Recording
from syft_flwr.feed.streams import Streams
from syft_flwr.models import DriveFile, Message
from syft_flwr.runtime.runtime import DriveRuntime
from syft_flwr.settings import Settings
from syft_flwr.state.bodies import BodyFiles
from syft_flwr.state.futures import Future
from syft_flwr.state.ledger import Ledger
from syft_flwr.state.plain import PlainStore


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
        account = recording.header.account
        clock = _ReplayClock(time, recording.header.time)
        folder_store = PlainStore()
        ids = IdPool(self.drive)
        folders = FolderIndex(self.drive, folder_store, account)
        self._x = Exchange(
            me=account,
            settings=settings,
            clock=clock,
            gateway=self.drive,
            ledger=Ledger(
                PlainStore(),
                clock,
                holder="replay",
                is_alive=lambda _: True,
                max_processed=settings.max_processed_requests,
            ),
            bodies=BodyFiles(directory),
            folders=folders,
            inboxes=InboxMaker(self.drive, folders, folder_store, account, reserve=ids.take),
            ids=ids,
            streams=Streams(),
            pool=InlineExecutor(),
            lanes=InlineLane[Message, Any],
        )
        rng = random.Random(0)  # noqa: S311 - the same every time
        self.runtime = DriveRuntime(self._x, url="recording:", meter=None, rng=rng)
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
                self.runtime.cycle.follow_from(entry.raw["token"])
                self.runtime.cycle.follow()
            case "restart":
                self._x.ledger.restart_cursor(entry.value)
            case "sweep":
                self._sweep(entry.value)
            case "folders":
                self._x.folders.add(entry.value)
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
        self._x.streams.complete()

    def _sweep(self, files: list[DriveFile]) -> None:
        self._x.folders.retry_invisible()
        self._x.folders.add(file for file in files if file.is_folder)
        self.runtime.cycle.take(file for file in files if not file.is_folder)

    def _expect_answer(self, upload: Mapping[str, Any]) -> None:
        """Wait for the answer, if the account sent a request here."""
        try:
            kind, future_id = wire.parse_message_name(upload["name"])
        except InvalidNameError:
            return
        location = self._x.folders.locate(DriveFile(id="", name="", parents=(upload["parent"],)))
        if kind == "request" and isinstance(location, Location):
            parties = (location.inbox.recipient, location.app, location.endpoint)
            self._x.ledger.futures.add([Future(future_id, *parties, upload["id"], self._time())])

    def _restore(self, start: Mapping[str, Any], *, line: int) -> None:
        try:
            self._x.folders.add(DriveFile.from_api(raw) for raw in start["folders"])
            self._x.ledger.restore(start)
            self.runtime.cycle.follow_from(start["token"] or "")
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise RecordingError(f"line {line}: a start that can't be read: {error!r}", line=line) from error


class _ReplayClock:
    """A :class:`~syft_flwr.ports.Clock` that tells the recorded time; nothing waits in a replay."""

    def __init__(self, unix: Callable[[], float], began: float) -> None:
        self._unix = unix
        self._began = began

    def time(self) -> float:
        return self._unix()

    def monotonic(self) -> float:
        return self._unix() - self._began

    def wait(self, event: threading.Event, timeout: float | None) -> bool:
        del timeout
        return event.is_set()
