"""Who can do what with a file, and how that spreads down a folder's subtree."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import replace

from drive_emulator.accounts import Accounts
from drive_emulator.changelog import ChangeLog
from drive_emulator.errors import ApiError, insufficient_file_permissions, not_found
from drive_emulator.ids import new_file_id
from drive_emulator.model import (
    APP_DATA,
    DRIVE,
    Account,
    File,
    Permission,
    Role,
    View,
    effective_roles,
    inherited,
    link_role,
    rank,
    require_spaces,
)
from drive_emulator.records import (
    load_children,
    load_file,
    load_permissions,
    load_roles,
    load_seen,
    update_file,
)
from drive_emulator.storage import Database


class Access:
    """Reads and recomputes access, and logs what it changes for everyone who gains, keeps or loses sight of it."""

    def __init__(self, database: Database, accounts: Accounts, changes: ChangeLog) -> None:
        self._database = database
        self._accounts = accounts
        self._changes = changes

    def role(self, account: Account, file: File, view: View) -> Role | None:
        """Return the account's role: granted by name, inherited, or else by a link; none beyond its token's scope."""
        if account.own_files_only and file.id != account.root_id and not self._is_opened(account, file):
            return None
        space = DRIVE if view.app is None else APP_DATA
        if space not in account.spaces or view.app not in (None, account.client):
            return None
        if view.role is not None:
            return view.role
        return link_role(self.effective_permissions(file), account.key.rpartition("@")[2])

    def _is_opened(self, account: Account, file: File) -> bool:
        sql = "SELECT 1 FROM opened WHERE client = ? AND account = ? AND file_id = ?"
        return self._database.row(sql, account.client, account.key, file.id) is not None

    def open(self, account: Account, file_id: str) -> None:
        """Let the client by which the account calls see the file, in the transaction under way."""
        if account.client:
            sql = "INSERT OR IGNORE INTO opened VALUES (?, ?, ?)"
            self._database.execute(sql, account.client, account.key, file_id)

    def see(self, account: Account, file_id: str) -> tuple[File, View, Role]:
        """Return a file that the account can see, what it has to do with it, and its role.

        Raises:
            ApiError: 404, whether it does not exist or can't be seen.
        """
        seen = load_seen(self._database, account.key, self.resolve(account, file_id))
        if seen is None or (role := self.role(account, *seen)) is None:
            raise not_found(file_id)
        return *seen, role

    def role_on(self, account: Account, file_id: str) -> Role | None:
        """Return the account's role on a file, ``None`` also where there is none."""
        seen = load_seen(self._database, account.key, file_id)
        return None if seen is None else self.role(account, *seen)

    def find(self, account: Account, file_id: str, role: Role = "reader") -> File:
        """Return a file that the account can see, and on which it has at least this role.

        Raises:
            ApiError: 404 as :meth:`see`, 403 for too low a role.
        """
        file, _, held = self.see(account, file_id)
        require(file, held, role)
        return file

    def resolve(self, account: Account, file_id: str) -> str:
        """Return what the aliases ``root`` and ``appDataFolder`` stand for; other IDs stay.

        Raises:
            ApiError: 403 when the caller's token has no scope for its application data.
        """
        if file_id == "root":
            return account.root_id
        return self._app_folder(account) if file_id == APP_DATA else file_id

    def _app_folder(self, account: Account) -> str:
        """Return the folder of the client's data; it comes into being when it is first asked for."""
        require_spaces(account, {APP_DATA})
        sql = "SELECT id FROM view v JOIN file f ON id = file_id WHERE account = ? AND app = ? AND parent IS NULL"
        if (row := self._database.row(sql, account.key, account.client)) is not None:
            return str(row[0])
        with self._database.transaction():
            return self._accounts.add_folder(account.key, new_file_id(), "Application Data", app=account.client)

    def effective_permissions(self, file: File) -> list[Permission]:
        """Return what applies to the file: its owner's, its own and its folders' grants, each grantee's highest."""
        found = self._own_permissions(file)
        while file.parent is not None and (folder := load_file(self._database, file.parent)) is not None:
            for permission in self._own_permissions(folder).values():
                role, held = inherited(permission.role), found.get(permission.id)
                if role is not None and rank(role) > rank(None if held is None else held.role):
                    found[permission.id] = replace(permission, role=role)
            file = folder
        return list(found.values())

    def _own_permissions(self, file: File) -> dict[str, Permission]:
        """Return what was granted on the file itself, and its owner's, by their IDs."""
        owner = self._accounts.show(file.owner)
        granted = {p.id: p for p in load_permissions(self._database, file.id)}
        return granted | {owner.permission_id: Permission(owner.permission_id, "user", "owner", owner.key)}

    def place(self, file: File) -> None:
        """Let those who see its folder see a new file, and log it for all of them."""
        above = {} if file.parent is None else load_roles(self._database, file.parent)
        self._changes.append(file.id, effective_roles(file.owner, above, ()))

    def refresh(self, file: File, *, shared: bool = False) -> None:
        """Recompute the roles and the trashed state of a file that was just written, and of what lies below it.

        The file itself is logged for everyone who sees it, below it only what changed. Who sees a file besides is no
        change to others: sharing is logged for the owner and for those whose role it changes.

        Args:
            file: Its stored state.
            shared: Whether nothing changed but who can see it.
        """
        waiting: deque[tuple[File, Collection[str]]] = deque([(file, ())])
        while waiting:
            node, tell = waiting.popleft()
            parent = None if node.parent is None else load_file(self._database, node.parent)
            trashed = node.explicitly_trashed or (parent is not None and parent.trashed)
            before = load_roles(self._database, node.id)
            above = {} if parent is None else load_roles(self._database, parent.id)
            after = effective_roles(node.owner, above, load_permissions(self._database, node.id))
            retrashed = trashed != node.trashed
            changed = retrashed or before != after
            if retrashed:
                node.trashed = trashed
                node.version += 1
                update_file(self._database, node)
            if retrashed or (node is file and not shared):
                concerned = [*after, *before]
            else:
                owner = [node.owner] if changed or node is file else []
                regraded = [a for a in (*after, *before) if after.get(a) != before.get(a)]
                concerned = [*owner, *regraded, *(account for account in tell if account in after)]
            self._changes.append(node.id, {account: after.get(account) for account in concerned})
            if changed and node.is_folder:
                # Who sees this folder appear or vanish sees the parent of what lies in it change, too.
                sight = before.keys() ^ after.keys()
                children = (load_file(self._database, child) for child in load_children(self._database, node.id))
                waiting.extend((child, sight) for child in children if child is not None)


def require(file: File, held: Role, role: Role, error: ApiError | None = None) -> None:
    """Raise 403 unless the role that an account has is at least this one."""
    if rank(held) < rank(role):
        raise error or insufficient_file_permissions(file.id)
