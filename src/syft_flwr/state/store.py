"""The store on disk; the only importer of diskcache.

diskcache keeps the rows in an SQLite database: it makes the file and opens the connection. The rows are read and
written on that connection, ``Cache._con``, in this file alone: diskcache has no savepoints, no scan by prefix (its
own iterators read every key), and reads and writes each row in a transaction and with a search of its own. The
connection is private; 5.6.3 closes the release line that has it for good, and the dependency is pinned below 6.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import diskcache
from diskcache.core import DBNAME, DEFAULT_SETTINGS, METADATA, MODE_RAW

from syft_flwr.errors import StateError
from syft_flwr.ports import JSON, Transaction
from syft_flwr.state.committer import Committer, Work, WorkFailed
from syft_flwr.state.damage import DirectoryLock, check_path, open_directory, set_aside_if_damaged
from syft_flwr.state.rows import check_key, decode, encode, end_of_prefix

T = TypeVar("T")

BUSY_SECONDS = 60.0
_NEVER = 2**62  # bytes; no value is this long

_SETTINGS = {
    "eviction_policy": "none",  # the default policy would delete page tokens
    "cull_limit": 0,
    "size_limit": _NEVER,
    "statistics": 0,
    "tag_index": 0,
    "disk_min_file_size": _NEVER,  # values in files are not fsynced, and go before their row does
    "sqlite_journal_mode": "wal",
    "sqlite_synchronous": 1,  # NORMAL, for diskcache's dozens of commits while it opens; then see _Cache
    "sqlite_cache_size": 1_024,  # pages of 4 KB for each thread: as fast as diskcache's 8,192, and 28 MB less
    "sqlite_mmap_size": 0,  # reading a truncated file through a map kills the process
}

_GET = "SELECT mode, filename, value FROM Cache WHERE key = ? AND raw = 1"
_SCAN = (
    "SELECT key, mode, filename, value FROM Cache"
    " WHERE raw = 1 AND key >= ? AND key < ? ORDER BY key LIMIT ?"  # served by the unique index on (key, raw)
)
_PUT = (
    "INSERT INTO Cache (key, raw, store_time, access_time, mode, value) VALUES (?, 1, ?, ?, ?, ?)"
    " ON CONFLICT (key, raw) DO UPDATE SET store_time = excluded.store_time, mode = excluded.mode, filename = NULL,"
    " value = excluded.value"
)
_DELETE = "DELETE FROM Cache WHERE key = ? AND raw = 1"
_SCAN_AFTER = _SCAN.replace("key >= ?", "key > ?")
_DATABASE_ERRORS = (diskcache.Timeout, sqlite3.Error, UnicodeDecodeError)


class DiskStore:
    """A :class:`~syft_flwr.ports.StateStore` in a directory of its own (mode 0700, files 0600).

    A database that is damaged, or holds anything but JSON rows, is set aside when opened: renamed to
    ``{name}.damaged-{UTC time}``, kept, and replaced by an empty one.

    Thread-safe; any number of processes of one machine may have it open (not over a network file system).

    Attributes:
        directory: Where it lives.
        recovered: Where the damaged predecessor was put, or ``None``.
    """

    directory: Path
    recovered: Path | None

    def __init__(self, directory: Path, *, busy_timeout: float = BUSY_SECONDS) -> None:
        """Open the store, creating it if need be.

        Args:
            directory: Its directory. A lock file, ``{name}.lock``, stands beside it.
            busy_timeout: Seconds to wait for another process that is writing.

        Raises:
            StateError: It can't be used: no access, held by another process, or damaged while one uses it.
        """
        self.directory = directory.absolute()
        check_path(self.directory)
        self._lock = DirectoryLock(self.directory, busy_timeout)
        try:
            settings = frozenset(DEFAULT_SETTINGS | METADATA)
            self.recovered = set_aside_if_damaged(self.directory, self._lock, settings)
            open_directory(self.directory)
            self._committer = Committer(lambda: _DiskSession(self.directory, busy_timeout), patience=busy_timeout)
        except BaseException:
            self._lock.close()
            raise

    def transact(self, work: Callable[[Transaction], T]) -> T:
        """Run ``work`` in one transaction: all of its writes are kept, or (when it raises) none.

        It runs on the store's own thread, so keep it short. The writes are on disk when this returns. If the
        caller is interrupted while it waits, the transaction is dropped or finished, as a whole.

        Raises:
            RuntimeClosedError: The store is closed.
            RuntimeError: Called from inside a transaction of this store.
            StateError: The database can't be read or written; nothing of ``work`` was kept.
        """
        future = self._committer.submit(work)
        try:
            result: T = future.result()
        finally:
            future.cancel()  # of a caller interrupted before its turn
            del future  # a raised exception would hold this frame, and the frame the exception
        return result

    def close(self) -> None:
        """Finish the transactions that were begun or queued, and release the files; idempotent."""
        self._committer.close()
        self._lock.close()


class _NoDisk(diskcache.Disk):  # type: ignore[misc] # diskcache has no types
    """Refuses what diskcache would read and write by itself: pickles, and values in files."""

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise StateError("the state keeps text keys and JSON text, which diskcache itself is not to touch")

    put = get = store = fetch = filename = remove = _refuse


def _fetch(key: str, mode: int, filename: str | None, value: object) -> JSON:
    if mode != MODE_RAW or filename is not None:
        raise StateError(f"the value of {key!r} is a pickle or a file, not JSON text")
    return decode(value, key)


class _Cache(diskcache.Cache):  # type: ignore[misc] # diskcache has no types
    def __init__(self, directory: Path, timeout: float) -> None:
        try:
            super().__init__(str(directory), timeout=timeout, disk=_NoDisk, **_SETTINGS)
            # FULL: a power cut loses nothing acknowledged. It holds for the connection that is open from now on.
            self.reset("sqlite_synchronous", 2, update=False)
        except BaseException:
            self.close()  # else its connection would be left open
            raise


class _DiskSession:
    """The connection, used by one thread."""

    def __init__(self, directory: Path, timeout: float) -> None:
        with _as_state_error():
            self._cache = _Cache(directory, timeout)
            self._connection: sqlite3.Connection = self._cache._con  # noqa: SLF001 - see the module's docstring
        self._path = directory / DBNAME
        self._opened = _identity(self._path)

    @contextmanager
    def group(self) -> Iterator[None]:
        if _identity(self._path) != self._opened:  # else this would go on with a file that no other process sees
            raise StateError(f"{self._path} was removed or replaced while in use: end this process, and start it anew")
        sql = self._connection.execute
        with _as_state_error():
            sql("BEGIN IMMEDIATE")
            try:
                yield
                sql("COMMIT")
            finally:
                if self._connection.in_transaction:
                    sql("ROLLBACK")

    def attempt(self, work: Work) -> Any:
        sql = self._connection.execute
        sql("SAVEPOINT work")
        transaction = _DiskTransaction(self._connection)
        try:
            result = work(transaction)
            transaction.end()
        except BaseException as error:
            transaction.over = True
            if not self._connection.in_transaction:  # SQLite has undone all by itself, as it may when the disk is full
                raise
            sql("ROLLBACK TO work")
            sql("RELEASE work")
            raise WorkFailed from error
        sql("RELEASE work")
        return result

    def close(self) -> None:
        self._cache.close()


class _DiskTransaction:
    """Writes come to the database together, at the end or before a scan: a row that changes twice is written once."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._written: dict[str, str | None] = {}
        """What is still to be written; ``None`` for a row that goes."""
        self._thread = threading.get_ident()
        self._failure: StateError | None = None
        self.over = False

    def get(self, key: str) -> JSON | None:
        return self._do(self._get, check_key(key))

    def put(self, key: str, value: JSON) -> None:
        self._do(self._written.__setitem__, check_key(key), encode(value))

    def delete(self, key: str) -> None:
        self._do(self._written.__setitem__, check_key(key), None)

    def scan(self, prefix: str, *, after: str | None = None, limit: int | None = None) -> Iterator[tuple[str, JSON]]:
        # A blob sorts after every text, so the empty one bounds a scan that no text bounds.
        end = end_of_prefix(check_key(prefix)) or b""
        begin, statement = prefix, _SCAN
        if after is not None and check_key(after) >= prefix:
            begin, statement = after, _SCAN_AFTER
        self._do(self._write)
        rows = self._do(self._connection.execute, statement, (begin, end, -1 if limit is None else limit)).fetchall()
        return ((key, _fetch(key, mode, filename, value)) for key, mode, filename, value in rows)

    def end(self) -> None:
        """Allow no further use, and raise what went wrong even if the work passed over it: it is all or nothing."""
        if self._failure is None:
            self._do(self._write)
        self.over = True
        if self._failure is not None:
            raise self._failure

    def _get(self, key: str) -> JSON | None:
        if key in self._written:
            text = self._written[key]
            return None if text is None else decode(text, key)
        rows = self._connection.execute(_GET, (key,)).fetchall()
        return _fetch(key, *rows[0]) if rows else None

    def _write(self) -> None:
        if not self._written:
            return
        written, self._written = self._written, {}
        now = time.time()
        gone = [(key,) for key, text in written.items() if text is None]
        rows = [(key, now, now, MODE_RAW, text) for key, text in written.items() if text is not None]
        self._connection.executemany(_DELETE, gone)
        self._connection.executemany(_PUT, rows)

    def _do(self, step: Callable[..., Any], *arguments: Any) -> Any:
        if self.over:
            raise StateError("the transaction is over")
        if threading.get_ident() != self._thread:
            raise StateError("a transaction is for the thread on which its work runs")  # has no other connection
        try:
            return step(*arguments)
        except StateError as error:
            self._fail(error)
            raise
        except _DATABASE_ERRORS as error:
            raise self._fail(_state_error(error)) from error

    def _fail(self, error: StateError) -> StateError:
        # SQLite may have rolled back by itself; a further write would then stand alone.
        self._failure, self.over = error, True
        return error


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from others; ``None`` when there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


@contextmanager
def _as_state_error() -> Iterator[None]:
    try:
        yield
    except _DATABASE_ERRORS as error:
        raise _state_error(error) from error


def _state_error(error: Exception) -> StateError:
    if isinstance(error, diskcache.Timeout):  # raised for whatever BEGIN says, "from None"; the context still has it
        return StateError(f"can't lock the state: {error.__context__}; is another process stuck?")
    return StateError(f"can't use the state's database: {error}")
