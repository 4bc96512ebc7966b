"""Message files of our own that are to be deleted, and when."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from syft_flwr.ports import Transaction
from syft_flwr.state.events import EventLog


@dataclass(frozen=True, slots=True)
class Deletion:
    """A file to delete; ``failures`` counts the attempts that Drive refused."""

    file_id: str
    failures: int


class OwnFiles:
    """Deletions that are due at a time, or as soon as a watched file of the peer is gone.

    A row a file, ``own/{file_id}``; ``due/{time}/{file_id}`` and ``watch/{peer's file}`` lead to it.
    """

    def __init__(self, store: EventLog) -> None:
        self._store = store

    def add(self, tx: Transaction, file_id: str, *, at: float, watch: str | None = None, failures: int = 0) -> None:
        """Plan to delete ``file_id`` at Unix time ``at``, or when the file ``watch`` is gone."""
        self._remove(tx, file_id)
        tx.put(f"own/{file_id}", {"at": at, "watch": watch, "failures": failures})
        tx.put(_due_key(at, file_id), file_id)
        if watch is not None:
            tx.put(f"watch/{watch}", file_id)

    def peer_file_gone(self, tx: Transaction, file_id: str) -> list[str]:
        """Make due what was watching this file; return it."""
        own = tx.get(f"watch/{file_id}")
        if own is None:
            return []
        self.add(tx, own, at=0.0)
        return [own]

    def due(self, now: float, *, limit: int = 1_000) -> list[Deletion]:
        """Return what to delete now (Unix seconds), what is due for longest first."""
        return self._store.transact(lambda tx: self._due(tx, now, limit))

    def watched(self) -> list[str]:
        """Return the peers' files whose end we wait for."""
        return self._store.transact(lambda tx: [key.removeprefix("watch/") for key, _ in tx.scan("watch/")])

    def deleted(
        self, file_ids: Iterable[str], now: float, *, later: Iterable[tuple[Deletion, float]] = (), limit: int = 1_000
    ) -> list[Deletion]:
        """Note that these files are gone, and when (Unix seconds) to try those ``later`` that were refused.

        Returns what is due ``now``, as :meth:`due` does.
        """
        deleted = list(file_ids)

        def work(tx: Transaction) -> list[Deletion]:
            for file_id in deleted:
                self._remove(tx, file_id)
            if deleted:
                self._store.happened("deleted", file_ids=deleted)
            for deletion, at in later:
                self.add(tx, deletion.file_id, at=at, failures=deletion.failures + 1)
            return self._due(tx, now, limit)

        return self._store.transact(work)

    def _due(self, tx: Transaction, now: float, limit: int) -> list[Deletion]:
        last = _due_key(now, "\U0010ffff")  # the keys sort by time
        ids = [row for key, row in tx.scan("due/", limit=limit) if key < last]
        return [Deletion(file_id, (tx.get(f"own/{file_id}") or {}).get("failures", 0)) for file_id in ids]

    def _remove(self, tx: Transaction, file_id: str) -> None:
        row = tx.get(f"own/{file_id}")
        if row is None:
            return
        tx.delete(f"own/{file_id}")
        tx.delete(_due_key(row["at"], file_id))
        if row["watch"] is not None:
            tx.delete(f"watch/{row['watch']}")


def _due_key(at: float, file_id: str) -> str:
    return f"due/{at:020.6f}/{file_id}"
