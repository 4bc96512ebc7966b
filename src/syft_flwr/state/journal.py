"""The journal: every candidate that the feed or a sweep brought, under ascending numbers, until it is over.

A row is a file and how far its message has come. Its number is its place in the order: rows are numbered as the feed
brings them. Two indexes lead to it: by file ID, and by message key, since two files may hold one message.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict

from syft_flwr import wire
from syft_flwr.models import Message
from syft_flwr.ports import JSON, Clock, Transaction
from syft_flwr.resources import DriveFile
from syft_flwr.state.events import EventLog, of_message
from syft_flwr.state.journal_rows import Claim, Row, Spooled, Standing, as_file, as_row, file_of
from syft_flwr.state.own_files import OwnFiles
from syft_flwr.state.processed import AHEAD, ProcessedFiles
from syft_flwr.state.rows import number_of, numbered

_CHUNK = 500


class Journal:
    """The rows of one account, shared by its processes; each public method is one durable transaction.

    Args:
        store: Where the rows live, and what happens to them is written down.
        clock: Local time.
        processed: Takes what is over.
        own: Takes the replies that are to be deleted some day.
        holder: This process's name in leases.
        is_alive: Tells whether the process behind a holder's name still lives.
    """

    def __init__(
        self,
        store: EventLog,
        clock: Clock,
        processed: ProcessedFiles,
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

    # -- reading ----------------------------------------------------------------------------------------------

    def after(self, number: int, limit: int) -> list[Row]:
        """Return the unfinished rows behind a number, in order."""

        def work(tx: Transaction) -> list[Row]:
            found = tx.scan("work/", after=numbered("work", number), limit=limit)
            return [as_row(number_of(key), row) for key, row in found]

        return self._store.transact(work)

    def rows(self, numbers: Iterable[int]) -> list[Row]:
        """Return those of the rows that are unfinished, in the order given."""

        def work(tx: Transaction) -> list[Row]:
            found = ((number, tx.get(numbered("work", number))) for number in numbers)
            return [as_row(number, row) for number, row in found if row is not None]

        return self._store.transact(work)

    def unfinished(self) -> list[Row]:
        """Return every unfinished row, in order. For tests and tools: there may be a hundred thousand."""
        return self.after(-1, 2**31)

    def stale(self, seen_before: float) -> list[Row]:
        """Return the rows that were seen before a time (Unix seconds), as far as no live process has them."""

        def work(tx: Transaction) -> list[Row]:
            found: list[Row] = []
            after: str | None = None
            while True:
                chunk = list(tx.scan("work/", after=after, limit=_CHUNK))
                for after, row in chunk:
                    if row["seen_at"] >= seen_before:  # rows are numbered as they were seen
                        return found
                    lease = row.get("lease")
                    if "reply" not in row and (lease is None or not self._is_alive(lease)):
                        found.append(as_row(number_of(after), row))
                if not chunk:
                    return found

        return self._store.transact(work)

    # -- the way of a request ---------------------------------------------------------------------------------

    def claim(self, wanted: Sequence[tuple[int, Message, bool]]) -> list[Standing]:
        """Tell how requests stand, each given as (number, message, whether to take it), and take those."""
        return self._store.transact(lambda tx: [self.claim_one(tx, *one) for one in wanted])

    def claim_one(self, tx: Transaction, number: int, message: Message, take: bool) -> Standing:
        """Do so for one of them, inside a transaction: compare and set."""
        work_key, key = numbered("work", number), message.key
        row = tx.get(work_key)
        if row is None:
            return Standing(Claim.OVER)
        other = tx.get(f"message/{key}")
        if other is not None and other != number:
            if self._processed.holds(tx, other):
                if self._processed.identify(tx, other, message.file_id, message.folder_id, message.created_time):
                    self.drop(tx, number)
                else:
                    self.refuse(tx, number, message.folder_id)  # else each sweep would find the copy anew
                return Standing(Claim.OVER)
            theirs = tx.get(numbered("work", other))
            if theirs is not None and self._lives(theirs) and theirs["lease"] != self._holder:
                return Standing(Claim.ELSEWHERE, theirs["lease"])
            if theirs is not None and ("reply" in theirs or self._lives(theirs)):
                return Standing(Claim.COPY, other)
        if self._lives(row):
            lease = row["lease"]
            return Standing(Claim.HELD if lease == self._holder else Claim.ELSEWHERE, lease)
        if not take:
            self._waits(tx, number, row, message)
            return Standing(Claim.FREE)
        if self._store.is_kept and "key" not in row:
            self._store.happened("admitted", **of_message(message))
        tx.put(f"message/{key}", number)
        tx.put(work_key, {**row, "lease": self._holder, "key": key})
        return Standing(Claim.TAKEN)

    def release(self, number: int, *, interrupted: bool = False) -> None:
        """Give a claim of this process back; ``interrupted`` also undoes the attempt: the handler did not crash."""

        def work(tx: Transaction) -> None:
            row = tx.get(numbered("work", number))
            if row is not None and row.get("lease") == self._holder:
                attempts = row["attempts"] - 1 if interrupted else row["attempts"]
                del row["lease"]
                tx.put(numbered("work", number), {**row, "attempts": max(0, attempts)})

        self._store.transact(work)

    def begin(self, number: int, message: Message) -> int:
        """Count an attempt to run the handler; return how many there have been, this one included."""

        def work(tx: Transaction) -> int:
            row = self._own_row(tx, number, message)
            attempts: int = row["attempts"] + 1
            made = wire.unix_time(message.created_time)
            lag = None if made is None else max(0.0, self._clock.time() - made)
            begun = {"attempts": attempts, "begun_at": self._store.now(), "lag": lag}
            tx.put(numbered("work", number), {**row, **begun})
            return attempts

        return self._store.transact(work)

    def spool(self, number: int, answer: Spooled) -> None:
        """Put an answer on disk; a body in a file of its own is there already. Its handler never runs again."""
        body = None if answer.body is None else b64encode(answer.body).decode()
        reply = {"message": asdict(answer.message), "id": answer.reply_id, "is_error": answer.is_error, "body": body}
        reply["size"] = answer.size

        def work(tx: Transaction) -> None:
            row = self._own_row(tx, number, answer.message)
            self._handled(row, answer.message, size=answer.size, is_error=answer.is_error)
            tx.put(numbered("work", number), {**row, "reply": reply})

        self._store.transact(work)

    def spooled(self) -> list[Spooled]:
        """Return the answers whose upload is to come."""

        def work(tx: Transaction) -> list[Spooled]:
            rows = (as_row(number_of(key), row).spooled for key, row in tx.scan("work/") if "reply" in row)
            return [spooled for spooled in rows if spooled is not None]

        return self._store.transact(work)

    def finish(
        self, number: int, message: Message, *, reply_id: str | None = None, expires_at: float | None = None
    ) -> bool:
        """Note a message as handled. With ``expires_at`` (Unix seconds) its reply is to be deleted some day.

        Returns whether the feed has said meanwhile that the request is gone.
        """

        def work(tx: Transaction) -> bool:
            row = tx.get(numbered("work", number)) or {"withdrawn": True}
            tx.delete(numbered("work", number))
            self._processed.add_message(tx, number, message)
            if reply_id is None:
                self._handled(row, message, size=None, is_error=False)
            else:
                size = row.get("reply", {}).get("size")
                self._store.happened("replied", reply_id=reply_id, reply_size=size, **of_message(message))
            if reply_id is not None and expires_at is not None:
                self._own.add(tx, reply_id, at=expires_at, watch=message.file_id)
            return "withdrawn" in row

        return self._store.transact(work)

    def finish_by_file(self, message: Message) -> int | None:
        """Note a message as handled that no process has claimed; return its number, or ``None``: it can't be had."""

        def work(tx: Transaction) -> int | None:
            number = tx.get(f"file/{message.file_id}")
            if number is None or self.claim_one(tx, number, message, take=True).claim is not Claim.TAKEN:
                return None
            tx.delete(numbered("work", number))
            self._processed.add_message(tx, number, message)
            self._store.happened("consumed", **of_message(message))
            return int(number)

        return self._store.transact(work)

    def number_of(self, message: Message) -> int | None:
        """Return a message's number, if its file is in the journal."""
        number = self._store.transact(lambda tx: tx.get(f"file/{message.file_id}"))
        return None if number is None else int(number)

    # -- inside a transaction ---------------------------------------------------------------------------------

    def add(self, tx: Transaction, file: DriveFile, now: float, *, free: int) -> Row | None:
        """Add a candidate, under the number ``free`` if it is new; return its row if that is new or has changed."""
        file_key = f"file/{file.id}"
        number = tx.get(file_key)
        if number is not None:
            row = tx.get(numbered("work", number))
            if row is None or file_of(row) == file:
                return None
            row = {**row, "file": file}
            tx.put(numbered("work", number), row)
            return as_row(int(number), row)
        if self._processed.below_mark(tx, file.parents, file.created_time):
            return None
        tx.put(numbered("work", free), {"file": file, "seen_at": now, "attempts": 0})
        tx.put(file_key, free)
        return Row(free, file)

    def holds(self, tx: Transaction, number: int) -> bool:
        """Tell whether a row is unfinished."""
        return tx.get(numbered("work", number)) is not None

    def drop(self, tx: Transaction, number: int) -> str | None:
        """Forget a row that is no message of ours, or one that its sender has withdrawn; return its file ID."""
        row = tx.get(numbered("work", number))
        if row is None:
            return None
        tx.delete(numbered("work", number))
        file_id = file_of(row).id
        if tx.get(f"file/{file_id}") == number:
            tx.delete(f"file/{file_id}")
        key = f"message/{row.get('key')}"
        if tx.get(key) == number:
            tx.delete(key)
        return file_id

    def withdraw(self, tx: Transaction, file_id: str) -> bool:
        """Forget a request that Drive no longer has; one whose answer is spooled, when the answer is written.

        Returns whether its file was known.
        """
        number: int | None = tx.get(f"file/{file_id}")
        row = None if number is None else tx.get(numbered("work", number))
        if number is None or row is None:
            return number is not None
        if "reply" in row:
            tx.put(numbered("work", number), {**row, "withdrawn": True})
        else:
            self._store.happened("withdrawn", file_id=file_id, name=file_of(row).name)
            self.drop(tx, number)
        return True

    def refuse(self, tx: Transaction, number: int, folder_id: str) -> bool:
        """Set a file aside for good; return whether this is news."""
        row = tx.get(numbered("work", number))
        if row is None:
            return False
        key = row.get("key")
        if key is not None and tx.get(f"message/{key}") == number:
            tx.delete(f"message/{key}")
        tx.delete(numbered("work", number))
        file = file_of(row)
        created = file.created_time if file.created_time <= wire.timestamp(row["seen_at"] + AHEAD) else ""
        self._processed.add(tx, number, key=None, file_id=file.id, folder_id=folder_id, created_time=created)
        return True

    def _own_row(self, tx: Transaction, number: int, message: Message) -> JSON:
        """Return the row of a request that this process has; one that was withdrawn since is answered all the same."""
        row = tx.get(numbered("work", number))
        if row is None:
            row = {"file": as_file(message), "seen_at": self._clock.time(), "attempts": 0}
            row |= {"lease": self._holder, "key": message.key, "withdrawn": True}
            tx.put(f"file/{message.file_id}", number)
            tx.put(f"message/{message.key}", number)
        return row

    def _waits(self, tx: Transaction, number: int, row: JSON, message: Message) -> None:
        """Write down, once, that nobody here takes a request now."""
        if self._store.is_kept and "waits" not in row:
            self._store.happened("waiting", **of_message(message))
            tx.put(numbered("work", number), {**row, "waits": True})

    def _handled(self, row: JSON, message: Message, *, size: int | None, is_error: bool) -> None:
        seconds = self._store.now() - row["begun_at"] if "begun_at" in row else None
        told = {"lag": row.get("lag"), "seconds": seconds, "attempts": row.get("attempts", 0)}
        told |= {"reply_size": size, "is_error": is_error}
        self._store.happened("handled", **told, **of_message(message))

    def _lives(self, row: JSON) -> bool:
        lease = row.get("lease")
        return lease is not None and (lease == self._holder or self._is_alive(lease))


def is_candidate(file: DriveFile) -> bool:
    """Tell by its metadata alone whether a file may be a message from someone else."""
    return file.name.endswith(wire.MESSAGE_SUFFIXES) and not (file.trashed or file.owned_by_me or file.is_folder)
