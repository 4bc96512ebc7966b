"""A store in memory that keeps the values themselves: for replays, which write tens of thousands of rows a second."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TypeVar

from syft_flwr.errors import RuntimeClosedError
from syft_flwr.ports import JSON, Transaction

T = TypeVar("T")


class PlainStore:
    """A :class:`~syft_flwr.ports.StateStore` that writes nothing down and checks nothing.

    Thread-safe. Values are not copied: whoever puts or gets one must not change it. A scan looks only at the keys that
    have the same first part, up to a slash.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._rows: dict[str, JSON] = {}
        self._kinds: defaultdict[str, set[str]] = defaultdict(set)
        self._closed = False

    def transact(self, work: Callable[[Transaction], T]) -> T:
        """Run ``work`` in one transaction: all of its writes are kept, or (when it raises) none.

        Raises:
            RuntimeClosedError: The store is closed.
        """
        with self._lock:
            if self._closed:
                raise RuntimeClosedError("the state store is closed")
            transaction = _PlainTransaction(self._rows, self._kinds)
            try:
                return work(transaction)
            except BaseException:
                transaction.undo()
                raise

    def close(self) -> None:
        """Refuse further transactions; idempotent."""
        with self._lock:
            self._closed = True


class _PlainTransaction:
    def __init__(self, rows: dict[str, JSON], kinds: defaultdict[str, set[str]]) -> None:
        self._rows = rows
        self._kinds = kinds
        self._before: list[tuple[str, JSON | None]] = []
        self.get = rows.get

    def put(self, key: str, value: JSON) -> None:
        before = self._rows.get(key)
        self._before.append((key, before))
        if before is None:
            self._kinds[_kind(key)].add(key)
        self._rows[key] = value

    def delete(self, key: str) -> None:
        before = self._rows.pop(key, None)
        if before is not None:
            self._before.append((key, before))
            self._kinds[_kind(key)].discard(key)

    def scan(self, prefix: str, *, limit: int | None = None) -> Iterator[tuple[str, JSON]]:
        keys = islice(sorted(key for key in self._kinds[_kind(prefix)] if key.startswith(prefix)), limit)
        return iter([(key, self._rows[key]) for key in keys])

    def undo(self) -> None:
        for key, value in reversed(self._before):
            if value is None:
                self._rows.pop(key, None)
                self._kinds[_kind(key)].discard(key)
            else:
                self._rows[key] = value
                self._kinds[_kind(key)].add(key)


def _kind(key: str) -> str:
    return key.partition("/")[0]
