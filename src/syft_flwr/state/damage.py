"""What becomes of a state directory whose database is damaged: it is set aside, and kept."""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import time
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

from syft_flwr.errors import StateError
from syft_flwr.private import make_directories, make_private_directory, sync_directory

_DATABASE = "cache.db"  # diskcache.core.DBNAME
_STRANGE_ROWS = (
    "SELECT key FROM Cache WHERE typeof(key) <> 'text' OR raw <> 1 OR mode <> 1 OR filename IS NOT NULL"  # 1: MODE_RAW
    " OR expire_time IS NOT NULL OR typeof(value) <> 'text' OR value GLOB '*[^ -~]*' OR NOT json_valid(value)"
    " OR coalesce(rowid, store_time, access_time, access_count, tag, size) IS NULL LIMIT 1"  # the rest of its columns
)
"""Finds a row that is not one of ours, in SQLite itself: of a hundred thousand rows, Python reads none."""
_RETRY_SECONDS = 0.02
_IN_USE_SECONDS = 5.0
_DAMAGED = frozenset({sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT})

_log = logging.getLogger(__name__)


class DirectoryLock:
    """An flock beside a directory: shared by all who use the directory, exclusive for the one who replaces it."""

    def __init__(self, directory: Path, timeout: float) -> None:
        self._timeout = timeout
        self._path = directory.with_name(f"{directory.name}.lock")
        try:
            make_directories(directory.parent)
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StateError(f"can't use the state directory {directory}: {error}") from error

    def share(self) -> None:
        """Take the lock together with others, or give up being the only one.

        Raises:
            StateError: Another process is the only one for longer than the timeout.
        """
        deadline = time.monotonic() + self._timeout
        while not self._try(fcntl.LOCK_SH):
            if time.monotonic() > deadline:
                raise StateError(f"another process has held {self._path} for {self._timeout:g} seconds")
            time.sleep(_RETRY_SECONDS)

    def try_alone(self) -> bool:
        """Try to become the only one; if that fails, the lock is lost altogether."""
        if self._try(fcntl.LOCK_EX):
            return True
        fcntl.flock(self._fd, fcntl.LOCK_UN)
        return False

    def close(self) -> None:
        """Release it; idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _try(self, operation: int) -> bool:
        try:
            fcntl.flock(self._fd, operation | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def check_path(directory: Path) -> None:
    """Refuse a path that diskcache would change.

    Raises:
        StateError: Its name holds a variable (``$HOME``), which diskcache would expand.
    """
    if os.path.expandvars(directory) != str(directory):
        raise StateError(f"the state directory's path holds the name of a variable: {directory}")


def open_directory(directory: Path) -> None:
    """Make the directory and its database file, for the owner's eyes only.

    A file that is there is not opened. To close it would give up all locks that this process has on it, those of an
    open database included: the next process to close the database would take itself for the last one to use it.

    Raises:
        StateError: They can't be made, or belong to someone else.
    """
    try:
        make_private_directory(directory)
        # SQLite gives its journal files the mode of the database.
        with suppress(FileExistsError):
            os.close(os.open(directory / _DATABASE, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        for path in directory.glob(f"{_DATABASE}*"):
            path.chmod(0o600)
    except OSError as error:
        raise StateError(f"can't use the state directory {directory}: {error}") from error


def set_aside_if_damaged(directory: Path, lock: DirectoryLock, settings: frozenset[str]) -> Path | None:
    """Rename the directory to ``{name}.damaged-{UTC time}`` if its database is damaged.

    Every row is read, so that a planted one is found now and not in the middle of something.

    Args:
        directory: The store's directory; none, or an empty one, is fine.
        lock: Its lock; shared with others when this returns.
        settings: The settings that diskcache knows; it would make attributes of others.

    Returns:
        The new place, or ``None`` when nothing is wrong.

    Raises:
        StateError: The database can't be read for a reason that replacing it does not cure, or it is damaged
            while another process uses it.
    """
    place = None
    deadline = time.monotonic() + _IN_USE_SECONDS
    lock.share()
    while (damage := _find_damage(directory, settings)) is not None:
        if lock.try_alone():
            # Another process may just have replaced it.
            if (damage := _find_damage(directory, settings)) is not None:
                place = _set_aside(directory, damage)
        elif time.monotonic() > deadline:
            raise StateError(f"{directory} is damaged ({damage}), and another process uses it: end that one first")
        else:
            time.sleep(_RETRY_SECONDS)
        lock.share()
    return place


def _find_damage(directory: Path, settings: frozenset[str]) -> str | None:
    path = directory / _DATABASE
    if not path.exists():
        return None
    try:
        with closing(sqlite3.connect(path)) as connection:
            return _examine(connection, settings)
    except (StateError, UnicodeDecodeError) as error:
        return str(error)
    except sqlite3.Error as error:
        # Without a code: Python could not read a text as UTF-8.
        if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF in _DAMAGED:
            return str(error)
        raise StateError(f"can't read the state's database {path}: {error}") from error


def _examine(connection: sqlite3.Connection, settings: frozenset[str]) -> str | None:
    [[verdict]] = connection.execute("PRAGMA integrity_check(1)").fetchall()
    if verdict != "ok":
        return str(verdict)
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if "Settings" in tables:
        for key, _ in connection.execute("SELECT key, value FROM Settings"):
            if key not in settings:
                return f"unknown setting {key!r}"
    if "Cache" in tables:
        for (key,) in connection.execute(_STRANGE_ROWS):
            return f"the row {key!r:.80} is not one of ours"
    return None


def _set_aside(directory: Path, damage: str) -> Path:
    name = f"{directory.name}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    place, count = directory.with_name(name), 1
    while place.exists():
        place, count = directory.with_name(f"{name}-{count}"), count + 1
    try:
        directory.rename(place)
        sync_directory(directory.parent)
    except OSError as error:
        raise StateError(f"can't set the damaged state directory {directory} aside: {error}") from error
    _log.warning("the state in %s is damaged (%s): set aside as %s, starting empty", directory, damage, place)
    return place
