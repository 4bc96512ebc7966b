"""A whole Drive in one file: accounts, files with their content, feeds, tokens."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from drive_emulator.drive import Drive
from drive_emulator.errors import invalid
from drive_emulator.storage import SCHEMA_VERSION

_PASSING = {"upload", "late"}
"""Tables of what is under way; a snapshot has none of it."""


def save(drive: Drive, path: Path) -> None:
    """Write all but uploads under way and late feed entries; a file that is there is replaced.

    Raises:
        ApiError: 400 when it can't be written.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        part.unlink(missing_ok=True)
        part.touch(mode=0o600)
        with closing(sqlite3.connect(part)) as target:
            drive.database.copy_to(target)
            for table in _PASSING:
                target.execute(f"DELETE FROM {table}")  # noqa: S608 - our own names
            target.execute("CREATE TABLE body (id TEXT NOT NULL, data BLOB NOT NULL)")
            for blob, size in target.execute("SELECT blob, size FROM file WHERE blob LIKE 'fs:%'").fetchall():
                pieces = ((blob, piece) for piece in drive.blobs.read(blob, 0, size))
                target.executemany("INSERT INTO body VALUES (?, ?)", pieces)
            target.commit()
        part.replace(path)
    except (OSError, sqlite3.Error) as error:
        raise invalid("path", f"The snapshot {path} can't be written: {error}") from error


def load(drive: Drive, path: Path) -> None:
    """Put what a snapshot has in the place of everything. Page tokens never go back.

    Raises:
        ApiError: 400 when it can't be read, or is none; nothing changed.
    """
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as source:
            (version,) = source.execute("PRAGMA user_version").fetchone()
            if version != SCHEMA_VERSION:
                raise invalid("path", f"{path} is no snapshot of this version of the emulator.")
            if source.execute("SELECT 1 FROM file WHERE blob GLOB 'fs:*[^0-9a-f]*'").fetchone():
                raise invalid("path", f"The snapshot {path} names files that are not its own.")
            bodies = source.execute("SELECT id, data FROM body WHERE id NOT GLOB 'fs:*[^0-9a-f]*' ORDER BY rowid")
            if source.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                raise invalid("path", f"The snapshot {path} is damaged.")
            with drive.database.transaction():
                drive.database.clear()
                drive.database.copy_from(source)
            drive.uploads.clear()
            drive.blobs.clear()
            for blob, piece in bodies:
                drive.blobs.restore(blob, piece)
    except (OSError, sqlite3.Error) as error:
        raise invalid("path", f"The snapshot {path} can't be read: {error}") from error
    drive.accounts.forget()
    drive.changes.catch_up()
