"""A Google Drive in memory, without HTTP: for tests that need thousands of files, virtual time or random interleavings.

It keeps what the project relies on: who sees what, one change log per account that holds current states, pages,
reserved IDs. For everything else there is the emulator.
"""

from __future__ import annotations

import hashlib
import itertools
import operator
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from drive_emulator.query import bind, parse_query
from drive_emulator.query_ast import (
    And,
    BooleanCondition,
    Expression,
    Membership,
    Not,
    Or,
    TextCondition,
    TimeCondition,
)
from drive_emulator.words import contains_prefixes
from syft_flwr import wire
from syft_flwr.errors import (
    ConflictError,
    DamagedDownloadError,
    NotFoundError,
    PageTokenRejectedError,
    PermissionDeniedError,
    RateLimitedError,
    RuntimeClosedError,
)
from syft_flwr.models import FOLDER_MIME_TYPE, Access, Account, Change, ChangePage, DriveFile
from syft_flwr.ports import Clock

_RELATIONS: Mapping[str, Callable[[datetime, datetime], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(slots=True, eq=False)
class _File:
    """A file or folder of an account."""

    id: str
    name: str
    mime_type: str
    parent: str | None
    owner: str
    created_time: datetime
    content: bytes
    properties: Mapping[str, str]
    trashed: bool = False
    explicitly_trashed: bool = False
    writers: set[str] = field(default_factory=set)
    readers: tuple[str, ...] = ()

    @property
    def parents(self) -> tuple[str, ...]:
        return () if self.parent is None else (self.parent,)


class MemoryDrive:
    """Files of any number of accounts. Thread-safe.

    Args:
        clock: Drive's time.

    Attributes:
        page_size: Entries on a page of the change feed.
        lag: Seconds for which ``list_files`` does not know a new file.
        hide: Tells whether an account's feed leaves a file's entries out for good; never, by default.
        calls: The account and method of every call.
        created: The names of all files and folders that there ever were.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.page_size = 1000
        self.lag = 0.0
        self.hide: Callable[[str, DriveFile], bool] = lambda _account, _file: False
        self.calls: list[tuple[str, str]] = []
        self.created: list[str] = []
        self._lock = threading.RLock()
        self._files: dict[str, _File] = {}
        self._used: set[str] = set()
        self._children: dict[str, dict[str, None]] = {}
        self._roots: dict[str, str] = {}
        self._numbers = itertools.count(1)
        self._positions: dict[str, int] = {}
        self._logs: dict[str, dict[str, int]] = {}
        self._times: dict[tuple[str, int], float] = {}
        self._oldest_token: dict[str, int] = {}

    def gateway(self, email: str) -> MemoryGateway:
        """Return Drive as an account sees it."""
        account = email.lower()
        with self._lock:
            if account not in self._roots:
                root = _File(self._new_id(), "My Drive", FOLDER_MIME_TYPE, None, account, self._now(), b"", {})
                self._files[root.id] = root
                self._roots[account] = root.id
                self._logs[account] = {}
                self._positions[account] = 0
        return MemoryGateway(self, account)

    def reject_tokens(self, email: str) -> None:
        """Let every page token that the account has got so far be refused."""
        with self._lock:
            account = email.lower()
            self._positions[account] += 1
            self._oldest_token[account] = self._positions[account] + 1

    def touch(self, file_id: str) -> None:
        """Put a file into the feeds of all who see it, although nothing has changed."""
        with self._lock:
            self._log(self._files[file_id], self._viewers(self._files[file_id]))

    def move(self, file_id: str, *, parent: str | None = None, name: str | None = None) -> None:
        """Move or rename a file or folder, as its owner."""
        with self._lock:
            file = self._files[file_id]
            tree = list(self._tree(file))
            before = {each.id: self._viewers(each) for each in tree}
            if parent is not None:
                self._children.get(file.parent or "", {}).pop(file_id, None)
                file.parent = parent
                self._children.setdefault(parent, {})[file_id] = None
            file.name = name or file.name
            for each in tree:
                self._inherit_trash(each)
            self._log(file, before[file.id] | self._viewers(file))
            for each in tree[1:]:
                self._log(each, before[each.id] ^ self._viewers(each))

    def date(self, file_id: str, created: datetime) -> None:
        """Give a file another time of creation, as the client that uploads it may."""
        with self._lock:
            self._files[file_id].created_time = created
            self._log(self._files[file_id], self._viewers(self._files[file_id]))

    @contextmanager
    def edited(self) -> Iterator[list[_File]]:
        """Give all files, for the block to edit as it likes; the feed does not hear of it."""
        with self._lock:
            yield list(self._files.values())

    def trash(self, file_id: str, *, trashed: bool = True) -> None:
        """Put a file or folder, and what is in it, into the trash, or take it out."""
        with self._lock:
            self._files[file_id].explicitly_trashed = trashed
            for file in self._tree(self._files[file_id]):
                self._inherit_trash(file)
                self._log(file, self._viewers(file))

    def remove(self, file_id: str) -> None:
        """Delete a file or folder, and what is in it, for good."""
        with self._lock:
            for file in reversed(list(self._tree(self._files[file_id]))):
                viewers = self._viewers(file)
                del self._files[file.id]
                self._children.get(file.parent or "", {}).pop(file.id, None)
                self._log(file, viewers)

    def files(self) -> list[tuple[str, str, bytes]]:
        """Return owner, name and content of everything but folders, oldest first."""
        with self._lock:
            return [(f.owner, f.name, f.content) for f in self._files.values() if f.mime_type != FOLDER_MIME_TYPE]

    def folders(self) -> list[DriveFile]:
        """Return all folders but the accounts' roots, as their owners see them."""
        with self._lock:
            found = [f for f in self._files.values() if f.mime_type == FOLDER_MIME_TYPE and f.name != "My Drive"]
            return [self._show(folder, folder.owner) for folder in found]

    # -- what the gateways ask --------------------------------------------------------------------------------

    def _start_token(self, account: str) -> str:
        newest = next(reversed(self._logs[account].values()), 0)
        return str(max(newest + 1, self._oldest_token.get(account, 0)))

    def _new_id(self) -> str:
        return f"id{next(self._numbers):012d}"

    def _now(self) -> datetime:
        return datetime.fromisoformat(wire.timestamp(self.clock.time()))

    def _create(
        self,
        account: str,
        file_id: str,
        name: str,
        parent: str,
        *,
        mime_type: str = "application/octet-stream",
        body: bytes = b"",
        properties: Mapping[str, str] | None = None,
    ) -> _File:
        with self._lock:
            folder = self._find(account, parent)
            if file_id in self._used:  # for good, whatever became of the file
                raise ConflictError(f"{file_id} exists", status=409)
            if account not in self._editors(folder):
                raise PermissionDeniedError("not a writer", status=403)
            file = _File(file_id, name, mime_type, parent, account, self._now(), body, dict(properties or {}))
            self._files[file_id] = file
            self._used.add(file_id)
            self.created.append(name)
            self._children.setdefault(parent, {})[file_id] = None
            self._log(file, self._viewers(file))
            return file

    def _find(self, account: str, file_id: str) -> _File:
        file = self._files.get(file_id)
        if file is None or account not in self._viewers(file):
            raise NotFoundError(f"File not found: {file_id}", status=404)
        return file

    def _editors(self, file: _File) -> set[str]:
        people = {file.owner} | file.writers
        while file.parent is not None and file.parent in self._files:
            file = self._files[file.parent]
            people |= {file.owner} | file.writers
        return people

    def _viewers(self, file: _File) -> set[str]:
        people = self._editors(file) | set(file.readers)
        while file.parent is not None and file.parent in self._files:
            file = self._files[file.parent]
            people |= set(file.readers)
        return people

    def _tree(self, file: _File) -> Iterator[_File]:
        yield file
        for child in list(self._children.get(file.id, ())):
            yield from self._tree(self._files[child])

    def _inherit_trash(self, file: _File) -> None:
        """Let a file be in the trash if it was put there itself, or lies in a folder that is in the trash."""
        file.trashed = file.explicitly_trashed or (file.parent is not None and self._files[file.parent].trashed)

    def _log(self, file: _File, accounts: set[str]) -> None:
        for account in accounts:
            if account in self._logs and not self.hide(account, self._show(file, account)):
                self._positions[account] += 1
                log = self._logs[account]
                log.pop(file.id, None)
                log[file.id] = self._positions[account]
                self._times[account, log[file.id]] = self.clock.time()

    def _show(self, file: _File, account: str) -> DriveFile:
        parent = self._files.get(file.parent or "")
        return DriveFile(
            id=file.id,
            name=file.name,
            mime_type=file.mime_type,
            parents=file.parents if parent is not None and account in self._viewers(parent) else (),
            trashed=file.trashed,
            size=None if file.mime_type == FOLDER_MIME_TYPE else len(file.content),
            created_time=wire.timestamp(file.created_time.timestamp()),
            sha256=hashlib.sha256(file.content).hexdigest(),
            owned_by_me=file.owner == account,
            owners=(file.owner,),
            last_modifying_user=file.owner,
            owner_ids=(f"permission-{file.owner}",),
            editor_id=f"permission-{file.owner}",
            properties=file.properties,
        )


class MemoryGateway:
    """A :class:`~syft_flwr.ports.DriveGateway` on a :class:`MemoryDrive`."""

    def __init__(self, drive: MemoryDrive, account: str) -> None:
        self._drive = drive
        self._account = account
        self._closed = False

    def about(self) -> Account:
        self._call("about.get")
        return Account(self._account, f"permission-{self._account}")

    def get_start_page_token(self) -> str:
        self._call("changes.getStartPageToken")
        return self._drive._start_token(self._account)

    def peek(self, *, polls: bool = True) -> str:
        del polls
        return self.get_start_page_token()

    def list_changes(self, page_token: str) -> ChangePage:
        self._call("changes.list")
        drive = self._drive
        with drive._lock:
            position = int(page_token)
            if position < drive._oldest_token.get(self._account, 0):
                raise PageTokenRejectedError("the page token is too old", status=410)
            entries = list(
                itertools.takewhile(lambda entry: entry[1] >= position, reversed(drive._logs[self._account].items()))
            )[::-1]
            page = entries[: drive.page_size]
            changes = tuple(self._change(file_id) for file_id, _ in page)
            if len(entries) > len(page):
                return ChangePage(changes, next_page_token=str(page[-1][1] + 1))
            return ChangePage(changes, new_start_page_token=str(max(position, int(drive._start_token(self._account)))))

    def list_files(self, query: str, *, oldest_first: bool = False) -> Iterator[DriveFile]:
        self._call("files.list")
        drive = self._drive
        with drive._lock:
            parsed = bind(parse_query(query), folders={"root": drive._roots[self._account]}, me=self._account)
            for folder_id in query.split("'")[1::2]:
                if folder_id.startswith("id0") and f"'{folder_id}' in parents" in query:
                    drive._find(self._account, folder_id)
            newest = drive._now().timestamp() - drive.lag
            found = [
                drive._show(file, self._account)
                for file in drive._files.values()
                if file.created_time.timestamp() <= newest
                and _matches(parsed, file)
                and self._account in drive._viewers(file)
            ]
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
            writers = drive._editors(drive._find(self._account, file_id))
        return Access(self._account in writers, {f"permission-{writer}": writer for writer in writers})

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
        if self._drive._find(self._account, file_id).name != name:
            raise ConflictError(f"the reserved ID {file_id} is that of another file")

    def _call(self, method: str) -> None:
        if self._closed:
            raise RuntimeClosedError("the connection to Drive is closed")
        self._drive.calls.append((self._account, method))

    def _change(self, file_id: str) -> Change:
        drive = self._drive
        time = wire.timestamp(drive._times[self._account, drive._logs[self._account][file_id]])
        file = drive._files.get(file_id)
        if file is None or self._account not in drive._viewers(file):
            return Change(file_id, removed=True, time=time)
        return Change(file_id, time=time, file=drive._show(file, self._account))


def _matches(expression: Expression, file: _File) -> bool:
    """Ask of a file what this project's queries ask.

    Raises:
        NotImplementedError: It is another query.
    """
    match expression:
        case And(operands):
            return all(_matches(operand, file) for operand in operands)
        case Or(operands):
            return any(_matches(operand, file) for operand in operands)
        case Not(operand):
            return not _matches(operand, file)
        case Membership("parents", folder):
            return file.parent == folder
        case Membership("owners", person):
            return file.owner == person.lower()
        case BooleanCondition("trashed", value):
            return file.trashed == value
        case TextCondition("name", "contains", value):
            return contains_prefixes(file.name, value)
        case TextCondition("name" | "mimeType" as term, relation, value) if relation != "contains":
            held = file.name if term == "name" else file.mime_type
            return (held.lower() == value.lower()) == (relation == "=")
        case TimeCondition("createdTime", "<" | "<=" | ">" | ">=" as relation, moment):
            return _RELATIONS[relation](file.created_time, moment)
        case _:
            raise NotImplementedError(f"the Drive in memory can't be asked for {expression}")
