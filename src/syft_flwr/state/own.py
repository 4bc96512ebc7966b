"""Message files of our own that are to be deleted, and when."""

from __future__ import annotations

from collections.abc import Iterable

from syft_flwr.ports import StateStore, Transaction


class OwnFiles:
    """Deletions that are due at a time, or as soon as a watched file of the peer is gone."""

    def __init__(self, store: StateStore) -> None:
        self._store = store

    def add(self, tx: Transaction, file_id: str, *, at: float, watch: str | None = None) -> None:
        """Plan to delete ``file_id`` at Unix time ``at``, or when the file ``watch`` is gone."""
        self._remove(tx, file_id)
        tx.put(f"own/{file_id}", {"at": at, "watch": watch})
        tx.put(_due_key(at, file_id), file_id)
        if watch is not None:
            tx.put(f"watch/{watch}", file_id)

    def peer_file_gone(self, tx: Transaction, file_id: str) -> None:
        """Make due what was watching this file."""
        own = tx.get(f"watch/{file_id}")
        if own is not None:
            self.add(tx, own, at=0.0)

    def due(self, now: float, *, limit: int = 1_000) -> list[str]:
        """Return files to delete now (Unix seconds), those that are due for longest first."""

        def work(tx: Transaction) -> list[str]:
            # Not later than now: the keys sort by time.
            return [row for key, row in tx.scan("due/", limit=limit) if key < _due_key(now, "\U0010ffff")]

        return self._store.transact(work)

    def watched(self) -> list[str]:
        """Return the peers' files whose end we wait for."""
        return self._store.transact(lambda tx: [key.removeprefix("watch/") for key, _ in tx.scan("watch/")])

    def deleted(self, file_ids: Iterable[str]) -> None:
        """Note that Drive no longer has these files."""

        def work(tx: Transaction) -> None:
            for file_id in file_ids:
                self._remove(tx, file_id)

        self._store.transact(work)

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
