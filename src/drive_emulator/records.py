"""Rows to values and back: files, permissions and views in the database."""

from __future__ import annotations

import json
from typing import Any

from drive_emulator.model import Content, File, Permission, Role, View
from drive_emulator.storage import Database

_PLAIN = ("id", "name", "mime_type", "parent", "owner", "created", "modified", "modified_by", "version")
_FLAGS = ("trashed", "explicitly_trashed")
_CONTENT = ("blob", "size", "md5", "sha1", "sha256")
_DOCUMENTS = ("properties", "app_properties", "settings")
_COLUMNS = [*_PLAIN, *_FLAGS, *_CONTENT, "revision", "original_name", *_DOCUMENTS]
_FILE_COLUMNS = [{"created": "created_ms", "modified": "modified_ms"}.get(column, column) for column in _COLUMNS]
FILE_COLUMNS = ", ".join(f"f.{column}" for column in _FILE_COLUMNS)
FILE_WIDTH = len(_FILE_COLUMNS)
_INSERT_FILE = f"INSERT INTO file ({', '.join(_FILE_COLUMNS)}, made) VALUES ({', '.join('?' * (FILE_WIDTH + 1))})"  # noqa: S608
_UPDATE_FILE = f"UPDATE file SET {', '.join(f'{c} = ?' for c in _FILE_COLUMNS)} WHERE id = ?"  # noqa: S608
VIEW_COLUMNS = (
    "v.account, v.file_id, v.role, v.starred, v.viewed, v.modified, v.shared_at, v.shared_by, v.app, EXISTS"
    " (SELECT 1 FROM view WHERE account = v.account AND file_id = f.parent AND role IS NOT NULL)"
)
VIEW_WIDTH = 10
_SEEN = (
    f"SELECT {FILE_COLUMNS}, {VIEW_COLUMNS} FROM file f"  # noqa: S608 - constants
    " LEFT JOIN view v ON v.file_id = f.id AND v.account = ? WHERE f.id = ?"
)


def to_file(row: tuple[Any, ...]) -> File:
    """Read the columns of :data:`FILE_COLUMNS`; those of :class:`File` stand in the same order."""
    content = None if row[11] is None else Content(*row[11:16])
    documents = ({} if text == "{}" else json.loads(text) for text in row[18:FILE_WIDTH])
    values: list[Any] = [*row[:9], bool(row[9]), bool(row[10]), content, row[16], row[17], *documents]
    return File(*values)


def to_view(row: tuple[Any, ...]) -> View:
    """Read the columns of :data:`VIEW_COLUMNS`."""
    values: list[Any] = [*row[:3], bool(row[3]), *row[4:9], bool(row[9])]
    return View(*values)


def load_file(database: Database, file_id: str) -> File | None:
    row = database.row(f"SELECT {FILE_COLUMNS} FROM file f WHERE id = ?", file_id)  # noqa: S608
    return None if row is None else to_file(row)


def insert_file(database: Database, file: File, made: int) -> None:
    """Store a new file; ``made`` is now, whatever its ``createdTime`` says."""
    database.execute(_INSERT_FILE, *_values(file), made)


def update_file(database: Database, file: File) -> None:
    database.execute(_UPDATE_FILE, *_values(file), file.id)


def load_seen(database: Database, account: str, file_id: str) -> tuple[File, View] | None:
    """Return a file, and what the account has to do with it: nothing, where it has no view of it."""
    row = database.row(_SEEN, account, file_id)
    return None if row is None else to_seen(account, row)


def to_seen(account: str, row: tuple[Any, ...]) -> tuple[File, View]:
    """Read the columns of a file, and behind them those of the account's view, which are NULL where it has none."""
    file, held = to_file(row), row[FILE_WIDTH : FILE_WIDTH + VIEW_WIDTH]
    return file, View(account, file.id, None) if held[0] is None else to_view(held)


def load_roles(database: Database, file_id: str) -> dict[str, Role]:
    """Return the role of everyone who has access by name, inherited or direct."""
    return dict(database.rows("SELECT account, role FROM view WHERE file_id = ? AND role IS NOT NULL", file_id))


def load_children(database: Database, file_id: str) -> list[str]:
    return [child for (child,) in database.rows("SELECT id FROM file WHERE parent = ?", file_id)]


def load_permissions(database: Database, file_id: str) -> list[Permission]:
    """Return the grants on the file itself."""
    sql = "SELECT id, type, role, grantee, discoverable, expires FROM permission WHERE file_id = ?"
    return [Permission(i, t, r, g, bool(d), expires) for i, t, r, g, d, expires in database.rows(sql, file_id)]


def save_permission(database: Database, file_id: str, permission: Permission) -> None:
    database.execute(
        "INSERT OR REPLACE INTO permission (file_id, id, type, role, grantee, discoverable, expires)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        file_id,
        permission.id,
        permission.type,
        permission.role,
        permission.grantee,
        int(permission.discoverable),
        permission.expires,
    )


def set_view(database: Database, account: str, file_id: str, **values: Any) -> None:
    """Change what is the account's own, such as ``starred``, by the names of the columns."""
    columns = ", ".join(f"{column} = ?" for column in values)
    sql = f"UPDATE view SET {columns} WHERE account = ? AND file_id = ?"  # noqa: S608 - names from our own calls
    if not database.execute(sql, *values.values(), account, file_id):  # who sees it by a link had no view so far
        database.execute("INSERT INTO view (account, file_id) VALUES (?, ?)", account, file_id)
        database.execute(sql, *values.values(), account, file_id)


def _values(file: File) -> tuple[Any, ...]:
    content = file.content
    return (
        *(getattr(file, name) for name in (*_PLAIN, *_FLAGS)),
        *((None,) * 5 if content is None else (getattr(content, name) for name in _CONTENT)),
        file.revision,
        file.original_name,
        *(json.dumps(getattr(file, name)) for name in _DOCUMENTS),
    )
