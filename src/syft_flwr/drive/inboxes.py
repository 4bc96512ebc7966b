"""Find or create the folders that messages are written to, and share their roots."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from syft_flwr import wire
from syft_flwr.drive.folders import FolderIndex, belongs_to
from syft_flwr.drive.query import any_of, quote
from syft_flwr.errors import NotFoundError
from syft_flwr.models import FOLDER_MIME_TYPE, DriveFile
from syft_flwr.ports import DriveGateway, StateStore, Transaction
from syft_flwr.wire import InboxPath


class InboxMaker:
    """Makes inboxes for one account. Thread-safe; what concerns one peer is done by one thread at a time.

    Args:
        gateway: The account's Drive.
        index: What is known of the folders already.
        store: Remembers reserved IDs and granted shares, so that no step is done twice, by whichever process.
        me: The account's address.
        reserve: Returns a fresh reserved file ID.
    """

    def __init__(
        self, gateway: DriveGateway, index: FolderIndex, store: StateStore, me: str, *, reserve: Callable[[], str]
    ) -> None:
        self._gateway = gateway
        self._index = index
        self._store = store
        self._me = me
        self._reserve = reserve
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._all_children_known: set[str] = set()
        self._looked_for: set[str] = set()

    def ensure(self, paths: Sequence[InboxPath], *, peer: str) -> list[str]:
        """Return the IDs of the endpoint folders of these paths, creating and sharing what is missing.

        All paths are between this account and ``peer``. An existing folder serves when one of the two owns it,
        of several the oldest. A root of our own is shared with the peer before anything is put into it.

        Raises:
            DriveError: Drive does not let us. To call again goes on where this call stopped, with the same
                reserved IDs, also in a later process.
        """
        with self._locks[peer.lower()]:
            try:
                return self._ensure(paths, peer)
            except NotFoundError:
                self.recheck(paths)
                return self._ensure(paths, peer)

    def recheck(self, paths: Iterable[InboxPath]) -> None:
        """Ask Drive about the known folders of these paths, after it turned out that one of them is gone."""
        for syftbox in self._index.roots_named(wire.SYFTBOX_FOLDER):
            self._index.refresh(syftbox.id)
        for path in set(paths):
            folders = self._index.roots_named(path.root)
            for name in (*path[1:], ""):
                for folder in folders:
                    self._index.refresh(folder.id)
                folders = [child for folder in folders for child in self._index.children_named(folder.id, name)]

    def _ensure(self, paths: Sequence[InboxPath], peer: str) -> list[str]:
        parties = frozenset((self._me.lower(), peer.lower()))
        self._look_up_roots({path.root for path in paths}, parties)
        parents = [self._root(path.root, parties, peer) for path in paths]
        for depth in range(1, len(InboxPath._fields)):
            wanted = [(parent, path[depth]) for parent, path in zip(parents, paths, strict=True)]
            self._look_up_children(wanted, parties)
            parents = [self._child(parent, name, parties) for parent, name in wanted]
        return parents

    def _root(self, name: str, parties: frozenset[str], peer: str) -> str:
        root = _oldest(self._index.roots_named(name), parties)
        if root is None:
            with self._locks[""]:
                syftbox = self._syftbox() or self._create(None, wire.SYFTBOX_FOLDER)
            root = self._create(syftbox.id, name)
        if root.owned_by_me:
            self._share(root.id, peer)
        return root.id

    def _child(self, parent: str, name: str, parties: frozenset[str]) -> str:
        child = _oldest(self._index.children_named(parent, name), parties) or self._create(parent, name)
        return child.id

    def _syftbox(self) -> DriveFile | None:
        return _oldest(self._index.roots_named(wire.SYFTBOX_FOLDER), {self._me.lower()})

    def _look_up_roots(self, names: set[str], parties: frozenset[str]) -> None:
        """Ask Drive once for the roots that are not known; they may stand anywhere, so only their names find them."""
        missing = {
            name
            for name in names
            if name not in self._looked_for and _oldest(self._index.roots_named(name), parties) is None
        }
        if not missing:
            return
        condition = any_of("name = {}", missing)
        if self._syftbox() is None:
            condition += f" or (name = {quote(wire.SYFTBOX_FOLDER)} and 'root' in parents)"
        self._list(condition)
        self._looked_for |= missing

    def _look_up_children(self, wanted: Sequence[tuple[str, str]], parties: frozenset[str]) -> None:
        missing = {
            (parent, name)
            for parent, name in wanted
            if parent not in self._all_children_known
            and _oldest(self._index.children_named(parent, name), parties) is None
        }
        if missing:
            parents = any_of("{} in parents", {parent for parent, _ in missing})
            names = any_of("name = {}", {name for _, name in missing})
            self._list(f"({parents}) and ({names})")

    def _list(self, condition: str) -> None:
        query = f"mimeType = {quote(FOLDER_MIME_TYPE)} and trashed = false and ({condition})"
        self._index.add(list(self._gateway.list_files(query)))

    def _create(self, parent: str | None, name: str) -> DriveFile:
        """Create a folder under the ID that this account's processes have reserved for it.

        The ID stays on record, so whoever does not see the folder yet "creates" the same one.
        """
        key = f"folder_id/{parent or ''}\n{name}"
        used: str | None = None
        while True:
            file_id = self._reserved(key, not_this=used)
            try:
                folder = self._gateway.create_folder(file_id, name, parent)
            except NotFoundError:
                if used is not None:
                    raise  # it is the parent that is gone
                used = file_id
                continue
            if not folder.trashed:
                break
            used = file_id
        self._index.add([folder])
        self._all_children_known.add(folder.id)
        return folder

    def _reserved(self, key: str, *, not_this: str | None) -> str:
        known = self._store.transact(lambda tx: tx.get(key))
        if known is not None and known != not_this:
            return str(known)
        fresh = self._reserve()

        def work(tx: Transaction) -> str:
            if tx.get(key) in (None, not_this):
                tx.put(key, fresh)
            return str(tx.get(key))

        return self._store.transact(work)

    def _share(self, root_id: str, peer: str) -> None:
        key = f"shared/{root_id}\n{peer.lower()}"
        if self._store.transact(lambda tx: tx.get(key)) is None:
            self._gateway.share(root_id, peer)
            self._store.transact(lambda tx: tx.put(key, True))


def _oldest(folders: Sequence[DriveFile], parties: frozenset[str] | set[str]) -> DriveFile | None:
    mine = [folder for folder in folders if belongs_to(folder, parties)]
    return min(mine, key=lambda folder: (folder.created_time, folder.id), default=None)
