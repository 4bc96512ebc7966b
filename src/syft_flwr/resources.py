"""What Drive shows an account: the API's resources as frozen values; no I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from sys import intern
from typing import Any, TypeVar

from msgspec import MsgspecError, Struct, convert
from msgspec import field as json_field

T = TypeVar("T")

FOLDER_MIME_TYPE = "application/vnd.google-apps.folder"

_NO_PROPERTIES: Mapping[str, str] = {}
"""One for all files without."""


@dataclass(frozen=True, slots=True)
class Account:
    """Who the credentials belong to (``about.get``)."""

    email: str
    permission_id: str


def _user(email: str | None, permission_id: str | None) -> dict[str, str]:
    """Return a ``drive#user`` with what is known of it."""
    known = {} if email is None else {"emailAddress": email}
    if permission_id is not None:
        known["permissionId"] = permission_id
    return known


@dataclass(frozen=True, slots=True)
class Access:
    """Who may write into a folder: this account, and others by permission ID and address (``None``: not shown).

    ``name`` is what the folder is called by now, as far as that was told.
    """

    can_write: bool
    writers: Mapping[str, str] | None = None
    name: str | None = None
    trashed: bool = False

    def lets_in(self, permission_id: str | None) -> bool:
        """Tell whether a user may write, as far as Drive shows it."""
        return self.writers is None or permission_id in self.writers


def _shared(text: str | None) -> str | None:
    return intern(text) if text else text


class _User(Struct, gc=False, rename="camel"):
    email_address: str | None = None
    permission_id: str | None = None


class _Resource(Struct, gc=False, rename="camel"):
    """A ``drive#file`` as the API sends it."""

    id: str | None = None
    name: str = ""
    mime_type: str = "application/octet-stream"
    parents: tuple[str, ...] | None = None
    trashed: bool | None = None
    size: str | int | None = None
    created_time: str = ""
    sha256: str | None = json_field(name="sha256Checksum", default=None)
    owned_by_me: bool | None = None
    owners: tuple[_User, ...] | None = None
    last_modifying_user: _User | None = None
    properties: dict[str, str] | None = None
    drive_id: str | None = None


class _ChangeResource(Struct, gc=False, rename="camel"):
    """A ``drive#change``, but for its file what :class:`Change` is; one of a shared drive itself has no file ID."""

    file_id: str
    removed: bool | None = None
    time: str = ""
    file: _Resource | None = None


_NOBODY = _User()


class DriveFile(Struct, frozen=True, gc=False):
    """A file or folder as Drive shows it to this account.

    ``created_time`` is RFC 3339 in UTC with milliseconds, as Drive sends it, so it sorts as text.
    ``size`` is in bytes and ``None`` for folders. ``owners`` are addresses, empty in shared drives, and ``""`` where
    Drive hides one; ``owner_ids`` are their permission IDs, if asked for, and ``editor_id`` that of the last modifying
    user. ``drive_id`` is the shared drive that it lies in.
    """

    id: str
    name: str
    mime_type: str = "application/octet-stream"
    parents: tuple[str, ...] = ()
    trashed: bool = False
    size: int | None = None
    created_time: str = ""
    sha256: str | None = None
    owned_by_me: bool = False
    owners: tuple[str, ...] = ()
    last_modifying_user: str | None = None
    owner_ids: tuple[str | None, ...] = ()
    editor_id: str | None = None
    properties: Mapping[str, str] = {}
    drive_id: str | None = None

    def __hash__(self) -> int:
        return hash((self.id, self.name, self.created_time))

    @property
    def is_folder(self) -> bool:
        return self.mime_type == FOLDER_MIME_TYPE

    @classmethod
    def from_api(cls, raw: Mapping[str, Any]) -> DriveFile:
        """Read a ``drive#file`` resource; absent fields get their defaults.

        Raises:
            ValueError, LookupError: It is none.
        """
        return _file(_read(raw, _Resource), raw["id"])

    def to_api(self) -> dict[str, Any]:
        """Return the ``drive#file`` resource that :meth:`from_api` reads back as this value."""
        raw: dict[str, Any] = {
            "id": self.id,
            "name": self.name,
            "mimeType": self.mime_type,
            "trashed": self.trashed,
            "createdTime": self.created_time,
            "ownedByMe": self.owned_by_me,
        }
        if self.parents:
            raw["parents"] = list(self.parents)
        if self.size is not None:
            raw["size"] = str(self.size)
        if self.sha256 is not None:
            raw["sha256Checksum"] = self.sha256
        if self.owners:
            ids = self.owner_ids or (None,) * len(self.owners)
            raw["owners"] = [_user(owner, owner_id) for owner, owner_id in zip(self.owners, ids, strict=True)]
        if self.last_modifying_user is not None or self.editor_id is not None:
            raw["lastModifyingUser"] = _user(self.last_modifying_user, self.editor_id)
        if self.properties:
            raw["properties"] = dict(self.properties)
        if self.drive_id is not None:
            raw["driveId"] = self.drive_id
        return raw


def _read(raw: object, kind: type[T]) -> T:
    """Read what the API has sent.

    Raises:
        ValueError: It is none of this kind.
    """
    try:
        return convert(raw, kind)
    except MsgspecError as error:
        raise ValueError(str(error)) from error


def _file(raw: _Resource, file_id: str) -> DriveFile:
    """Return the file; of what many have in common, a recording keeps one copy."""
    owners, editor = raw.owners or (), raw.last_modifying_user or _NOBODY
    return DriveFile(  # thousands come with a page
        file_id,
        raw.name,
        intern(raw.mime_type),
        tuple(map(intern, raw.parents)) if raw.parents else (),
        bool(raw.trashed),
        None if raw.size is None else int(raw.size),
        raw.created_time,
        raw.sha256,
        bool(raw.owned_by_me),
        tuple([intern(owner.email_address or "") for owner in owners]),
        _shared(editor.email_address),
        tuple([_shared(owner.permission_id) for owner in owners]) if owners and owners[0].permission_id else (),
        _shared(editor.permission_id),
        raw.properties or _NO_PROPERTIES,
        raw.drive_id,
    )


class Change(Struct, frozen=True, gc=False):
    """One entry of the change feed: a file's current state, or a tombstone.

    A tombstone (``removed``) has no ``file``; it does not tell deletion from lost access.
    """

    file_id: str
    removed: bool = False
    time: str = ""
    file: DriveFile | None = None

    @classmethod
    def from_api(cls, raw: Mapping[str, Any]) -> Change:
        return _change(_read(raw, _ChangeResource))


def _change(raw: _ChangeResource) -> Change:
    file = raw.file
    if file is None:
        return Change(raw.file_id, bool(raw.removed), raw.time)
    own_id = file.id
    file_id = raw.file_id if own_id is None or own_id == raw.file_id else own_id
    return Change(raw.file_id, bool(raw.removed), raw.time, _file(file, file_id))


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An entry of a page that can't be read; ``file_id`` is empty if even that can't."""

    detail: str
    file_id: str = ""


@dataclass(frozen=True, slots=True)
class ChangePage:
    """One answer of ``changes.list``.

    Exactly one of the two tokens is set: ``next_page_token`` on all but the last page.
    ``unreadable`` holds the entries that are none of the API's; the others are in ``changes``.
    ``raw`` is the answer as it came, for recordings.
    """

    changes: tuple[Change, ...]
    next_page_token: str | None = None
    new_start_page_token: str | None = None
    unreadable: tuple[Unreadable, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def from_api(cls, raw: Mapping[str, Any]) -> ChangePage:
        # A change of a shared drive itself carries no file ID.
        entries = [c for c in raw.get("changes", ()) if not (isinstance(c, dict) and c.get("changeType") == "drive")]
        changes, unreadable = read_each(Change.from_api, entries)
        return cls(
            changes=changes,
            next_page_token=raw.get("nextPageToken"),
            new_start_page_token=raw.get("newStartPageToken"),
            unreadable=unreadable,
            raw=raw,
        )


class PageResource(Struct, gc=False, rename="camel"):
    """An answer of ``changes.list`` of which every entry can be read."""

    changes: tuple[_ChangeResource, ...] = ()
    next_page_token: str | None = None
    new_start_page_token: str | None = None

    def page(self) -> ChangePage:
        """Return the page.

        Raises:
            ValueError: A size is no number.
        """
        changes = tuple([_change(raw) for raw in self.changes])
        return ChangePage(changes, self.next_page_token, self.new_start_page_token)


def read_each(read: Callable[[Any], T], entries: Iterable[Any]) -> tuple[tuple[T, ...], tuple[Unreadable, ...]]:
    """Read the entries of a page one by one, so that one that can't be read costs no other."""
    values: list[T] = []
    unreadable: list[Unreadable] = []
    for entry in entries:
        try:
            values.append(read(entry))
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            found = (entry.get("fileId") or entry.get("id")) if isinstance(entry, Mapping) else None
            unreadable.append(Unreadable(repr(error), found if isinstance(found, str) else ""))
    return tuple(values), tuple(unreadable)
