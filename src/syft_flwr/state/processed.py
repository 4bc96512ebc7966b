"""Which messages are done: a bounded number of rows, and one watermark per inbox folder for all older ones.

Participants of the existing implementation never delete their requests, so an ID that was simply evicted would come
back with the next sweep. Instead the oldest rows are traded for their folder's watermark: a file of the folder that was
created up to then, and that the journal does not hold, is done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from syft_flwr import wire
from syft_flwr.drive.paging import LIST_LAG
from syft_flwr.models import Message
from syft_flwr.ports import Transaction
from syft_flwr.state.rows import numbered

AHEAD = 600.0
"""Seconds that a file may claim to be made after it was seen: who uploads a file can name any time."""


class ProcessedFiles:
    """The files that are over, under the numbers that the journal gave them; works inside the caller's transaction.

    A file that was refused has no message key: a forgery must not keep the genuine message out. One that claims to be
    made in the future has no time: no watermark rests on it, and its row goes as any other.

    Args:
        limit: Rows to keep. While messages pour in faster than sweeps confirm them, those of the time since the last
            sweep and of the two minutes before it (:data:`LIST_LAG`) are kept beyond the limit.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit

    def holds(self, tx: Transaction, number: int) -> bool:
        """Tell whether the file of this number is over."""
        return tx.get(numbered("over", number)) is not None

    def below_mark(self, tx: Transaction, parents: Sequence[str], created_time: str) -> bool:
        """Tell whether a file that the journal does not know was done before its row was given up."""
        for parent in parents:  # noqa: SIM110 - no generator: this is done for every file of the feed
            if created_time <= (tx.get(f"mark/{parent}") or ""):
                return True
        return False

    def add(
        self, tx: Transaction, number: int, *, key: str | None, file_id: str, folder_id: str, created_time: str
    ) -> None:
        """Note that a file is over."""
        count = (tx.get("over_count") or 0) + 1
        tx.put("over_count", count)
        tx.put(numbered("over", number), [key, file_id, folder_id, created_time])
        tx.put(f"file/{file_id}", number)
        if key is not None:
            tx.put(f"message/{key}", number)
        if count > self._limit and not tx.get("trim_stuck"):
            self.trim(tx)

    def add_message(self, tx: Transaction, number: int, message: Message) -> None:
        """Note that a message is over."""
        self.add(
            tx,
            number,
            key=message.key,
            file_id=message.file_id,
            folder_id=message.folder_id,
            created_time=message.created_time,
        )

    def identify(self, tx: Transaction, number: int, file_id: str, folder_id: str, created_time: str) -> bool:
        """Learn the file of a message, if only its reply was known (see :meth:`Ledger.recollect`)."""
        row = tx.get(numbered("over", number))
        if row is None or row[2]:
            return False
        tx.delete(f"file/{row[1]}")
        tx.put(f"file/{file_id}", number)
        tx.put(numbered("over", number), [row[0], file_id, folder_id, created_time])
        return True

    def wants_sweep(self, tx: Transaction) -> bool:
        """Tell whether more rows are kept than wanted, for lack of a recent sweep."""
        return bool(tx.get("trim_stuck"))

    def mark_swept(self, tx: Transaction, server_time: float) -> None:
        """Note that what Drive lists of the time up to ``server_time`` (its clock, Unix seconds) is in the journal."""
        tx.put("swept", max(server_time, tx.get("swept") or 0.0))
        self.trim(tx)

    def trim(self, tx: Transaction) -> None:
        """Trade the oldest rows for watermarks, down to nine tenths of the limit.

        A watermark never passes the last sweep less :data:`LIST_LAG`: a file below it that no one has seen yet would
        be taken for a processed one. What the journal holds is not affected by watermarks.
        """
        count = tx.get("over_count") or 0
        if count > self._limit:
            horizon = wire.timestamp((tx.get("swept") or 0.0) - LIST_LAG)
            for row_key, (key, file_id, folder_id, created) in tx.scan("over/", limit=count - self._limit * 9 // 10):
                if created >= horizon:
                    continue
                if created and folder_id:
                    tx.put(f"mark/{folder_id}", max(created, tx.get(f"mark/{folder_id}") or ""))
                for gone in (row_key, f"file/{file_id}", *(() if key is None else (f"message/{key}",))):
                    tx.delete(gone)
                count -= 1
            tx.put("over_count", count)
        tx.put("trim_stuck", count > self._limit)

    def marks(self, tx: Transaction) -> dict[str, str]:
        """Return each folder's watermark (RFC 3339)."""
        return {key.removeprefix("mark/"): row for key, row in tx.scan("mark/")}

    def dump(self, tx: Transaction) -> list[list[str | None]]:
        """Return every row that is kept: message key, file, folder and time, oldest first."""
        return [row for _, row in tx.scan("over/")]

    def load(self, tx: Transaction, first: int, rows: Iterable[Sequence[str | None]], marks: Mapping[str, str]) -> int:
        """Take over what :meth:`dump` and :meth:`marks` returned, numbered from ``first`` on; return what follows."""
        number = first
        for key, file_id, folder_id, created in rows:
            # Recordings of version 1 name refused files by a key of their own.
            known = None if key is None or key.startswith("rejected\n") else key
            self.add(
                tx, number, key=known, file_id=file_id or "", folder_id=folder_id or "", created_time=created or ""
            )
            number += 1
        for folder_id, mark in marks.items():
            tx.put(f"mark/{folder_id}", mark)
        return number
