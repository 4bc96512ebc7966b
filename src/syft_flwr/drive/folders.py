"""The folders of the inboxes: which path a file lies in.

Known folders are kept in memory and in a disposable store, so a folder costs one ``files.get`` in its life; the
feed keeps them current (:meth:`FolderIndex.observe`).
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import islice

from syft_flwr import wire
from syft_flwr.addresses import fold_address, same_address
from syft_flwr.errors import NotFoundError, PermissionDeniedError
from syft_flwr.ports import DriveGateway, StateStore, Transaction
from syft_flwr.resources import Change, DriveFile
from syft_flwr.wire import Inbox, InboxPath

_DEPTH = len(InboxPath._fields)
_RETRIES = 20
"""Invisible folders to ask for again at a time: a stranger can make up any number of them."""


@dataclass(frozen=True, slots=True)
class Location:
    """Where a file lies: the parties and names of its inbox, its endpoint's folder, and the inbox's root."""

    inbox: Inbox
    app: str
    endpoint: str
    folder_id: str
    root: DriveFile


@dataclass(frozen=True, slots=True)
class Unresolved:
    """The path can't be told yet: this folder on it is not visible (``None``: Drive shows no parent)."""

    folder_id: str | None


class FolderIndex:
    """What this account knows of the folders that matter to it. Thread-safe.

    Args:
        gateway: The account's Drive.
        store: Where to remember; losing it costs calls, nothing else.
        me: The account's address.
    """

    def __init__(self, gateway: DriveGateway, store: StateStore, me: str) -> None:
        self._gateway = gateway
        self._store = store
        self._me = me
        self._lock = threading.Lock()
        self._folders: dict[str, DriveFile] = {}
        self._children: defaultdict[str, set[str]] = defaultdict(set)
        self._by_root_name: defaultdict[str, set[str]] = defaultdict(set)
        self._locations: dict[str, Location | None] = {}
        self._walked: set[str] = set()
        """The folders on the paths in ``_locations``."""
        self._invisible: dict[str, None] = {}
        self._news: set[str] = set()
        self._moved = False
        self.version = 0
        """Rises whenever a folder has changed."""
        rows = store.transact(lambda tx: [row for _, row in tx.scan("folder/")])
        for row in rows:
            self._insert(DriveFile.from_api(row))

    def locate(self, file: DriveFile, *, ask: bool = True) -> Location | Unresolved | None:
        """Tell where a file lies; ``None`` when that is no inbox endpoint.

        Costs a ``files.get`` for each folder on the path that was never seen, unless it is not to ``ask`` Drive.
        """
        if not file.parents:
            return Unresolved(None)
        return self._locate_folder(file.parents[0], ask=ask)

    def take_news(self) -> set[str]:
        """Return the folders for which a file could not be located and may be now, each once."""
        with self._lock:
            news, self._news = self._news, set()
            return news

    def take_moved(self) -> bool:
        """Tell, once, whether known folders were renamed, moved or lost: files may lie elsewhere than was thought."""
        with self._lock:
            moved, self._moved = self._moved, False
            return moved

    def endpoints(self, *, outgoing: bool = False) -> list[Location]:
        """Return every known endpoint folder of the inboxes to this account, or from it (``outgoing``)."""
        with self._lock:
            rpc = [folder.id for folder in self._folders.values() if folder.name == wire.RPC_FOLDER]
            candidates = [child for folder_id in rpc for child in self._children.get(folder_id, ())]
        located = (self._locate_folder(candidate) for candidate in candidates)
        return [
            location
            for location in located
            if isinstance(location, Location)
            and same_address(location.inbox.sender if outgoing else location.inbox.recipient, self._me)
        ]

    def childless(self, name: str) -> list[str]:
        """Return the IDs of the known folders of this name in which no folder is known."""
        with self._lock:
            return [f.id for f in self._folders.values() if f.name == name and not self._children.get(f.id)]

    def inbox_roots(self) -> set[str]:
        """Return the IDs of the known roots of inboxes that are addressed to this account."""
        with self._lock:
            roots = [self._folders[folder_id] for ids in self._by_root_name.values() for folder_id in ids]
        parsed = [(root.id, wire.parse_inbox_root(root.name, self._me)) for root in roots]
        return {root_id for root_id, inbox in parsed if inbox and same_address(inbox.recipient, self._me)}

    def is_gone(self, folder_id: str) -> bool:
        """Tell whether a folder that was known is not any more."""
        with self._lock:
            return folder_id not in self._folders

    def roots_named(self, name: str) -> list[DriveFile]:
        """Return the known inbox roots (and SyftBox folders) of this name, without regard to case."""
        with self._lock:
            return [self._folders[folder_id] for folder_id in self._by_root_name.get(fold_address(name), ())]

    def children_named(self, parent: str, name: str) -> list[DriveFile]:
        """Return the known folders of this name in a folder."""
        with self._lock:
            children = [self._folders[folder_id] for folder_id in self._children.get(parent, ())]
        return [child for child in children if child.name == name]

    def known(self) -> list[DriveFile]:
        """Return every known folder."""
        with self._lock:
            return list(self._folders.values())

    def with_names(self, names: Collection[str]) -> list[DriveFile]:
        """Return the known folders that have one of these names or an inbox root's."""
        with self._lock:
            return [f for f in self._folders.values() if f.name in names or f.name.startswith(wire.INBOX_PREFIX)]

    def observe(self, changes: Iterable[Change]) -> None:
        """Take over what a page of the feed says of folders, in one transaction."""
        seen: list[DriveFile] = []
        gone: set[str] = set()
        for change in changes:
            file = change.file
            if file is None or change.removed or file.trashed:
                gone.add(change.file_id)
            elif file.is_folder:
                seen.append(file)
        if seen or gone:
            self._update(self._of_interest(seen), gone)

    def add(self, folders: Iterable[DriveFile]) -> None:
        """Remember folders as Drive shows them now."""
        self._update(folders, ())

    def refresh(self, folder_id: str) -> None:
        """Ask Drive how a known folder stands, whatever the feed did or did not say."""
        folder = self._fetch(folder_id)
        if folder is None:
            self._update((), (folder_id,))
        else:
            self.add([folder])

    def forget(self, folder_id: str) -> None:
        """Drop a folder that is gone."""
        self._update((), (folder_id,))

    def retry_invisible(self) -> None:
        """Ask Drive again, when next needed, for some of the folders that it did not show."""
        with self._lock:
            for folder_id in list(islice(self._invisible, _RETRIES)):
                del self._invisible[folder_id]
                self._news.add(folder_id)

    def _update(self, folders: Iterable[DriveFile], gone: Collection[str]) -> None:
        with self._lock:
            changed = [folder for folder in folders if self._folders.get(folder.id) != folder]
            lost = [folder_id for folder_id in gone if folder_id in self._folders]
            if not changed and not lost:
                return
            for folder_id in lost:
                self._remove(folder_id)
            self._moved |= bool(lost)
            for folder in changed:
                before = self._folders.get(folder.id)
                self._moved |= before is not None and (before.name, before.parents) != (folder.name, folder.parents)
                self._remove(folder.id)
                self._insert(folder)
                self._invisible.pop(folder.id, None)
                self._news.add(folder.id)
            # A path may have begun or ceased to lead to an inbox; to walk it again costs no call. A new folder below
            # known ones ends no path that is known.
            if not self._walked.isdisjoint([*lost, *(folder.id for folder in changed)]):
                self._locations, self._walked = {}, set()
            self.version += 1

        def work(tx: Transaction) -> None:
            for folder_id in lost:
                tx.delete(f"folder/{folder_id}")
            for folder in changed:
                tx.put(f"folder/{folder.id}", folder.to_api())

        self._store.transact(work)

    def _locate_folder(self, endpoint_id: str, *, ask: bool = True) -> Location | Unresolved | None:
        known, walked, version = self._locations, self._walked, self.version
        if endpoint_id in known:
            return known[endpoint_id]
        chain: list[DriveFile] = []
        folder_id: str | None = endpoint_id
        while folder_id is not None and len(chain) < _DEPTH:
            folder = self._get(folder_id, ask=ask)
            if folder is None:
                return Unresolved(folder_id)
            chain.append(folder)
            if (inbox := wire.parse_inbox_root(folder.name, self._me)) is not None:
                break
            folder_id = next(iter(folder.parents), None)
        else:
            if len(chain) < _DEPTH and not chain[-1].owned_by_me:
                return Unresolved(chain[-1].id)  # Drive does not show where it lies
            inbox = None
        location = None
        if inbox is not None and len(chain) == _DEPTH and chain[1].name == wire.RPC_FOLDER:
            location = Location(inbox, app=chain[2].name, endpoint=chain[0].name, folder_id=endpoint_id, root=chain[3])
        with self._lock:
            if self.version == version:  # else something changed meanwhile, maybe on this path
                known[endpoint_id] = location
                walked.update(folder.id for folder in chain)
        return location

    def _get(self, folder_id: str, *, ask: bool) -> DriveFile | None:
        with self._lock:
            folder = self._folders.get(folder_id)
            if folder is not None or folder_id in self._invisible or not ask:
                return folder
        folder = self._fetch(folder_id)
        if folder is None:
            with self._lock:
                self._invisible[folder_id] = None
            return None
        self.add([folder])
        return folder

    def _fetch(self, folder_id: str) -> DriveFile | None:
        try:
            folder = self._gateway.get_file(folder_id, patient=False)
        except (NotFoundError, PermissionDeniedError):
            return None
        return None if folder.trashed else folder

    def _of_interest(self, folders: Iterable[DriveFile]) -> list[DriveFile]:
        """Return those that are known, are missed, bear a name of ours, or lie in one that does, in any order."""
        wanted: dict[str, DriveFile] = {}
        rest = list(folders)
        with self._lock:
            while True:
                more = {
                    folder.id: folder
                    for folder in rest
                    if folder.id in self._folders
                    or folder.id in self._invisible
                    or any(parent in self._folders or parent in wanted for parent in folder.parents)
                    or folder.name in (wire.RPC_FOLDER, wire.SYFTBOX_FOLDER)
                    or folder.name.startswith(wire.INBOX_PREFIX)
                }
                if not more:
                    return list(wanted.values())
                wanted |= more
                rest = [folder for folder in rest if folder.id not in more]

    def _insert(self, folder: DriveFile) -> None:
        self._folders[folder.id] = folder
        for parent in folder.parents:
            self._children[parent].add(folder.id)
        if folder.name == wire.SYFTBOX_FOLDER or folder.name.startswith(wire.INBOX_PREFIX):
            self._by_root_name[fold_address(folder.name)].add(folder.id)

    def _remove(self, folder_id: str) -> None:
        folder = self._folders.pop(folder_id, None)
        if folder is None:
            return
        for parent in folder.parents:
            self._children[parent].discard(folder_id)
        self._by_root_name[fold_address(folder.name)].discard(folder_id)
