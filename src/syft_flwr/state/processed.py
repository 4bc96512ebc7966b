"""Which messages are done: a bounded set of IDs, and one watermark per inbox folder for all older ones.

Participants of the existing implementation never delete their requests, so an ID that was simply evicted would
come back with the next sweep. Instead the oldest IDs are traded for their folder's watermark: everything in the
folder that was created up to then is done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from syft_flwr import wire
from syft_flwr.models import Message
from syft_flwr.ports import Transaction

LIST_LAG = 120.0
"""Seconds by which Drive's lists may trail a write."""


class ProcessedIds:
    """The set of processed messages; every method works inside the caller's transaction.

    Args:
        limit: How many IDs to keep. More are kept while no full sweep allows to let go of them, see :meth:`trim`.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit

    def covers(self, tx: Transaction, message: Message) -> bool:
        """Tell whether the message is done, be it under another file."""
        number = tx.get(f"done/{message.key}")
        if number is None:
            return self._below_mark(tx, message.folder_id, message.created_time)
        order = f"order/{number:016d}"
        row = tx.get(order)
        if row is not None and not row[2]:  # recollected from its reply: now its own file and folder are known
            tx.delete(f"known/{row[1]}")
            tx.put(f"known/{message.file_id}", number)
            tx.put(order, [message.key, message.file_id, message.folder_id, message.created_time])
        return True

    def recollect(self, tx: Transaction, key: str, reply_id: str, created_time: str) -> None:
        """Remember a processed ID of which only the reply is known."""
        self.add(tx, key, reply_id, "", created_time)

    def covers_file(self, tx: Transaction, file_id: str, parents: tuple[str, ...], created_time: str) -> bool:
        """Tell whether a file is done, before it is known which message it holds."""
        if tx.get(f"known/{file_id}") is not None:
            return True
        for parent in parents:  # noqa: SIM110 - no generator: this is done for every file of the feed
            if self._below_mark(tx, parent, created_time):
                return True
        return False

    def add(self, tx: Transaction, key: str, file_id: str, folder_id: str, created_time: str) -> None:
        """Remember a processed ID, with the file and folder that carried it."""
        if tx.get(f"done/{key}") is not None:
            return
        number = tx.get("done_next") or 0
        count = (tx.get("done_count") or 0) + 1
        tx.put("done_next", number + 1)
        tx.put("done_count", count)
        tx.put(f"done/{key}", number)
        tx.put(f"known/{file_id}", number)
        tx.put(f"order/{number:016d}", [key, file_id, folder_id, created_time])
        if count > self._limit and not tx.get("trim_stuck"):
            self.trim(tx)

    def wants_sweep(self, tx: Transaction) -> bool:
        """Tell whether more IDs are kept than wanted, for lack of a recent full sweep."""
        return bool(tx.get("trim_stuck"))

    def mark_swept(self, tx: Transaction, server_time: float) -> None:
        """Note a full sweep that began at ``server_time`` (Drive's clock, Unix seconds) and is journaled."""
        tx.put("swept", max(server_time, tx.get("swept") or 0.0))
        self.trim(tx)

    def trim(self, tx: Transaction) -> None:
        """Trade the oldest IDs for watermarks, down to nine tenths of the limit.

        A watermark never passes an unfinished message of its folder, nor the last full sweep less
        :data:`LIST_LAG`: a message below it that nobody has seen yet would be taken for a processed one.
        """
        count = tx.get("done_count") or 0
        if count > self._limit:
            horizon = wire.timestamp((tx.get("swept") or 0.0) - LIST_LAG)
            unfinished = _oldest_unfinished(tx)
            horizon = min(horizon, unfinished.get("", horizon))
            for order, (key, file_id, folder_id, created) in tx.scan("order/"):
                if count <= self._limit * 9 // 10:
                    break
                if created >= min(horizon, unfinished.get(folder_id, horizon)):
                    continue
                tx.put(f"mark/{folder_id}", max(created, tx.get(f"mark/{folder_id}") or ""))
                for gone in (order, f"done/{key}", f"known/{file_id}"):
                    tx.delete(gone)
                count -= 1
            tx.put("done_count", count)
        tx.put("trim_stuck", count > self._limit)

    def marks(self, tx: Transaction) -> dict[str, str]:
        """Return each folder's watermark (RFC 3339)."""
        return {key.removeprefix("mark/"): row for key, row in tx.scan("mark/")}

    def dump(self, tx: Transaction) -> list[list[str]]:
        """Return every remembered ID with its file, folder and time, oldest first."""
        return [row for _, row in tx.scan("order/")]

    def load(self, tx: Transaction, rows: Iterable[Sequence[str]], marks: Mapping[str, str]) -> None:
        """Take over what :meth:`dump` and :meth:`marks` returned."""
        for key, file_id, folder_id, created in rows:
            self.add(tx, key, file_id, folder_id, created)
        for folder_id, mark in marks.items():
            tx.put(f"mark/{folder_id}", mark)

    def _below_mark(self, tx: Transaction, folder_id: str, created_time: str) -> bool:
        return created_time <= (tx.get(f"mark/{folder_id}") or "")


def _oldest_unfinished(tx: Transaction) -> dict[str, str]:
    """Return each folder's oldest unfinished file (RFC 3339), under ``""`` that of files that may lie in any folder."""
    oldest: dict[str, str] = {}
    for _, row in tx.scan("inbox/"):
        created = row["file"]["createdTime"]
        for parent in row["file"].get("parents", ("",)):
            oldest[parent] = min(created, oldest.get(parent, created))
    return oldest
