"""Drive's rules, without I/O: roles and how they are inherited, visibility, and what a change shows to whom."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from drive_emulator.errors import ApiError, forbidden, invalid

Role = Literal["reader", "commenter", "writer", "owner"]
ROLES: tuple[Role, ...] = ("reader", "commenter", "writer", "owner")
GRANTEE_TYPES = ("user", "group", "domain", "anyone")
FOLDER_MIME_TYPE = "application/vnd.google-apps.folder"
DRIVE, APP_DATA = "drive", "appDataFolder"
"""The spaces that files lie in: what everybody knows as Drive, and a hidden folder for each OAuth client of an account
(https://developers.google.com/workspace/drive/api/guides/appdata)."""
MAX_NAME_LENGTH = 32_767
MAX_PROPERTY_BYTES = 124
MAX_PROPERTIES = 30


@dataclass(frozen=True, slots=True)
class Account:
    """A user: ``key`` is the lower-cased address that everything refers to, ``email`` the address as first seen.

    As the caller of a method it has the OAuth ``client`` by which it calls, if any; ``own_files_only`` is the scope
    ``drive.file``, by which it sees what that client made or was opened with it; and ``spaces`` are those that it sees.
    """

    key: str
    email: str
    permission_id: str
    root_id: str
    client: str = ""
    own_files_only: bool = False
    spaces: frozenset[str] = frozenset({DRIVE, APP_DATA})

    @property
    def display_name(self) -> str:
        return self.email.partition("@")[0]


@dataclass(frozen=True, slots=True)
class Content:
    """A stored body: where it lies, its size in bytes, and its checksums in hex."""

    blob: str
    size: int
    md5: str
    sha1: str
    sha256: str


@dataclass(slots=True)
class File:
    """A file or folder, as it is for everyone. Times are milliseconds since 1970; accounts are keys."""

    id: str
    name: str
    mime_type: str
    parent: str | None
    owner: str
    created: int
    modified: int
    modified_by: str
    version: int = 1
    trashed: bool = False
    explicitly_trashed: bool = False
    content: Content | None = None
    revision: str | None = None
    original_name: str | None = None
    properties: Mapping[str, str] = field(default_factory=dict)
    app_properties: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_folder(self) -> bool:
        return self.mime_type == FOLDER_MIME_TYPE

    def is_copied_by(self, role: Role | None) -> bool:
        """Tell whether who has this role may download and copy it."""
        return rank(role) >= rank("writer") or not self.settings.get("copyRequiresWriterPermission")

    @property
    def restrictions(self) -> list[dict[str, Any]]:
        """What keeps its content and its name as they are, if anything: at most one."""
        held: list[dict[str, Any]] = self.settings.get("contentRestrictions") or []
        return held


@dataclass(slots=True)
class View:
    """What one account has to do with one file.

    ``role`` is ``None`` once it lost access; ``app`` is the OAuth client whose application data the file belongs to;
    ``sees_parent`` tells whether the account has access to the folder that it lies in.
    """

    account: str
    file_id: str
    role: Role | None
    starred: bool = False
    viewed: int | None = None
    modified: int | None = None
    shared_at: int | None = None
    shared_by: str | None = None
    app: str | None = None
    sees_parent: bool = False


@dataclass(frozen=True, slots=True)
class Permission:
    """A grant on a file itself, until it ``expires``. ``grantee`` is an account key, a domain, or empty for anyone."""

    id: str
    type: str
    role: Role
    grantee: str = ""
    discoverable: bool = False
    expires: int | None = None


def rank(role: Role | None) -> int:
    """Order the roles; no access ranks lowest."""
    return 0 if role is None else ROLES.index(role) + 1


def inherited(role: Role | None) -> Role | None:
    """Return the role that a role on a folder gives on what lies in it: its owner edits, owns nothing."""
    return "writer" if role == "owner" else role


def effective_roles(owner: str, parent_roles: Mapping[str, Role], permissions: Iterable[Permission]) -> dict[str, Role]:
    """Return each account's role on a file: the highest of what it inherits and what it was granted."""
    roles: dict[str, Role] = {}
    for account, role in parent_roles.items():
        roles[account] = "writer" if role == "owner" else role
    for permission in permissions:
        if permission.type in ("user", "group") and rank(permission.role) > rank(roles.get(permission.grantee)):
            roles[permission.grantee] = permission.role
    roles[owner] = "owner"
    return roles


def link_role(permissions: Iterable[Permission], domain: str) -> Role | None:
    """Return the role that links give to someone of this domain who was granted nothing by name."""
    roles = [p.role for p in permissions if p.type == "anyone" or (p.type == "domain" and p.grantee == domain)]
    return max(roles, key=rank, default=None)


def parse_spaces(account: Account, text: str, parameter: str) -> frozenset[str]:
    """Read a list of spaces, all of which the caller's token must cover."""
    spaces = frozenset(map(str.strip, text.split(",")))
    if not spaces <= {DRIVE, APP_DATA}:
        raise invalid(parameter)
    require_spaces(account, spaces)
    return spaces


def require_spaces(account: Account, spaces: Collection[str]) -> None:
    if not account.spaces.issuperset(spaces):
        message = "The granted scopes do not give access to all of the requested spaces."
        raise ApiError(403, "insufficientScopes", message, location="spaces")


def spaces_condition(account: Account, spaces: Collection[str]) -> tuple[str, list[Any]]:
    """Return the condition, and its values, of a view ``v`` that shows a file in one of the spaces."""
    if APP_DATA not in spaces:
        return "v.app IS NULL", []
    return ("(v.app IS NULL OR v.app = ?)" if DRIVE in spaces else "v.app = ?"), [account.client]


def not_for_app_data(message: str = "Method not supported for files within the Application Data folder.") -> ApiError:
    return forbidden("notSupportedForAppDataFolderFiles", message)
