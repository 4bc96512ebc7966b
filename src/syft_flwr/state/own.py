"""Message files of our own that are to be deleted, and when."""

from __future__ import annotations

from syft_flwr.ports import StateStore, Transaction


class OwnFiles:
    """Deletions that are due at a time, or as soon as a watched file of the peer is gone."""

    def __init__(self, store: StateStore) -> None:
        self._store = store

    def add(self, tx: Transaction, file_id: str, *, at: float, watch: str | None = None) -> None:
        """Plan to delete ``file_id`` at Unix time ``at``, or when the file ``watch`` is gone."""
        tx.put(f"own/{file_id}", {"at": at, "watch": watch})
        if watch is not None:
            tx.put(f"watch/{watch}", file_id)

    def peer_file_gone(self, tx: Transaction, file_id: str) -> None:
        """Make due what was watching this file."""
        own = tx.get(f"watch/{file_id}")
        if own is not None:
            tx.put(f"own/{own}", {"at": 0.0, "watch": file_id})

    def due(self, now: float) -> list[str]:
        """Return the files to delete now (Unix seconds)."""
        return self._store.transact(
            lambda tx: [key.removeprefix("own/") for key, row in tx.scan("own/") if row["at"] <= now]
        )

    def watched(self) -> list[str]:
        """Return the peers' files whose end we wait for."""

        def work(tx: Transaction) -> list[str]:
            return [row["watch"] for _, row in tx.scan("own/") if row["watch"] is not None and row["at"] > 0]

        return self._store.transact(work)

    def deleted(self, file_id: str) -> None:
        """Note that Drive no longer has the file."""

        def work(tx: Transaction) -> None:
            row = tx.get(f"own/{file_id}")
            tx.delete(f"own/{file_id}")
            if row is not None and row["watch"] is not None:
                tx.delete(f"watch/{row['watch']}")

        self._store.transact(work)
