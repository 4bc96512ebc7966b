"""Who is who: what Drive attests of users, compared with the participants' addresses."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable

from syft_flwr.addresses import fold_address
from syft_flwr.ports import StateStore, Transaction
from syft_flwr.printable import printable
from syft_flwr.resources import Account, DriveFile

_log = logging.getLogger(__name__)


class Identities:
    """The participants of one account: their addresses, permission IDs and other spellings. Thread-safe.

    An address alone can be typed in several ways (Gmail ignores dots) and can change; the permission ID is the
    account's own, for good. The ID that Drive shows beside an address for the first time is kept, and whoever bears
    another one later is somebody else. What Drive does not attest, because an address or a whole user is missing,
    counts as foreign.

    Args:
        store: Durable; a row ``pin/{address}`` for each participant, ``alias/{address}`` for each other spelling.
    """

    def __init__(self, store: StateStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._pins: dict[str, str] = {}
        self._aliases: dict[str, str] = {}
        self._told: set[tuple[str, str]] = set()
        self.version = 0
        """Rises with what is known."""
        self._pins.update(store.transact(lambda tx: _rows(tx, "pin/")))
        self._aliases.update(store.transact(lambda tx: _rows(tx, "alias/")))

    def pin(self, address: str, permission_id: str | None) -> None:
        """Keep the permission ID of a participant whom Drive attests, unless one is known."""
        key = fold_address(address)
        if not permission_id or key in self._pins:
            return
        with self._lock:
            self._pins[key] = permission_id
            self.version += 1
        self._store.transact(lambda tx: tx.put(f"pin/{key}", permission_id))

    def shared_with(self, typed: str, account: Account) -> str:
        """Note whom Drive has really shared with; return the address by which it knows the account."""
        self.pin(account.email, account.permission_id)
        if fold_address(typed) == fold_address(account.email):
            return typed
        if self.canonical(typed) != account.email:
            _log.warning(
                "%s is known to Drive as %s: messages go there under that name", typed, printable(account.email)
            )
            with self._lock:
                self._aliases[fold_address(typed)] = account.email
                self.version += 1
            self._store.transact(lambda tx: tx.put(f"alias/{fold_address(typed)}", account.email))
        return account.email

    def canonical(self, address: str) -> str:
        """Return the address by which Drive knows a participant, as far as that has turned out."""
        return self._aliases.get(fold_address(address), address)

    def pinned(self, address: str) -> str | None:
        """Return the permission ID of a participant, if it is known."""
        return self._pins.get(fold_address(self.canonical(address)))

    def spellings(self, address: str) -> list[str]:
        """Return the addresses that name a participant, the given one first."""
        key = fold_address(address)
        with self._lock:
            others = [typed for typed, canonical in self._aliases.items() if fold_address(canonical) == key]
        return [address, *others]

    def owns(self, addresses: Iterable[str], file: DriveFile) -> bool:
        """Tell whether Drive attests that a file belongs to one of the participants, and to no one else.

        In a shared drive files have no owner; there the last modifying user stands for it. Elsewhere a file without
        one is nobody's.
        """
        wanted = tuple(addresses)
        if not file.owners:
            return file.drive_id is not None and self._is_one_of(wanted, file.last_modifying_user, file.editor_id)
        ids = file.owner_ids or (None,) * len(file.owners)
        return all(self._is_one_of(wanted, owner, owner_id) for owner, owner_id in zip(file.owners, ids, strict=True))

    def changed_last(self, addresses: Iterable[str], file: DriveFile) -> bool:
        """Tell whether Drive attests that one of the participants changed a file last."""
        return self._is_one_of(addresses, file.last_modifying_user, file.editor_id)

    def vouch_for(self, addresses: Iterable[str], folder: DriveFile) -> bool:
        """Tell whether a folder is owned by one of the participants and was named by one of them.

        Whoever may write into a folder may rename it as well: without the second condition, one sender could offer
        its own inbox, and its own access to it, as another sender's.
        """
        parties = tuple(addresses)
        return self.owns(parties, folder) and self.changed_last(parties, folder)

    def _is_one_of(self, addresses: Iterable[str], email: str | None, permission_id: str | None) -> bool:
        return any(self._is(address, email, permission_id) for address in addresses)

    def _is(self, address: str, email: str | None, permission_id: str | None) -> bool:
        if not email:
            return False
        key = fold_address(self.canonical(address))
        pinned = self._pins.get(key)
        if pinned is None:
            return fold_address(email) == key
        if permission_id != pinned:
            return False
        if fold_address(email) != key and (key, email) not in self._told:
            self._told.add((key, email))
            _log.warning("%s is called %s now: the same account, by its permission ID", address, printable(email))
        return True


def _rows(tx: Transaction, prefix: str) -> dict[str, str]:
    return {key.removeprefix(prefix): row for key, row in tx.scan(prefix)}
