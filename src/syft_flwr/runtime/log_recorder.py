"""Records beside an account's working processes: what their event log tells, with the contents that they transfer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from syft_flwr.clock import SystemClock
from syft_flwr.ports import JSON, Transaction
from syft_flwr.recording import Recorder
from syft_flwr.resources import DriveFile
from syft_flwr.runtime.taps import Tap, Transfer
from syft_flwr.state.events import FEED, KEPT, Happened, read_after
from syft_flwr.state.ledger import Ledger
from syft_flwr.state.store import DiskStore

_JUDGED = {"waiting", "admitted", "rejected", "ignored", "withdrawn", "answered"}
_DEPTH = 8


class LogRecorder:
    """Writes what others do into a recording: each file as the feed would have brought it, once its folders are known.

    Args:
        recorder: Writes the lines.
        directory: The account's state directory.
        tap: Brings what is transferred.
        start: What the recording begins with.
        bodies: Whether contents are wanted.
    """

    def __init__(
        self, recorder: Recorder, directory: Path, tap: Tap, start: Mapping[str, Any], *, bodies: bool
    ) -> None:
        self._recorder = recorder
        self._directory = directory
        self._tap = tap
        self._bodies = bodies
        self._folders = {folder["id"] for folder in start["folders"]}
        self._unjudged: dict[str, dict[str, Any]] = {}
        self._known = {file["id"] for file in start["pending"]}
        self._downloaded: set[str] = set()
        self._uploaded: set[str] = set()
        self._wanted: dict[str, str] = {}
        """By file ID, the messages whose contents somebody has had, in words."""
        self._has: Counter[str] = Counter()
        self._gone = 0
        self._events: list[Happened] = []
        self.over = 0
        """Messages that are complete."""

    def take(self, event: Happened) -> None:
        """Take what happened; it is written with what was transferred meanwhile."""
        if event.by == FEED:  # which is recorded itself
            self.over += event.what in {"waiting", "answered"}
            self._has[FEED] += event.what in {"waiting", "answered"}
            return
        self._events.append(event)
        self.over += event.what in {"replied", "answered", "consumed"} or (
            event.what == "handled" and event.fields["reply_size"] is None
        )

    def collect(self) -> None:
        """Write what has happened and what was transferred, in the order in which that was."""
        events, self._events = self._events, []
        everything: list[Happened | Transfer] = [*events, *self._tap.take()]
        for each in sorted(everything, key=lambda each: each.at):
            if isinstance(each, Happened):
                self._write(each)
            else:
                self._transferred(each)

    def _transferred(self, transfer: Transfer) -> None:
        """Write a download or an upload; of an upload that was repeated, the first attempt."""
        document = transfer.document
        if "download" in document:
            self._downloaded.add(document["download"])
            self._recorder.transferred(document, transfer.body)
        elif (name := document["upload"]["name"]) not in self._uploaded:
            self._uploaded.add(name)
            self._show_folders([document["upload"]["parent"]])
            self._recorder.transferred(document, transfer.body)
        transfer.drop()

    def _write(self, event: Happened) -> None:
        fields = event.fields
        if event.what == "seen":
            self._unjudged[fields["file"]["id"]] = fields["file"]
        elif event.what == "polled" and (gone := [file_id for file_id in fields["gone"] if file_id in self._known]):
            self._recorder.shown(gone=gone)
        elif event.what in _JUDGED:
            self._show(fields.get("file_id", ""), fields.get("file"))
        if event.what in {"handled", "answered"}:
            self._has["requests" if event.what == "handled" else "responses"] += 1
            self._wanted[fields["file_id"]] = f"{fields['future_id']}.{fields['kind']}"

    def lost(self, rows: int) -> None:
        """Note that rows of the log were given up before they were read."""
        self._gone += rows
        self._recorder.missed()

    def end(self) -> None:
        """Write what is left, and what nobody has judged yet."""
        self.collect()
        for file_id in list(self._unjudged):
            self._show(file_id, None)

    def summary(self) -> tuple[str, list[str]]:
        """Return, in words, what the recording has of the time, and what it lacks of it."""
        replies = sum(name.endswith(".response") for name in self._uploaded)
        sent = len(self._uploaded) - replies
        handled, answered = self._has["requests"], self._has["responses"]
        has = f"{handled} requests with {replies} replies, and {sent} sent with {answered} responses"
        if self._has[FEED]:
            has += f", and {self._has[FEED]} messages that the feed showed"
        lacks = []
        if self._gone:
            lacks.append(f"{self._gone} rows of the event log, which were given up before they were read")
            lacks.append("its end, so that it is not taken for the whole; --repair ends it as it is")
        missing = [name for file_id, name in self._wanted.items() if file_id not in self._downloaded]
        if missing and self._bodies:
            more = "" if len(missing) == 1 else f" and {len(missing) - 1} more"
            lacks.append(f"the body of {missing[0]}{more}, which no process downloaded meanwhile")
        return has, lacks

    def _show(self, file_id: str, file: dict[str, Any] | None) -> None:
        file = self._unjudged.pop(file_id, file)
        if file is None or file["id"] in self._known:
            return
        self._show_folders(file.get("parents", ()))
        self._known.add(file["id"])
        self._recorder.shown([file])

    def _show_folders(self, parents: Sequence[str]) -> None:
        """Write the folders above a file, as far as the account's processes know them, the uppermost first."""
        if not (self._directory / "folders").is_dir() or set(parents) <= self._folders:
            return

        def work(tx: Transaction) -> list[JSON]:
            nonlocal parents
            path: list[JSON] = []
            while parents and len(path) < _DEPTH and (folder := tx.get(f"folder/{parents[0]}")) is not None:
                path.insert(0, folder)
                parents = folder.get("parents", ())
            return path

        with closing(DiskStore(self._directory / "folders")) as store:
            folders = [folder for folder in store.transact(work) if folder["id"] not in self._folders]
        if folders:
            self._folders.update(folder["id"] for folder in folders)
            self._recorder.listed([DriveFile.from_api(folder) for folder in folders], by_feed=False)


def known_here(directory: Path) -> dict[str, Any]:
    """Return what a recording begins with: what an account's processes know (:mod:`syft_flwr.recording.entries`).

    Raises:
        StateError: It can't be read.
    """
    start: dict[str, Any] = {"token": None, "folders": [], "pending": [], "futures": [], "done": [], "marks": {}}
    if not (directory / "ledger").is_dir():
        return start
    with closing(DiskStore(directory / "ledger")) as store:
        ledger = Ledger(store, SystemClock(), holder="", is_alive=lambda _: True, max_processed=1)
        start |= {"token": ledger.position.token(), **ledger.snapshot()}
    if (directory / "folders").is_dir():
        with closing(DiskStore(directory / "folders")) as store:
            start["folders"] = store.transact(lambda tx: [row for _, row in tx.scan("folder/")])
    return start


def messages_in_log(directory: Path, since: float = 0.0) -> set[str]:
    """Return the future IDs of the messages that the log has since a Unix time, as far as it reaches."""
    if not (directory / "ledger").is_dir():
        return set()
    with closing(DiskStore(directory / "ledger")) as store:
        events = store.transact(lambda tx: list(read_after(tx, 0, limit=KEPT)))
    told = [event for event in events if event.at > since and event.what in {"waiting", "admitted", "answered"}]
    return {event.fields["future_id"] for event in told}
