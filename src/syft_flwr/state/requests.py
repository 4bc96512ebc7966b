"""Requests on their way: who handles them, how often that was tried, and the replies that wait for their upload."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import Enum

from syft_flwr import wire
from syft_flwr.models import DriveFile, Message
from syft_flwr.ports import JSON, Clock, StateStore, Transaction
from syft_flwr.state.own import OwnFiles
from syft_flwr.state.processed import ProcessedIds


class Claim(Enum):
    """What became of an attempt to take a message for handling."""

    TAKEN = "taken"
    SPOOLED = "spooled"
    """Handled already; its reply waits for its upload."""
    BUSY = "busy"
    """Someone else (or another file of the same message) holds it."""
    OVER = "over"
    """Done, withdrawn, or a duplicate: nothing to do."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A handler's answer, spooled: its body lies under the request's file ID among the body files."""

    message: Message
    reply_id: str
    is_error: bool


class RequestTable:
    """The requests that processes of this account handle.

    Args:
        store: Where the rows live.
        clock: Local time.
        processed: What is done.
        own: Takes the replies that are to be deleted some day.
        holder: This process's name in leases.
        is_alive: Tells whether the process behind a holder's name still lives.
    """

    def __init__(
        self,
        store: StateStore,
        clock: Clock,
        processed: ProcessedIds,
        own: OwnFiles,
        *,
        holder: str,
        is_alive: Callable[[str], bool],
    ) -> None:
        self._store = store
        self._clock = clock
        self._processed = processed
        self._own = own
        self._holder = holder
        self._is_alive = is_alive

    def claim(self, message: Message) -> Claim:
        """Take a message for this process, by compare-and-set."""

        def work(tx: Transaction) -> Claim:
            row = tx.get(f"inbox/{message.file_id}")
            if row is None:
                return Claim.OVER
            if self._processed.covers(tx, message):
                tx.delete(f"inbox/{message.file_id}")
                return Claim.OVER
            lease = f"lease/{message.key}"
            held = tx.get(lease)
            if held is not None and self._is_alive(held["holder"]):
                return Claim.BUSY
            if tx.get(f"spooled/{message.key}") not in (None, message.file_id):
                return Claim.BUSY
            tx.put(lease, self._lease(message))
            return Claim.TAKEN if tx.get(f"reply/{message.file_id}") is None else Claim.SPOOLED

        return self._store.transact(work)

    def release(self, message: Message) -> None:
        """Give a claim of this process back; the message stays unfinished."""
        self._store.transact(lambda tx: self._release(tx, message))

    def begin(self, message: Message) -> int:
        """Count an attempt to run the handler; return how many there have been, this one included."""

        def work(tx: Transaction) -> int:
            key = f"inbox/{message.file_id}"
            # The sender may have withdrawn its request since the claim; it is answered all the same.
            row = tx.get(key) or inbox_row(_as_file(message), self._clock.time(), tx.get("journal_next") or 0)
            attempts: int = row["attempts"] + 1
            tx.put(key, {**row, "attempts": attempts})
            return attempts

        return self._store.transact(work)

    def interrupt(self, message: Message) -> None:
        """Undo a claim and its attempt: the handler was stopped, and did not crash."""

        def work(tx: Transaction) -> None:
            key = f"inbox/{message.file_id}"
            row = tx.get(key)
            if row is not None:
                tx.put(key, {**row, "attempts": max(0, row["attempts"] - 1)})
            self._release(tx, message)

        self._store.transact(work)

    def spool(self, reply: Reply) -> None:
        """Record a reply whose body is on disk already. From here on the handler never runs again for it."""
        row = {"message": asdict(reply.message), "reply_id": reply.reply_id, "is_error": reply.is_error}

        def work(tx: Transaction) -> None:
            tx.put(f"reply/{reply.message.file_id}", row)
            tx.put(f"spooled/{reply.message.key}", reply.message.file_id)

        self._store.transact(work)

    def reply(self, message: Message) -> Reply | None:
        """Return the spooled reply to a request."""
        row = self._store.transact(lambda tx: tx.get(f"reply/{message.file_id}"))
        return None if row is None else Reply(Message(**row["message"]), row["reply_id"], row["is_error"])

    def spooled(self) -> list[Message]:
        """Return the requests whose replies wait for their upload."""

        def work(tx: Transaction) -> list[Message]:
            return [Message(**row["message"]) for _, row in tx.scan("reply/")]

        return self._store.transact(work)

    def finish(self, message: Message, *, reply_id: str | None = None, expires_at: float | None = None) -> None:
        """Note a message as handled. With ``expires_at`` (Unix seconds) its reply is to be deleted some day."""

        def work(tx: Transaction) -> None:
            tx.delete(f"inbox/{message.file_id}")
            tx.delete(f"lease/{message.key}")
            self.unspool(tx, message.file_id)
            self._processed.add(tx, message.key, message.file_id, message.folder_id, message.created_time)
            if reply_id is not None and expires_at is not None:
                self._own.add(tx, reply_id, at=expires_at, watch=message.file_id)

        self._store.transact(work)

    def unspool(self, tx: Transaction, file_id: str) -> None:
        """Forget the spooled reply to a request, inside a transaction."""
        row = tx.get(f"reply/{file_id}")
        if row is not None:
            tx.delete(f"reply/{file_id}")
            tx.delete(f"spooled/{Message(**row['message']).key}")

    def _lease(self, message: Message) -> JSON:
        return {"holder": self._holder, "file": message.file_id}

    def _release(self, tx: Transaction, message: Message) -> None:
        lease = f"lease/{message.key}"
        if tx.get(lease) == self._lease(message):
            tx.delete(lease)


def inbox_row(file: DriveFile, now: float, number: int) -> dict[str, JSON]:
    """Return the journal's row for a candidate seen at ``now`` (Unix seconds), the ``number``-th that it took."""
    return {"number": number, "file": file.to_api(), "seen_at": now, "attempts": 0}


def _as_file(message: Message) -> DriveFile:
    return DriveFile(
        id=message.file_id,
        name=wire.message_file_name(message.kind, message.future_id),
        parents=(message.folder_id,),
        size=message.size,
        created_time=message.created_time,
        sha256=message.sha256,
        owners=(message.sender,),
        properties=message.properties,
    )
