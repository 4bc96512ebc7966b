"""A store in memory: the twin of the one on disk, for replays, for runtimes that only look on, and for tests."""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator
from itertools import islice
from threading import get_ident
from typing import Any, TypeVar

from syft_flwr.errors import RuntimeClosedError, StateError
from syft_flwr.ports import JSON, Transaction
from syft_flwr.state.rows import check_key, decode, encode

T = TypeVar("T")

_ABSENT: Any = object()
_is_ascii = str.isascii
"""Most keys are, and one call less for each row counts; what is no ``str`` raises."""


class MemoryStore:
    """A :class:`~syft_flwr.ports.StateStore` that lives as long as its process.

    Thread-safe: transactions run one after the other, each on its caller's thread.

    Args:
        copies: Whether rows are kept as JSON text, as on disk, so that a value that JSON can't hold is refused and a
            value that was got can be changed. Without it a transaction costs a third; a replay writes ten thousands
            of rows a second.
    """

    def __init__(self, *, copies: bool = True) -> None:
        self._copies = copies
        self._rows: dict[str, JSON] = {}
        self._keys: dict[str, list[str]] = {}
        self._lock = threading.Lock()
        self._owner: int | None = None
        self._closed = False

    def transact(self, work: Callable[[Transaction], T]) -> T:
        """Run ``work`` in one transaction: all of its writes are kept, or (when it raises) none.

        Raises:
            RuntimeClosedError: The store is closed.
            RuntimeError: Called from inside a transaction of this store.
        """
        me = get_ident()
        if self._owner == me:
            raise RuntimeError("transact() called from inside a transaction: use the transaction that is at hand")
        with self._lock:
            if self._closed:
                raise RuntimeClosedError("the state store is closed")
            self._owner = me
            transaction = _MemoryTransaction(self._rows, self._keys, copies=self._copies)
            try:
                return work(transaction)
            except BaseException:
                transaction.undo()
                raise
            finally:
                transaction.thread = None
                self._owner = None

    def close(self) -> None:
        """Refuse further transactions, after the one that runs; idempotent."""
        if self._owner == get_ident():
            self._closed = True
            return
        with self._lock:
            self._closed = True


class _MemoryTransaction:
    """Keys are indexed by their first part, up to a slash, from the first scan of that part on."""

    def __init__(self, rows: dict[str, JSON], keys: dict[str, list[str]], *, copies: bool) -> None:
        self._rows = rows
        self._keys = keys
        self._copies = copies
        self._before: list[tuple[str, Any]] = []
        self.thread: int | None = get_ident()
        """On which its work runs; ``None`` when it is over."""

    def get(self, key: str) -> JSON | None:
        if get_ident() != self.thread or not _is_ascii(key):
            self._check(key)
        value = self._rows.get(key)
        return decode(value, key) if self._copies and value is not None else value

    def put(self, key: str, value: JSON) -> None:
        if get_ident() != self.thread or not _is_ascii(key):
            self._check(key)
        self._set(key, encode(value) if self._copies else value)

    def delete(self, key: str) -> None:
        self._check(key)
        if key in self._rows:
            self._set(key, _ABSENT)

    def scan(self, prefix: str, *, after: str | None = None, limit: int | None = None) -> Iterator[tuple[str, JSON]]:
        self._check(prefix)
        kind, slash, _ = prefix.partition("/")
        keys = self._index(kind) if slash else sorted(self._rows)
        begin = bisect_left(keys, prefix)
        if after is not None:
            begin = max(begin, bisect_right(keys, check_key(after)))
        found = islice(keys, begin, None if limit is None else begin + limit)
        rows = [(key, self._rows[key]) for key in found if key.startswith(prefix)]
        return ((key, self._read(key, value)) for key, value in rows)

    def undo(self) -> None:
        for key, value in reversed(self._before):
            self._set(key, value)

    def _read(self, key: str, value: JSON | None) -> JSON | None:
        return decode(value, key) if self._copies and value is not None else value

    def _set(self, key: str, value: Any) -> None:
        before = self._rows.pop(key, _ABSENT) if value is _ABSENT else self._rows.get(key, _ABSENT)
        self._before.append((key, before))
        if value is not _ABSENT:
            self._rows[key] = value
        if (value is _ABSENT) is (before is _ABSENT):
            return
        keys = self._keys.get(key.partition("/")[0])
        if keys is None:
            return
        if value is _ABSENT:
            del keys[bisect_left(keys, key)]
        elif not keys or key > keys[-1]:
            keys.append(key)
        else:
            insort(keys, key)

    def _index(self, kind: str) -> list[str]:
        keys = self._keys.get(kind)
        if keys is None:
            keys = self._keys[kind] = sorted(key for key in self._rows if key.partition("/")[0] == kind)
        return keys

    def _check(self, key: str) -> None:
        if self.thread is None:
            raise StateError("the transaction is over")
        if get_ident() != self.thread:
            raise StateError("a transaction is for the thread on which its work runs")
        check_key(key)
