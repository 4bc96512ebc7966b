"""A store in memory: the twin of the one on disk, for tests and for runtimes that need not outlive their process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TypeVar

from syft_flwr.errors import RuntimeClosedError, StateError
from syft_flwr.ports import JSON, Transaction
from syft_flwr.state.rows import check_key, decode, encode

T = TypeVar("T")


class MemoryStore:
    """A :class:`~syft_flwr.ports.StateStore` that keeps what the one on disk keeps, as long as the process lives.

    Thread-safe: transactions run one after the other, each on its caller's thread.
    """

    def __init__(self) -> None:
        self._rows: dict[str, str] = {}
        self._lock = threading.Lock()
        self._owner: int | None = None
        self._closed = False

    def transact(self, work: Callable[[Transaction], T]) -> T:
        """Run ``work`` in one transaction: all of its writes are kept, or (when it raises) none.

        Raises:
            RuntimeClosedError: The store is closed.
            RuntimeError: Called from inside a transaction of this store.
        """
        if self._owner == threading.get_ident():
            raise RuntimeError("transact() called from inside a transaction: use the transaction that is at hand")
        with self._lock:
            if self._closed:
                raise RuntimeClosedError("the state store is closed")
            self._owner = threading.get_ident()
            transaction = _MemoryTransaction(self._rows)
            try:
                result = work(transaction)
            except BaseException:
                transaction.undo()
                raise
            finally:
                transaction.end()
                self._owner = None
            return result

    def close(self) -> None:
        """Refuse further transactions, after the one that runs; idempotent."""
        if self._owner == threading.get_ident():
            self._closed = True
            return
        with self._lock:
            self._closed = True


class _MemoryTransaction:
    def __init__(self, rows: dict[str, str]) -> None:
        self._rows = rows
        self._before: dict[str, str | None] = {}
        self._thread = threading.get_ident()
        self._over = False

    def get(self, key: str) -> JSON | None:
        self._check()
        text = self._rows.get(check_key(key))
        return None if text is None else decode(text, key)

    def put(self, key: str, value: JSON) -> None:
        self._check()
        text = encode(value)
        self._before.setdefault(check_key(key), self._rows.get(key))
        self._rows[key] = text

    def delete(self, key: str) -> None:
        self._check()
        self._before.setdefault(check_key(key), self._rows.get(key))
        self._rows.pop(key, None)

    def scan(self, prefix: str, *, limit: int | None = None) -> Iterator[tuple[str, JSON]]:
        self._check()
        check_key(prefix)
        keys = islice(sorted(key for key in self._rows if key.startswith(prefix)), limit)
        found = [(key, self._rows[key]) for key in keys]
        return ((key, decode(text, key)) for key, text in found)

    def undo(self) -> None:
        for key, text in self._before.items():
            if text is None:
                self._rows.pop(key, None)
            else:
                self._rows[key] = text

    def end(self) -> None:
        self._over = True

    def _check(self) -> None:
        if self._over:
            raise StateError("the transaction is over")
        if threading.get_ident() != self._thread:
            raise StateError("a transaction is for the thread on which its work runs")
