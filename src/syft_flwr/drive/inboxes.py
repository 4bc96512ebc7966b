"""Find or create the folders that messages are written to, and share their roots."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from syft_flwr import wire
from syft_flwr.addresses import fold_address, same_address
from syft_flwr.drive.finder import FolderFinder
from syft_flwr.drive.folders import FolderIndex
from syft_flwr.drive.identities import Identities
from syft_flwr.errors import ConflictError, NotFoundError, PermissionDeniedError
from syft_flwr.ports import Clock, DriveGateway, StateStore, Transaction
from syft_flwr.printable import printable
from syft_flwr.resources import DriveFile
from syft_flwr.wire import InboxPath, parse_inbox_root

_log = logging.getLogger(__name__)

_VERIFIED_FOR = 900.0
"""Seconds for which access to a root is believed, unless the feed or a refusal says that something has changed."""

_FOUND_FOR = 60.0
"""Seconds for which what was not found counts as not there."""


class _OtherAddressError(Exception):
    """Drive knows the peer by another address than the one that was asked for."""


class InboxMaker:
    """Makes inboxes for one account. Thread-safe; what concerns one peer is done by one thread at a time.

    Args:
        gateway: The account's Drive.
        index: What is known of the folders already.
        finder: Finds others.
        store: Remembers reserved IDs, so that no folder is made twice, by whichever process.
        me: The account's address.
        identities: Tell whom Drive attests, and by which address it knows a peer.
        clock: Monotonic time.
        reserve: Returns a fresh reserved file ID.
    """

    def __init__(
        self,
        gateway: DriveGateway,
        index: FolderIndex,
        finder: FolderFinder,
        store: StateStore,
        me: str,
        *,
        identities: Identities,
        clock: Clock,
        reserve: Callable[[], str],
    ) -> None:
        self._gateway = gateway
        self._index = index
        self._finder = finder
        self._store = store
        self._me = me
        self._identities = identities
        self._clock = clock
        self._reserve = reserve
        self._verified: dict[str, float] = {}
        """Roots that can be written to by both parties, and when that was seen."""
        self._view_only: dict[str, float] = {}
        """Roots of peers in which this account may only look, and when that was seen."""
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._all_children_known: set[str] = set()
        self._disposable: dict[tuple[str, str, str], str] = {}
        self._looked_for: set[str] = set()

    def ensure(self, paths: Sequence[InboxPath], *, peer: str, disposable: str = "") -> list[str]:
        """Return the IDs of the endpoint folders of these paths, creating and sharing what is missing.

        All paths are between this account and ``peer``. An existing folder serves when one of the two owns it,
        of several the oldest. A root of our own is shared with the peer before anything is put into it.

        Args:
            paths: Where to write.
            peer: The other party.
            disposable: With a name, the endpoint's folder is one of this account's own, for this name alone, beside
                others of the endpoint.

        Raises:
            DriveError: Drive does not let us. To call again goes on where this call stopped, with the same
                reserved IDs, also in a later process.
        """
        with self._locks[fold_address(peer)]:
            for _ in range(3):  # the second one with the address by which Drive knows the peer
                canonical = self._identities.canonical(peer)
                named = [self._renamed(path, canonical) for path in paths]
                try:
                    try:
                        return self._ensure(named, canonical, disposable)
                    except NotFoundError:
                        self.recheck(named)
                        return self._ensure(named, canonical, disposable)
                except _OtherAddressError:
                    continue
            raise PermissionDeniedError(f"Drive keeps changing its mind about who {peer} is")

    def deliver(self, path: InboxPath, *, peer: str, put: Callable[[str], None], disposable: str = "") -> str:
        """Write to the endpoint folder of a path; once more, to where it is possible now, if Drive refuses.

        Args:
            path: As for :meth:`ensure`.
            peer: The other party.
            put: Writes into the folder of this ID.
            disposable: As for :meth:`ensure`.

        Returns:
            The folder's ID.

        Raises:
            DriveError: It could not be done.
        """
        [folder] = self.ensure([path], peer=peer, disposable=disposable)
        try:
            put(folder)
        except (NotFoundError, PermissionDeniedError, ConflictError):
            self._doubt(self._renamed(path, self._identities.canonical(peer)))
            [folder] = self.ensure([path], peer=peer, disposable=disposable)
            put(folder)
        return folder

    def own_folder(self, name: str) -> str:
        """Return the ID of a folder of this account's own beside the inboxes, which is made if need be.

        Raises:
            DriveError: Drive does not let us.
        """
        with self._locks[""]:
            syftbox = self._syftbox() or self._create(None, wire.SYFTBOX_FOLDER)
            return self._child(syftbox.id, name, (self._me,))

    def changed(self, folder_ids: Iterable[str]) -> list[str]:
        """Return those of the folders that are roots in use, whose names or shares may be others now."""
        return [folder_id for folder_id in folder_ids if self._verified.pop(folder_id, None) is not None]

    def verify(self, root_id: str) -> None:
        """Look whether a root of our own is still shared, and share it again if it is not.

        Raises:
            DriveError: Drive does not say, or refuses; or the root is none any more.
        """
        root = next((folder for folder in self._index.known() if folder.id == root_id), None)
        inbox = None if root is None else parse_inbox_root(root.name, self._me)
        if root is None or inbox is None:
            raise NotFoundError(
                f"folder {root_id}, in which messages lie, is gone, renamed or in the trash: nobody sees those that "
                "are not answered yet, until that is undone or they are sent again"
            )
        if root.owned_by_me:
            peer = inbox.recipient if same_address(inbox.sender, self._me) else inbox.sender
            with self._locks[fold_address(peer)], suppress(_OtherAddressError):
                self._is_usable(root, peer)

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

    def _ensure(self, paths: Sequence[InboxPath], peer: str, disposable: str) -> list[str]:
        parties = (self._me, peer)
        levels = len(InboxPath._fields)
        self._look_up(paths, parties, levels - 1 if disposable else levels)
        parents = [self._root(path.root, parties, peer) for path in paths]
        for depth in range(1, levels):
            wanted = [(parent, path[depth]) for parent, path in zip(parents, paths, strict=True)]
            if disposable and depth == levels - 1:
                return [self._disposable_folder(parent, name, disposable) for parent, name in wanted]
            parents = [self._child(parent, name, parties) for parent, name in wanted]
        return parents

    def _root(self, name: str, parties: Sequence[str], peer: str) -> str:
        for root in self._ours(self._index.roots_named(name), parties):
            if self._is_usable(root, peer):
                return root.id
        with self._locks[""]:
            syftbox = self._syftbox() or self._create(None, wire.SYFTBOX_FOLDER)
        root = self._create(syftbox.id, name)
        try:
            self._share(root, peer)
        except _OtherAddressError:
            self._gateway.delete(root.id)
            self._index.forget(root.id)
            raise
        return root.id

    def _is_usable(self, root: DriveFile, peer: str) -> bool:
        """Tell whether both parties can write into a root; one of our own that is not shared any more is again."""
        now = self._clock.monotonic()
        if now - self._verified.get(root.id, float("-inf")) < _VERIFIED_FOR:
            return True
        if now - self._view_only.get(root.id, float("-inf")) < _VERIFIED_FOR:
            return False
        access = self._gateway.access(root.id)
        if access.trashed or access.name not in (None, root.name):
            self._index.refresh(root.id)
            return False
        if root.owned_by_me:
            for permission_id, address in (access.writers or {}).items():
                if same_address(address, peer):
                    self._identities.pin(peer, permission_id)
            if not access.lets_in(self._identities.pinned(peer)):
                self._share(root, peer)
        elif not access.can_write:
            self._view_only[root.id] = now
            _log.warning(
                "folder %s (%s) of %s can only be viewed here, not written to: messages to them go into a folder of "
                "this account's own",
                printable(root.name),
                root.id,
                printable(peer),
            )
            return False
        self._verified[root.id] = now
        return True

    def _doubt(self, path: InboxPath) -> None:
        """Ask Drive anew about the folders of a path and about access to them: it has refused a write."""
        for root in self._index.roots_named(path.root):
            self._verified.pop(root.id, None)
        self.recheck([path])

    def _renamed(self, path: InboxPath, peer: str) -> InboxPath:
        """Return a path with this spelling of the peer's address."""
        inbox = parse_inbox_root(path.root, self._me)
        if inbox is None:
            return path
        parties = (inbox.sender, peer) if same_address(inbox.sender, self._me) else (peer, inbox.recipient)
        return path._replace(root=wire.inbox_root_name(*parties))

    def _child(self, parent: str, name: str, parties: Sequence[str]) -> str:
        child = self._oldest(self._index.children_named(parent, name), parties) or self._create(parent, name)
        return child.id

    def _disposable_folder(self, parent: str, name: str, disposable: str) -> str:
        known = self._disposable.get((parent, name, disposable))
        if known is None or self._index.is_gone(known):
            known = self._disposable[parent, name, disposable] = self._create(parent, name, disposable).id
        return known

    def _syftbox(self) -> DriveFile | None:
        return self._oldest(self._index.roots_named(wire.SYFTBOX_FOLDER), (self._me,))

    def _ours(self, folders: Iterable[DriveFile], parties: Sequence[str]) -> list[DriveFile]:
        ours = [folder for folder in folders if self._identities.vouch_for(parties, folder)]
        return sorted(ours, key=lambda folder: (folder.created_time, folder.id))

    def _oldest(self, folders: Iterable[DriveFile], parties: Sequence[str]) -> DriveFile | None:
        return next(iter(self._ours(folders, parties)), None)

    def _look_up(self, paths: Sequence[InboxPath], parties: Sequence[str], depth: int) -> None:
        """Ask Drive once for the folders of these paths, down to a depth, that are not known.

        For each root it is asked once only; below, also what was made since then may have been missed.
        """
        if any(self._misses(path[:depth], parties) for path in paths):
            self._finder.find(
                {name for path in paths for name in path[1:depth]}, since=self._clock.monotonic() - _FOUND_FOR
            )
            self._looked_for.update(path.root for path in paths)

    def _misses(self, path: Sequence[str], parties: Sequence[str]) -> bool:
        folders = self._ours(self._index.roots_named(path[0]), parties)
        if not folders:
            return path[0] not in self._looked_for
        for name in path[1:]:
            children = [child for f in folders for child in self._ours(self._index.children_named(f.id, name), parties)]
            if not children:
                return not self._all_children_known.issuperset(folder.id for folder in folders)
            folders = children
        return False

    def _create(self, parent: str | None, name: str, disposable: str = "") -> DriveFile:
        """Create a folder under the ID that this account's processes have reserved for it.

        The ID stays on record, so whoever does not see the folder yet "creates" the same one.
        """
        key = f"folder_id/{parent or ''}\n{name}" + (f"\n{disposable}" if disposable else "")
        used: str | None = None
        while True:
            file_id = self._reserved(key, not_this=used)
            try:
                folder = self._gateway.create_folder(file_id, name, parent)
            except (NotFoundError, ConflictError):
                if used is not None:
                    raise  # it is the parent that is gone, or one cached answer after the other that gives out IDs
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

    def _share(self, root: DriveFile, peer: str) -> None:
        account = self._gateway.share(root.id, peer)
        if not same_address(self._identities.shared_with(peer, account), peer):
            raise _OtherAddressError
        self._verified[root.id] = self._clock.monotonic()
