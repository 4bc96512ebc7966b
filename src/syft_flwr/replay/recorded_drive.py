"""A recording in the place of Drive."""

from __future__ import annotations

import os
import shutil
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from syft_flwr.errors import NotFoundError, RateLimitedError, RecordingError
from syft_flwr.inline import without_bodies
from syft_flwr.recording.reader import Recording
from syft_flwr.resources import FOLDER_MIME_TYPE, Access, Account, ChangePage, DriveFile

_SHOWN = 200


@dataclass(frozen=True, slots=True, repr=False)
class Upload:
    """A file that was written during a replay, or while the feed was recorded."""

    name: str
    body: bytes
    properties: Mapping[str, str]
    parent: str = field(default="", compare=False)
    """ID of its folder, which a replay may have made anew."""

    def __repr__(self) -> str:
        shown = repr(self.body[:_SHOWN]) + (f" … {len(self.body)} bytes" if len(self.body) > _SHOWN else "")
        return f"Upload({self.name!r}, {shown}, {dict(self.properties)})"


class RecordedDrive:
    """A :class:`~syft_flwr.ports.DriveGateway` that shows what Drive showed when the feed was recorded.

    It stands at one entry of the recording, see :meth:`stand_at`. What is asked of it is answered as it was then, up to
    the next look at the feed. What is written goes to ``uploads``; no list finds it.

    Attributes:
        failure: The first thing that was asked for and is not in the recording.
        uploads: What was written, in order.
    """

    def __init__(self, recording: Recording, now: Callable[[], float]) -> None:
        self._recording = recording
        self.server_time = now
        self._pages: list[ChangePage] = []
        self._index = 0
        self._window_end = 0
        self._looks = [i for i, entry in enumerate(recording.entries) if entry.kind in ("poll", "sweep")]
        self._answers: defaultdict[str, list[tuple[int, DriveFile | None]]] = defaultdict(list)
        self._contents: dict[str, str | None] = {}
        self._gone: set[str] = set()
        self._ids = 0
        self.failure: RecordingError | None = None
        self.uploads: list[Upload] = []
        for index, entry in enumerate(recording.entries):
            if entry.kind == "get":
                self._answers[entry.value].append((index, entry.raw["file"]))
            elif entry.kind == "download" and entry.raw["size"] is None:
                self._gone.add(entry.value)
            elif entry.kind == "download":
                self._contents[entry.value] = entry.raw["sha256"]

    def stand_at(self, index: int) -> None:
        """Take the place of Drive as it was at an entry of the recording; if that is a poll, have its pages ready."""
        self._index = index
        position = bisect_left(self._looks, index + 1)
        self._window_end = self._looks[position] if position < len(self._looks) else len(self._recording.entries)
        entry = self._recording.entries[index]
        if entry.kind == "poll":
            self._pages = list(entry.value)

    def about(self) -> Account:
        return Account(self._recording.header.account, "recorded")

    def get_start_page_token(self) -> str:
        return self._recording.header.start.get("token") or "recorded"

    def peek(self) -> str:
        """Announce nothing: what the feed brought is part of the recording."""
        return self.get_start_page_token()

    def list_changes(self, page_token: str) -> ChangePage:
        """Return the next page of the poll at which it stands; after its last one nothing is new."""
        if self._pages:
            return self._pages.pop(0)
        return ChangePage((), new_start_page_token=page_token)

    def list_files(self, query: str, *, oldest_first: bool = False) -> Iterator[DriveFile]:
        """Find nothing: what sweeps found is part of the recording."""
        del query, oldest_first
        return iter(())

    def get_file(self, file_id: str, *, patient: bool = True) -> DriveFile:  # noqa: ARG002 - nothing waits here
        answers = self._answers.get(file_id, [])
        position = bisect_left(answers, self._window_end, key=lambda answer: answer[0])
        # What was asked only later was the first answer then: dispatch trails the poll.
        file = answers[max(position - 1, 0)][1] if answers else None
        if file is None:
            raise NotFoundError(f"{file_id} was not visible when the feed was recorded", status=404, reason="notFound")
        return file

    def generate_ids(self, count: int) -> Sequence[str]:
        first = self._ids
        self._ids += count
        return [f"replayed-{number}" for number in range(first, self._ids)]

    def create_folder(self, file_id: str, name: str, parent: str | None) -> DriveFile:
        return DriveFile(
            id=file_id,
            name=name,
            mime_type=FOLDER_MIME_TYPE,
            parents=(parent or "root",),
            owned_by_me=True,
            owners=(self._recording.header.account,),
            last_modifying_user=self._recording.header.account,
        )

    def share(self, file_id: str, email: str, *, may_write: bool = True) -> Account:
        """Do nothing."""
        del file_id, may_write
        return Account(email, "")

    def access(self, file_id: str) -> Access:
        """Find nothing amiss."""
        del file_id
        return Access(can_write=True)

    def upload(
        self,
        file_id: str,
        name: str,
        parent: str,
        body: bytes | Path,
        *,
        properties: Mapping[str, str] | None = None,
    ) -> None:
        del file_id
        content = body if isinstance(body, bytes) else body.read_bytes()
        if (told := without_bodies(name, properties)) is not None:
            self.uploads.append(Upload(name, content, told, parent))

    def download(self, file_id: str, target: Path, *, size: int | None, sha256: str | None) -> None:
        """Copy a recorded content; where a redacted recording keeps none, zeros of the same length stand for it.

        Raises:
            NotFoundError: It was gone when the feed was recorded.
            RecordingError: It is not in the recording.
        """
        del sha256
        digest = self._contents.get(file_id)
        if digest is not None:
            try:
                with self._recording.open_body(digest) as body, target.open("wb") as copy:
                    shutil.copyfileobj(body, copy)
            except OSError as error:
                raise self._fail(f"the body of file {file_id} can't be read: {error}") from error
        elif file_id in self._gone or file_id in self._withdrawn:
            raise NotFoundError(f"{file_id} was gone when the feed was recorded", status=404, reason="notFound")
        elif self._recording.header.redacted:
            try:
                os.truncate(target, size or 0)
            except OSError as error:
                raise self._fail(f"a body of {size} bytes can't stand in for that of {file_id}: {error}") from error
        else:
            raise self._fail(
                f"the body of file {file_id} is asked for but was not recorded; record with bodies (--bodies), while a "
                "handler or pipeline loads them"
            )

    @cached_property
    def _withdrawn(self) -> set[str]:
        return withdrawn(self._recording)

    def delete(self, file_id: str) -> bool:
        """Do nothing."""
        del file_id
        return True

    def budget_delay(self, units: int) -> float:
        del units
        return 0.0

    def tell_of_limits(self, tell: Callable[[RateLimitedError], None]) -> None:
        """Do nothing: there are none."""

    def note_saving(self, saving: str, *, units: int = 0, size: int = 0) -> None:
        """Do nothing: there is no bill."""

    def close(self) -> None:
        """Do nothing."""

    def _fail(self, what: str) -> RecordingError:
        line = self._recording.entries[self._index].line
        error = RecordingError(f"{self._recording.path}: line {line}: {what}", line=line)
        self.failure = self.failure or error
        return error


def withdrawn(recording: Recording) -> set[str]:
    """Return the files that were gone before their turn came: of others in their folder the content was asked for."""
    removed: set[str] = set()
    folders = {raw["id"]: tuple(raw.get("parents", ())) for raw in recording.header.start.get("pending", ())}
    downloaded: set[str] = set()
    for entry in recording.entries:
        if entry.kind == "poll":
            changes = [change for page in entry.value for change in page.changes]
            removed |= {change.file_id for change in changes if change.file is None}
            folders |= {change.file_id: change.file.parents for change in changes if change.file is not None}
        elif entry.kind == "sweep":
            folders |= {file.id: file.parents for file in entry.value}
        elif entry.kind == "download":
            downloaded.add(entry.value)
    taken_from = {folder for file_id in downloaded for folder in folders.get(file_id, ())}
    return {file_id for file_id in removed - downloaded if not taken_from.isdisjoint(folders.get(file_id, ()))}


def recorded_uploads(recording: Recording) -> list[Upload]:
    """Return the messages that the account itself wrote while its feed was recorded with bodies, in order."""
    uploads: dict[str, Upload] = {}  # one that was tried again counts once
    for entry in recording.entries:
        if entry.kind == "upload" and entry.value["sha256"] is not None:
            with recording.open_body(entry.value["sha256"]) as body:
                content = body.read()
            properties = dict(entry.value.get("properties", {}))
            uploads[entry.value["id"]] = Upload(entry.value["name"], content, properties, entry.value["parent"])
    return list(uploads.values())


def shown_files(recording: Recording) -> Iterator[tuple[int, DriveFile]]:
    """Yield every file that the feed, sweeps and the starts show, with its line."""
    for raw in recording.header.start.get("pending", ()):
        yield 1, DriveFile.from_api(raw)
    for entry in recording.entries:
        if entry.kind == "poll":
            for page in entry.value:
                yield from ((entry.line, change.file) for change in page.changes if change.file is not None)
        elif entry.kind == "sweep":
            yield from ((entry.line, file) for file in entry.value)
        elif entry.kind == "resume":
            yield from ((entry.line, DriveFile.from_api(raw)) for raw in entry.value.get("pending", ()))
