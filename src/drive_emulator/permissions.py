"""Sharing: permissions set on files, and what of it each account gets to see."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

from drive_emulator.access import Access
from drive_emulator.accounts import Accounts, is_address
from drive_emulator.clock import EmulatorClock, parse_timestamp
from drive_emulator.errors import ApiError, bad_body, forbidden, insufficient_file_permissions, invalid, required
from drive_emulator.ids import permission_id
from drive_emulator.model import GRANTEE_TYPES, Account, File, Permission, Role, not_for_app_data, rank
from drive_emulator.records import load_file, load_permissions, save_permission, set_view, update_file
from drive_emulator.storage import Database

ANYONE = "anyoneWithLink"
_YEAR = 366 * 24 * 3600 * 1000


class Permissions:
    """Grants and takes away access, each call within the caller's transaction."""

    def __init__(self, database: Database, accounts: Accounts, access: Access, clock: EmulatorClock) -> None:
        self._database = database
        self._accounts = accounts
        self._access = access
        self._clock = clock

    def list(self, account: Account, file_id: str) -> list[Permission]:
        file = self._shareable(account, file_id)
        return self._access.effective_permissions(file)

    def get(self, account: Account, file_id: str, permission: str) -> Permission:
        file = self._shareable(account, file_id)
        return self._find(file, permission)

    def create(
        self, account: Account, file_id: str, body: Any, *, transfer_ownership: bool, move_to_root: bool = False
    ) -> Permission:
        """Grant a role; granting again what is granted changes the role and keeps the ID.

        With ``move_to_root``, a file that changes hands moves to its new owner's My Drive.
        """
        wanted = parse_permission(body, self._clock.milliseconds())
        file = self._shareable(account, file_id)
        if wanted.role == "owner":
            self._check_transfer(account, file, wanted, transfer_ownership=transfer_ownership)
        elif wanted.grantee == file.owner:
            return self._find(file, wanted.id)
        if file.id == account.root_id:
            raise forbidden("cannotShareRoot", "My Drive itself can't be shared.")
        if wanted.type == "user":
            grantee = self._accounts.ensure(body["emailAddress"])
            if wanted.role == "owner" and move_to_root:
                file.parent = grantee.root_id
        self._grant(account, file, wanted)
        return self._find(file, wanted.id)

    def update(
        self,
        account: Account,
        file_id: str,
        permission: str,
        body: Any,
        *,
        transfer_ownership: bool,
        remove_expiration: bool = False,
    ) -> Permission:
        """Change a grant's role, and when it ends."""
        file = self._shareable(account, file_id)
        held = self._find(file, permission)
        expires = parse_expiration(body, held.type, self._clock.milliseconds())
        role = held.role if expires is not None and "role" not in body else parse_role(body)
        wanted = replace(held, role=role, expires=None if remove_expiration else expires or held.expires)
        if role == "owner":
            self._check_transfer(account, file, wanted, transfer_ownership=transfer_ownership)
        elif held.role == "owner":
            raise forbidden("cannotChangeOwner", "The owner of a file can't be given a lower role.")
        self._grant(account, file, wanted)
        return self._find(file, permission)

    def delete(self, account: Account, file_id: str, permission: str) -> None:
        """Take a grant away; anyone may give up their own access.

        Raises:
            ApiError: 403 for the owner's, and for one that comes from a folder.
        """
        leaves = permission == account.permission_id
        file = self._access.find(account, file_id) if leaves else self._shareable(account, file_id)
        held = self._find(file, permission)
        if held.role == "owner":
            raise forbidden("cannotRemoveOwner", "The owner of a file cannot be removed.")
        if permission not in {p.id for p in load_permissions(self._database, file.id)}:
            raise forbidden("cannotRemoveInheritedPermission", "This permission is inherited from a folder.")
        self._database.execute("DELETE FROM permission WHERE file_id = ? AND id = ?", file.id, permission)
        self._touch(file, shared=True)
        if held.type == "user":
            set_view(self._database, held.grantee, file.id, shared_at=None, shared_by=None)

    def expire(self) -> None:
        """Take away what has expired."""
        sql = "SELECT file_id, id FROM permission WHERE expires <= ?"
        if not (due := self._database.rows(sql, self._clock.milliseconds())):
            return
        with self._database.transaction():
            for file_id, permission in due:
                self._database.execute("DELETE FROM permission WHERE file_id = ? AND id = ?", file_id, permission)
                if (file := load_file(self._database, file_id)) is not None:
                    self._touch(file, shared=True)

    def _grant(self, account: Account, file: File, wanted: Permission) -> None:
        previous = file.owner
        if wanted.role == "owner":
            file.owner = wanted.grantee
            self._database.execute("DELETE FROM permission WHERE file_id = ? AND id = ?", file.id, wanted.id)
            former = Permission(permission_id(previous), "user", "writer", previous)
            save_permission(self._database, file.id, former)
        else:
            save_permission(self._database, file.id, wanted)
        self._touch(file, shared=wanted.role != "owner")
        if wanted.type in ("user", "group"):
            now = self._clock.milliseconds()
            set_view(self._database, wanted.grantee, file.id, shared_at=now, shared_by=account.key)

    def _touch(self, file: File, *, shared: bool) -> None:
        file.version += 1
        update_file(self._database, file)
        self._access.refresh(file, shared=shared)

    def _find(self, file: File, permission: str) -> Permission:
        for held in self._access.effective_permissions(file):
            if held.id == permission:
                return held
        raise ApiError(404, "notFound", f"Permission not found: {permission}.", location="permissionId")

    def _shareable(self, account: Account, file_id: str) -> File:
        """Return a file that the account may share."""
        file, view, role = self._access.see(account, file_id)
        if view.app is not None:
            raise not_for_app_data()
        if rank(role) < rank("writer") or (role == "writer" and file.settings.get("writersCanShare") is False):
            raise insufficient_file_permissions(file.id)
        return file

    def _check_transfer(self, account: Account, file: File, wanted: Permission, *, transfer_ownership: bool) -> None:
        if not transfer_ownership:
            message = "The transferOwnership parameter must be enabled when the permission role is 'owner'."
            raise ApiError(403, "forbidden", message, location="transferOwnership")
        if wanted.type != "user":
            raise invalid("permission.type", "Only a user can own a file.")
        if file.owner != account.key:
            raise insufficient_file_permissions(file.id)


def parse_role(body: Any) -> Role:
    """Read the role of a permission's body."""
    if not isinstance(body, dict):
        raise bad_body("The request body must be a JSON object.")
    role = body.get("role")
    if role is None:
        raise required("permission.role", "The permission role field is required.")
    if role not in get_args(Role):
        raise invalid("permission.role", "The specified role is invalid or not supported.")
    return role  # type: ignore[no-any-return]


def parse_expiration(body: Any, kind: str, now: int) -> int | None:
    """Read when a permission ends, in milliseconds since 1970: within the year to come, and never for a link."""
    if not isinstance(body, dict):
        raise bad_body("The request body must be a JSON object.")
    if (text := body.get("expirationTime")) is None:
        return None
    try:
        expires = parse_timestamp(text) if isinstance(text, str) else 0
    except ValueError:
        expires = 0
    if not now < expires <= now + _YEAR or kind not in ("user", "group"):
        raise invalid(
            "permission.expirationTime", "An expiration time lies within a year, of a user's or group's permission."
        )
    return expires


def parse_permission(body: Any, now: int) -> Permission:
    """Read a new permission."""
    role = parse_role(body)
    kind = body.get("type")
    if kind is None:
        raise required("permission.type", "The permission type field is required.")
    if kind not in GRANTEE_TYPES:
        raise invalid("permission.type", "The specified type is invalid or not supported.")
    discoverable = body.get("allowFileDiscovery", False)
    if not isinstance(discoverable, bool):
        raise invalid("permission.allowFileDiscovery")
    expires = parse_expiration(body, kind, now)
    if kind == "anyone":
        return Permission(ANYONE, kind, role, "", discoverable)
    field = "domain" if kind == "domain" else "emailAddress"
    grantee = body.get(field)
    if grantee is None:
        raise required(f"permission.{field}", f"The permission {field} field is required.")
    if not isinstance(grantee, str) or not is_address(f"x@{grantee}" if kind == "domain" else grantee):
        message = "The specified emailAddress is invalid or not applicable for the given permission type."
        raise invalid(f"permission.{field}", message)
    grantee = grantee.lower()
    identity = permission_id(grantee) if kind != "domain" else permission_id(f"domain {grantee}") + "k"
    return Permission(identity, kind, role, grantee, discoverable, expires)
