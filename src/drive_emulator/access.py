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
    effective_roles,
    inherited,
    link_role,
    rank,
)
from drive_emulator.records import (
    load_children,
    load_file,
    load_permissions,
    load_roles,
    load_view,
    set_roles,
    update_file,
)
from drive_emulator.spaces import require_spaces
from drive_emulator.storage import Database


class Access:
    """Reads and recomputes access, and logs what it changes for everyone who gains, keeps or loses sight of it."""

    def __init__(self, database: Database, accounts: Accounts, changes: ChangeLog) -> None:
        self._database = database
        self._accounts = accounts
        self._changes = changes

    def role(self, account: Account, file: File) -> Role | None:
        """Return the account's role: granted by name, inherited, or else by a link; none beyond its token's scope."""
        if account.own_files_only and file.id != account.root_id and not self._is_opened(account, file):
            return None
        view = load_view(self._database, account.key, file.id)
        space = DRIVE if view is None or view.app is None else APP_DATA
        if space not in account.spaces or (view is not None and view.app not in (None, account.client)):
            return None
        if view is not None and view.role is not None:
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

    def find(self, account: Account, file_id: str) -> File:
        """Return a file that the account can see.

        Raises:
            ApiError: 404, whether it does not exist or can't be seen.
        """
        file = load_file(self._database, self.resolve(account, file_id))
        if file is None or self.role(account, file) is None:
            raise not_found(file_id)
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

    def app_of(self, account: Account, file_id: str | None) -> str | None:
        """Return the client whose data the file belongs to, ``None`` in what everybody knows as Drive."""
        sql = "SELECT app FROM view WHERE account = ? AND file_id = ?"
        row = self._database.row(sql, account.key, file_id)
        return None if row is None else row[0]

    def require(self, account: Account, file: File, role: Role, error: ApiError | None = None) -> None:
        """Raise 403 unless the account has at least this role."""
        if rank(self.role(account, file)) < rank(role):
            raise error or insufficient_file_permissions(file.id)

    def effective_permissions(self, file: File) -> list[Permission]:
        """Return what applies to the file: its owner's, its own and its folders' grants, each grantee's highest."""
        found = {p.id: p for p in load_permissions(self._database, file.id)}
        owner = self._accounts.show(file.owner)
        found[owner.permission_id] = Permission(owner.permission_id, "user", "owner", owner.key)
        folder = None if file.parent is None else load_file(self._database, file.parent)
        for permission in () if folder is None else self.effective_permissions(folder):
            role = inherited(permission.role)
            if role is not None and rank(role) > rank(found[permission.id].role if permission.id in found else None):
                found[permission.id] = replace(permission, role=role)
        return list(found.values())

    def refresh(self, file: File, *, also_tell: Collection[str] = (), shared: bool = False) -> None:
        """Recompute the roles and the trashed state of a file that was just written, and of what lies below it.

        The file itself is logged for everyone who sees it, below it only what changed. Who sees a file besides is no
        change to others: sharing is logged for the owner and for those whose role it changes.

        Args:
            file: Its stored state.
            also_tell: Accounts without access whose log gets a tombstone nonetheless.
            shared: Whether nothing changed but who can see it.
        """
        waiting: deque[tuple[File, Collection[str]]] = deque([(file, also_tell)])
        while waiting:
            node, tell = waiting.popleft()
            parent = None if node.parent is None else load_file(self._database, node.parent)
            trashed = node.explicitly_trashed or (parent is not None and parent.trashed)
            before = load_roles(self._database, node.id)
            after = effective_roles(
                node.owner,
                {} if parent is None else load_roles(self._database, parent.id),
                load_permissions(self._database, node.id),
            )
            retrashed = trashed != node.trashed
            changed = retrashed or before != after
            if retrashed:
                node.trashed = trashed
                node.version += 1
                update_file(self._database, node)
            if before != after:
                lost: list[tuple[str, Role | None]] = [(account, None) for account in before if account not in after]
                set_roles(self._database, node.id, [*after.items(), *lost])
            if retrashed or (node is file and not shared):
                concerned = [*after, *before, *tell]
            else:
                owner = [node.owner] if changed or node is file else []
                regraded = [a for a in (*after, *before) if after.get(a) != before.get(a)]
                concerned = [*owner, *regraded, *(account for account in tell if account in after)]
            self._changes.append(node.id, dict.fromkeys(concerned))
            if changed and node.is_folder:
                # Who sees this folder appear or vanish sees the parent of what lies in it change, too.
                sight = before.keys() ^ after.keys()
                children = (load_file(self._database, child) for child in load_children(self._database, node.id))
                waiting.extend((child, sight) for child in children if child is not None)
