"""A Google Drive in memory, without HTTP: for tests that need thousands of files, virtual time or random interleavings.

It keeps what the project relies on: who sees what, one change log per account that holds current states, pages,
reserved IDs. For everything else there is the emulator.
"""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from syft_flwr import wire
from syft_flwr.errors import ConflictError, NotFoundError, PermissionDeniedError
from syft_flwr.ports import Clock
from syft_flwr.resources import FOLDER_MIME_TYPE, DriveFile
from syft_flwr.testing.memory_feed import MemoryFeed

if TYPE_CHECKING:
    from syft_flwr.testing.memory_gateway import MemoryGateway


@dataclass(slots=True, eq=False)
class MemoryFile:
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


class MemoryDrive:
    """Files of any number of accounts. Thread-safe.

    Args:
        clock: Drive's time.

    Attributes:
        page_size: Entries on a page of the change feed.
        lag: Seconds for which ``list_files`` does not know a new file.
        hide: Tells whether an account's feed leaves a file's entries out for good; never, by default.
        calls: The account and method of every call.
        created: The names of all files and folders that there ever were, but for those made in the trash.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.page_size = 1000
        self.lag = 0.0
        self.hide: Callable[[str, DriveFile], bool] = lambda _account, _file: False
        self.calls: list[tuple[str, str]] = []
        self.created: list[str] = []
        self._lock = threading.RLock()
        self._files: dict[str, MemoryFile] = {}
        self._used: set[str] = set()
        self._children: dict[str, dict[str, None]] = {}
        self._roots: dict[str, str] = {}
        self._numbers = itertools.count(1)
        self._feeds: dict[str, MemoryFeed] = {}
        self._seen: dict[str, dict[str, None]] = {}
        """What each account sees or has seen: all that a list has to look through."""

    def gateway(self, email: str) -> MemoryGateway:
        """Return Drive as an account sees it."""
        account = email.lower()
        with self._lock:
            if account not in self._roots:
                root = MemoryFile(self._new_id(), "My Drive", FOLDER_MIME_TYPE, None, account, self._now(), b"", {})
                self._files[root.id] = root
                self._seen.setdefault(account, {})[root.id] = None
                self._roots[account] = root.id
                self._feeds[account] = MemoryFeed()
        from syft_flwr.testing.memory_gateway import MemoryGateway

        return MemoryGateway(self, account)

    def reject_tokens(self, email: str) -> None:
        """Let every page token that the account has got so far be refused."""
        with self._lock:
            self._feeds[email.lower()].reject_tokens()

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
    def edited(self) -> Iterator[list[MemoryFile]]:
        """Give all files, for the block to edit as it likes; the feed does not hear of it."""
        with self._lock:
            yield list(self._files.values())
            for file in self._files.values():
                for account in self._viewers(file):
                    self._seen.setdefault(account, {})[file.id] = None

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
    ) -> MemoryFile:
        with self._lock:
            folder = self._find(account, parent)
            if file_id in self._used:  # for good, whatever became of the file
                raise ConflictError(f"{file_id} exists", status=409)
            if account not in self._editors(folder):
                raise PermissionDeniedError("not a writer", status=403)
            file = MemoryFile(file_id, name, mime_type, parent, account, self._now(), body, dict(properties or {}))
            self._inherit_trash(file)
            self._files[file_id] = file
            self._used.add(file_id)
            if not file.trashed:  # else it is sent again
                self.created.append(name)
            self._children.setdefault(parent, {})[file_id] = None
            self._log(file, self._viewers(file))
            return file

    def _find(self, account: str, file_id: str) -> MemoryFile:
        file = self._files.get(file_id)
        if file is None or account not in self._viewers(file):
            raise NotFoundError(f"File not found: {file_id}", status=404)
        return file

    def _editors(self, file: MemoryFile) -> set[str]:
        people = {file.owner} | file.writers
        while file.parent is not None and file.parent in self._files:
            file = self._files[file.parent]
            people |= {file.owner} | file.writers
        return people

    def _viewers(self, file: MemoryFile) -> set[str]:
        people = self._editors(file) | set(file.readers)
        while file.parent is not None and file.parent in self._files:
            file = self._files[file.parent]
            people |= set(file.readers)
        return people

    def _tree(self, file: MemoryFile) -> Iterator[MemoryFile]:
        yield file
        for child in list(self._children.get(file.id, ())):
            yield from self._tree(self._files[child])

    def _inherit_trash(self, file: MemoryFile) -> None:
        """Let a file be in the trash if it was put there itself, or lies in a folder that is in the trash."""
        file.trashed = file.explicitly_trashed or (file.parent is not None and self._files[file.parent].trashed)

    def _log(self, file: MemoryFile, accounts: set[str]) -> None:
        for account in accounts:
            self._seen.setdefault(account, {})[file.id] = None
            if account in self._feeds and not self.hide(account, self._show(file, account)):
                self._feeds[account].add(file.id, self.clock.time())

    def _show(self, file: MemoryFile, account: str) -> DriveFile:
        parent = self._files.get(file.parent or "")
        return DriveFile(
            id=file.id,
            name=file.name,
            mime_type=file.mime_type,
            parents=(parent.id,) if parent is not None and account in self._viewers(parent) else (),
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
