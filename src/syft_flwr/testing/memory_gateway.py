"""The Drive in memory as one account sees it."""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from drive_emulator.query import And, Condition, Expression, Not, Or, bind, parse_query
from drive_emulator.words import contains_prefixes
from syft_flwr import wire
from syft_flwr.errors import (
    ConflictError,
    DamagedDownloadError,
    PageTokenRejectedError,
    RateLimitedError,
    RuntimeClosedError,
)
from syft_flwr.resources import FOLDER_MIME_TYPE, Access, Account, Change, ChangePage, DriveFile
from syft_flwr.testing.memory_drive import MemoryDrive, MemoryFile
from syft_flwr.testing.memory_feed import MemoryFeed

_RELATIONS: Mapping[str, Callable[[datetime, datetime], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_FIELDS = {"name": "name", "mimeType": "mime_type"}


class MemoryGateway:
    """A :class:`~syft_flwr.ports.DriveGateway` on a :class:`MemoryDrive`."""

    def __init__(self, drive: MemoryDrive, account: str) -> None:
        self._drive = drive
        self._account = account
        self._closed = False

    @property
    def _feed(self) -> MemoryFeed:
        return self._drive._feeds[self._account]

    def about(self) -> Account:
        self._call("about.get")
        return Account(self._account, f"permission-{self._account}")

    def get_start_page_token(self) -> str:
        self._call("changes.getStartPageToken")
        with self._drive._lock:
            return str(self._feed.start_token())

    def peek(self) -> str:
        return self.get_start_page_token()

    def list_changes(self, page_token: str) -> ChangePage:
        self._call("changes.list")
        token = int(page_token)
        with self._drive._lock:
            if token < self._feed.oldest_token:
                raise PageTokenRejectedError("the page token is too old", status=410)
            entries = self._feed.since(token)
            page = entries[: self._drive.page_size]
            changes = tuple(self._change(file_id, at) for file_id, _, at in page)
            if len(entries) > len(page):
                return _page(changes, "nextPageToken", page[-1][1] + 1)
            return _page(changes, "newStartPageToken", max(token, self._feed.start_token()))

    def list_files(self, query: str, *, oldest_first: bool = False) -> Iterator[DriveFile]:
        self._call("files.list")
        drive = self._drive
        with drive._lock:
            parsed = bind(parse_query(query), folders={"root": drive._roots[self._account]}, me=self._account)
            for folder_id in query.split("'")[1::2]:
                if folder_id.startswith("id0") and f"'{folder_id}' in parents" in query:
                    drive._find(self._account, folder_id)
            matches = _matcher(parsed)
            newest = drive._now().timestamp() - drive.lag
            found = [
                drive._show(file, self._account)
                for file in filter(None, map(drive._files.get, drive._seen[self._account]))
                if file.created_time.timestamp() <= newest and matches(file) and self._account in drive._viewers(file)
            ]
        found.sort(key=operator.attrgetter("created_time"))
        return iter(found) if oldest_first else reversed(found)

    def get_file(self, file_id: str, *, patient: bool = True) -> DriveFile:  # noqa: ARG002 - nothing waits here
        self._call("files.get")
        with self._drive._lock:
            return self._drive._show(self._drive._find(self._account, file_id), self._account)

    def generate_ids(self, count: int) -> Sequence[str]:
        self._call("files.generateIds")
        return [self._drive._new_id() for _ in range(count)]

    def create_folder(self, file_id: str, name: str, parent: str | None) -> DriveFile:
        self._call("files.create")
        drive = self._drive
        try:
            drive._create(
                self._account, file_id, name, parent or drive._roots[self._account], mime_type=FOLDER_MIME_TYPE
            )
        except ConflictError:
            self._check_made_before(file_id, name)
        return self.get_file(file_id)

    def access(self, file_id: str) -> Access:
        self._call("files.get")
        drive = self._drive
        with drive._lock:
            file = drive._find(self._account, file_id)
            writers = {f"permission-{writer}": writer for writer in drive._editors(file)}
            can_write = self._account in writers.values()
        return Access(can_write, writers, name=file.name, trashed=file.trashed)

    def share(self, file_id: str, email: str, *, may_write: bool = True) -> Account:
        self._call("permissions.create")
        drive = self._drive
        with drive._lock:
            file = drive._find(self._account, file_id)
            if may_write:
                file.writers.add(email.lower())
            else:
                file.readers = (*file.readers, email.lower())
            for each in drive._tree(file):
                drive._log(each, {email.lower()})
        return Account(email, f"permission-{email.lower()}")

    def upload(
        self,
        file_id: str,
        name: str,
        parent: str,
        body: bytes | Path,
        *,
        properties: Mapping[str, str] | None = None,
    ) -> None:
        self._call("files.create")
        content = body if isinstance(body, bytes) else body.read_bytes()
        try:
            self._drive._create(self._account, file_id, name, parent, body=content, properties=properties)
        except ConflictError:
            self._check_made_before(file_id, name)
        if self._drive._find(self._account, file_id).trashed:
            self.delete(file_id)  # else two would come back from the trash
            raise ConflictError("the folder lies in the trash")

    def download(self, file_id: str, target: Path, *, size: int | None, sha256: str | None) -> None:
        self._call("files.get_media")
        with self._drive._lock:
            content = self._drive._find(self._account, file_id).content
        if size not in (None, len(content)) or sha256 not in (None, hashlib.sha256(content).hexdigest()):
            raise DamagedDownloadError(
                f"{file_id} is not what its metadata said", sha256=hashlib.sha256(content).hexdigest()
            )
        target.write_bytes(content)

    def delete(self, file_id: str) -> bool:
        self._call("files.delete")
        with self._drive._lock:
            was_there = file_id in self._drive._files
            if was_there:
                self._drive.remove(file_id)
            return was_there

    def server_time(self) -> float:
        return self._drive.clock.time()

    def budget_delay(self, units: int) -> float:
        del units
        return 0.0

    def tell_of_limits(self, tell: Callable[[RateLimitedError], None]) -> None:
        """Do nothing: there are none."""

    def note_saving(self, saving: str, *, units: int = 0, size: int = 0) -> None:
        """Do nothing: there is no bill."""

    def close(self) -> None:
        self._closed = True

    def _check_made_before(self, file_id: str, name: str) -> None:
        made = self._drive._files.get(file_id)
        if made is None or made.name != name:
            raise ConflictError(f"the reserved ID {file_id} is that of another file")

    def _call(self, method: str) -> None:
        if self._closed:
            raise RuntimeClosedError("the connection to Drive is closed")
        self._drive.calls.append((self._account, method))

    def _change(self, file_id: str, at: float) -> Change:
        drive, time = self._drive, wire.timestamp(at)
        file = drive._files.get(file_id)
        if file is None or self._account not in drive._viewers(file):
            return Change(file_id, removed=True, time=time)
        return Change(file_id, time=time, file=drive._show(file, self._account))


def _matcher(expression: Expression) -> Callable[[MemoryFile], bool]:
    """Return what asks of a file what this project's queries ask.

    Raises:
        NotImplementedError: It is another query.
    """
    match expression:
        case And(operands):
            every = [_matcher(operand) for operand in operands]
            return lambda file: all(matches(file) for matches in every)
        case Or(operands):
            some = [_matcher(operand) for operand in operands]
            return lambda file: any(matches(file) for matches in some)
        case Not(operand):
            matches = _matcher(operand)
            return lambda file: not matches(file)
        case Condition("parents", _, folder):
            return lambda file: file.parent == folder
        case Condition("owners", _, str(person)):
            owner = person.lower()
            return lambda file: file.owner == owner
        case Condition("trashed", _, value):
            return lambda file: file.trashed == value
        case Condition("name", "contains", str(value)):
            return lambda file: contains_prefixes(file.name, str(value))
        case Condition("name" | "mimeType" as term, "=" | "!=" as relation, str(value)):
            wanted, is_same, held = value.lower(), relation == "=", operator.attrgetter(_FIELDS[term])
            return lambda file: (held(file).lower() == wanted) == is_same
        case Condition("createdTime", "<" | "<=" | ">" | ">=" as relation, datetime() as moment):
            holds = _RELATIONS[relation]
            return lambda file: holds(file.created_time, moment)
        case _:
            raise NotImplementedError(f"the Drive in memory can't be asked for {expression}")


def _page(changes: Sequence[Change], name: str, token: int) -> ChangePage:
    """Return a page as it would come from Drive, so that it can be recorded."""
    raw = [
        {"fileId": change.file_id, "removed": change.removed, "time": change.time}
        | ({} if change.file is None else {"file": change.file.to_api()})
        for change in changes
    ]
    return ChangePage.from_api({"changes": raw, name: str(token)})
