"""The emulator's database: one SQLite file in WAL mode, or memory.

Every request that writes is one transaction. A process killed at any moment loses nothing that was
acknowledged (``synchronous=NORMAL``: only a power cut may take the last moments).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from drive_emulator.errors import EmulatorError
from drive_emulator.query_sql import register_functions

SCHEMA_VERSION = 1

# `view` is both who can see what and the change feed: one row per account and file, whose `seq` moves to the end of
# the account's log with every change. So a file has one entry per account (coalesced), and a poll is one index range.
# A file's rows lie side by side, so that a new file changes one page however many see it.
_VIEW = """
CREATE TABLE view (
    account TEXT NOT NULL, file_id TEXT NOT NULL, role TEXT, seq INTEGER, time INTEGER,
    starred INTEGER NOT NULL DEFAULT 0, viewed INTEGER, modified INTEGER, shared_at INTEGER, shared_by TEXT, app TEXT,
    PRIMARY KEY (file_id, account)
) WITHOUT ROWID;
CREATE INDEX view_feed ON view (account, seq);
"""
_SCHEMA = f"""
{_VIEW}
CREATE TABLE account (
    key TEXT PRIMARY KEY, email TEXT NOT NULL, permission_id TEXT NOT NULL, root_id TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE file (
    n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, mime_type TEXT NOT NULL,
    parent TEXT, owner TEXT NOT NULL, created_ms INTEGER NOT NULL, modified_ms INTEGER NOT NULL,
    modified_by TEXT NOT NULL, version INTEGER NOT NULL,
    trashed INTEGER NOT NULL, explicitly_trashed INTEGER NOT NULL,
    blob TEXT, size INTEGER, md5 TEXT, sha1 TEXT, sha256 TEXT, revision TEXT, original_name TEXT,
    properties TEXT NOT NULL, app_properties TEXT NOT NULL, settings TEXT NOT NULL, made INTEGER NOT NULL
);
CREATE INDEX file_name ON file (name COLLATE NOCASE);
CREATE INDEX file_created ON file (created_ms);
CREATE INDEX file_modified ON file (modified_ms);
CREATE INDEX file_owner_trash ON file (owner) WHERE explicitly_trashed;
CREATE TABLE permission (
    file_id TEXT NOT NULL, id TEXT NOT NULL, type TEXT NOT NULL, role TEXT NOT NULL, grantee TEXT NOT NULL,
    discoverable INTEGER NOT NULL, expires INTEGER, PRIMARY KEY (file_id, id)
) WITHOUT ROWID;
CREATE TABLE late (
    account TEXT NOT NULL, file_id TEXT NOT NULL, due REAL NOT NULL, PRIMARY KEY (account, file_id)
) WITHOUT ROWID;
CREATE TABLE blob (id TEXT PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE upload (
    id TEXT PRIMARY KEY, account TEXT NOT NULL, file_id TEXT, metadata TEXT NOT NULL, query TEXT NOT NULL,
    content_type TEXT, total INTEGER, blob TEXT NOT NULL, result TEXT, client TEXT
);
CREATE TABLE token (
    token TEXT PRIMARY KEY, kind TEXT NOT NULL, account TEXT NOT NULL, expires REAL, revoked INTEGER NOT NULL DEFAULT 0
);
"""

# Data of before has an index of folders that does not hold what lies in them in order, nothing of OAuth's clients, and
# views by account, with an index by file.
_LATER_COLUMNS = (("view", "app", "TEXT"), ("permission", "expires", "INTEGER"), ("upload", "client", "TEXT"))
_LATER = """
DROP INDEX IF EXISTS file_parent;
CREATE INDEX IF NOT EXISTS file_folder ON file (parent, created_ms);
CREATE TABLE IF NOT EXISTS consent (token TEXT PRIMARY KEY, client TEXT NOT NULL, scopes TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS permission_expiry ON permission (expires) WHERE expires IS NOT NULL;
CREATE INDEX IF NOT EXISTS view_app ON view (account, app) WHERE app IS NOT NULL;
CREATE TABLE IF NOT EXISTS opened (
    client TEXT NOT NULL, account TEXT NOT NULL, file_id TEXT NOT NULL, PRIMARY KEY (client, account, file_id)
) WITHOUT ROWID;
"""
_REORDER = (
    "BEGIN IMMEDIATE; ALTER TABLE view RENAME TO old; DROP INDEX view_feed; DROP INDEX view_file;"  # noqa: S608 - constants
    f"{_VIEW} INSERT INTO view SELECT * FROM old; DROP TABLE old; COMMIT;"
)

_LOCK_TIMEOUT = 1.0
"""Seconds to wait for an emulator that is about to end."""


class Database:
    """One SQLite connection, used from one thread at a time.

    Args:
        path: The database file, or ``None`` for memory.

    Raises:
        EmulatorError: The file is no database of this emulator, or another emulator has it open.
    """

    def __init__(self, path: Path | None) -> None:
        if path is not None:
            _make_private(path)
        self._connection = sqlite3.connect(
            path or ":memory:", timeout=_LOCK_TIMEOUT, isolation_level=None, check_same_thread=False
        )
        register_functions(self._connection)
        self._after_commit: list[Callable[[], None]] = []
        self._on_rollback: list[Callable[[], None]] = []
        try:
            self._open()
        except sqlite3.Error as error:
            self._connection.close()
            locked = error.sqlite_errorcode == sqlite3.SQLITE_BUSY
            raise EmulatorError(f"can't use {path}: {'another emulator has it open' if locked else error}") from error
        except EmulatorError:
            self._connection.close()
            raise

    def _open(self) -> None:
        for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=NORMAL"):
            self._connection.execute(f"PRAGMA {pragma}")
        (version,) = self.row("PRAGMA user_version") or (0,)
        if version == 0:
            self._connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version={SCHEMA_VERSION}; COMMIT;")
        elif version != SCHEMA_VERSION:
            raise EmulatorError(f"the data is of version {version}, this emulator reads version {SCHEMA_VERSION}")
        for table, column, kind in _LATER_COLUMNS:
            if self.row("SELECT 1 FROM pragma_table_info(?) WHERE name = ?", table, column) is None:
                self.execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")
        if self.row("SELECT 1 FROM sqlite_master WHERE name = 'view_file'") is not None:
            self._connection.executescript(_REORDER)
        self._connection.executescript(_LATER)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Keep all writes of the block, or none when it raises; within another, it is a part of that."""
        if self._connection.in_transaction:
            yield
            return
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            self._after_commit.clear()
            if self._connection.in_transaction:  # SQLite itself has undone it when the disk is full
                self._connection.execute("ROLLBACK")
            for action in self._on_rollback:
                action()
            raise
        actions, self._after_commit = self._after_commit, []
        for action in actions:
            action()

    def after_commit(self, action: Callable[[], None]) -> None:
        """Run ``action`` once the transaction under way is kept; never when it is undone."""
        self._after_commit.append(action)

    def on_rollback(self, action: Callable[[], None]) -> None:
        """Run ``action`` after every transaction that was undone, such as forgetting what was read in it."""
        self._on_rollback.append(action)

    def add_function(self, name: str, function: Callable[[str], str]) -> None:
        """Let statements call a function of one text; it may ask the database, but not write."""
        self._connection.create_function(name, 1, function)

    def row(self, sql: str, *values: Any) -> tuple[Any, ...] | None:
        row: tuple[Any, ...] | None = self._connection.execute(sql, values).fetchone()
        return row

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql, values).fetchall()

    def iterate(self, sql: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        """Return rows as SQLite finds them; nothing may be written meanwhile."""
        return self._connection.execute(sql, values)

    def execute(self, sql: str, *values: Any) -> int:
        """Run one statement and return the number of rows it changed."""
        return self._connection.execute(sql, values).rowcount

    def execute_many(self, sql: str, values: Sequence[tuple[Any, ...]]) -> None:
        self._connection.executemany(sql, values)

    def clear(self) -> None:
        """Empty every table, in the transaction under way."""
        for (table,) in self.rows("SELECT name FROM sqlite_master WHERE type = 'table'"):
            self.execute(f"DELETE FROM {table}")  # noqa: S608 - names from the schema

    def copy_to(self, target: sqlite3.Connection) -> None:
        """Copy everything into an empty database."""
        self._connection.backup(target)

    def copy_from(self, source: sqlite3.Connection) -> None:
        """Copy the rows of such a copy into our tables, which must be empty, in the transaction under way."""
        columns = "SELECT name FROM pragma_table_info(?)"
        for (table,) in self.rows("SELECT name FROM sqlite_master WHERE type = 'table'"):
            theirs = source.execute(columns, (table,)).fetchall()
            if names := [row[0] for row in self.rows(columns, table) if row in theirs]:
                rows = source.execute(f"SELECT {', '.join(names)} FROM {table}").fetchall()  # noqa: S608 - our own names
                into = f"{table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
                self.execute_many(f"INSERT OR REPLACE INTO {into}", rows)

    def close(self) -> None:
        self._connection.close()


def _make_private(path: Path) -> None:
    """Make the database's file and its directory if need be, for their owner only."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
    except OSError as error:
        reason = "it is no directory" if path.parent.exists() and not path.parent.is_dir() else error.strerror
        raise EmulatorError(f"can't use {path.parent}: {reason}") from error
