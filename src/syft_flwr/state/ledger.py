"""The durable state of one account: page token, journal, what is done, futures, files to delete.

Every public method is one transaction of the :class:`~syft_flwr.ports.StateStore`, durable when it returns.
The rows are described in ``docs/explanation/architecture.md``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from syft_flwr import wire
from syft_flwr.errors import StateMismatchError
from syft_flwr.models import ChangePage, DriveFile, Message
from syft_flwr.ports import JSON, Clock, StateStore, Transaction
from syft_flwr.state.futures import Answer, FutureTable
from syft_flwr.state.journal import Journal, Row, Standing
from syft_flwr.state.own_files import OwnFiles
from syft_flwr.state.processed import ProcessedFiles

FORMAT = 2
"""Of the rows. A state of another format keeps its futures, and begins anew: what is answered tells its replies."""
_STALE_TOKEN = 60.0
"""Seconds after which a page token is stored even if nothing else is: it only saves looking at the same page again."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Committed:
    """What a page of the feed, or a part of a sweep, came to in the journal.

    Attributes:
        first, last: The last number that the journal had given before, and has given now, by whichever process.
        rows: The rows of the numbers in between; what else took a number is over.
        changed: Numbers of earlier rows that are unfinished and have changed.
        new: When each candidate that the journal did not know was created (RFC 3339).
        answered: Future IDs that have an answer now, new or not.
        responses: Those responses that answered a future just now.
        deletable: Files of our own that became due for deletion.
        wants_sweep: Whether more processed files are kept than wanted, for lack of a recent sweep.
    """

    first: int = 0
    last: int = 0
    rows: list[Row] = field(default_factory=list)
    changed: list[int] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)
    responses: list[Message] = field(default_factory=list)
    deletable: list[str] = field(default_factory=list)
    wants_sweep: bool = False


class Verdict(Enum):
    """What a file of the journal was found to be, when it is no request."""

    NOT_OURS = "not ours"
    REFUSED = "refused"


class Ledger:
    """The durable state of one account.

    Args:
        store: Where the rows live.
        clock: Local time.
        holder: This process's name in leases.
        is_alive: Tells whether the process behind a holder's name still lives.
        max_processed: How many processed files to remember one by one.
    """

    def __init__(
        self,
        store: StateStore,
        clock: Clock,
        *,
        holder: str,
        is_alive: Callable[[str], bool],
        max_processed: int,
    ) -> None:
        self._store = store
        self._clock = clock
        self._holder = holder
        self._is_alive = is_alive
        self._processed = ProcessedFiles(max_processed)
        self.own = OwnFiles(store)
        self.journal = Journal(store, clock, self._processed, self.own, holder=holder, is_alive=is_alive)
        self.futures = FutureTable(store, self.own)

    def bind(self, url: str, permission_id: str) -> None:
        """Tie the state to one Drive and account, or check that it is tied to these.

        Raises:
            StateMismatchError: It belongs to another one.
        """
        wanted = {"url": url, "account": permission_id, "format": FORMAT}

        def work(tx: Transaction) -> JSON:
            bound = tx.get("binding") or wanted
            if (bound["url"], bound["account"]) == (url, permission_id) and bound.get("format") != FORMAT:
                _log.warning("the state has another format: its futures are kept, and all else is looked up anew")
                for key in [key for key, _ in tx.scan("") if not key.startswith("future/")]:
                    tx.delete(key)
                bound = wanted
            tx.put("binding", bound)
            return bound

        bound = self._store.transact(work)
        if bound != wanted:
            raise StateMismatchError(
                f"this state directory belongs to account {bound['account']} on {bound['url']}, not to "
                f"{permission_id} on {url}: set SYFT_FLWR_STATE_DIR to another directory, or remove this one"
            )

    def is_alive(self, holder: str) -> bool:
        """Tell whether a process that holds leases lives."""
        return holder == self._holder or self._is_alive(holder)

    # -- the feed ---------------------------------------------------------------------------------------------

    def cursor(self) -> str | None:
        """Return the page token to go on from."""
        row = self._store.transact(lambda tx: tx.get("cursor"))
        return None if row is None else row["token"]

    def restart_cursor(self, token: str) -> None:
        """Replace the page token by a fresh start token. Sweep after it, never before."""
        self._store.transact(lambda tx: tx.put("cursor", self._cursor_row(token, "start")))

    def commit(self, page: ChangePage, *, stored: str, answers: Mapping[str, Message]) -> tuple[Committed, str]:
        """Store a page's candidates and the token behind it, together.

        The token moves only if it still is the one that this process stored last, or if whoever moved it is dead: two
        processes of one account read the feed each at its own pace. It is not written for a page that changed
        nothing, unless the one on record is old.

        Args:
            page: The page.
            stored: The token that this process knows to be on record.
            answers: By file ID, those responses of the page whose place is known; they never become rows.

        Returns:
            What it came to, and the token on record as this process knows it.
        """
        token = page.next_page_token or page.new_start_page_token
        now = self._clock.time()

        def work(tx: Transaction) -> tuple[Committed, str]:
            result = Committed(first=tx.get("numbers") or 0)
            touched = False
            for change in page.changes:
                file = change.file
                if change.removed or file is None:
                    touched = True
                    self.journal.withdraw(tx, change.file_id)
                    result.deletable += self.own.peer_file_gone(tx, change.file_id)
                elif file.trashed:  # it may come back; a reply to it is kept
                    touched = True
                    self.journal.withdraw(tx, change.file_id)
                elif is_candidate(file):
                    touched = True
                    self._take(tx, file, now, answers, result)
            self._sum_up(tx, result)
            cursor = tx.get("cursor")
            moved = token and (cursor is None or cursor["token"] == stored or not self._is_alive(cursor["holder"]))
            if moved and (touched or cursor is None or now - cursor["obtained_at"] >= _STALE_TOKEN):
                tx.put("cursor", self._cursor_row(token or "", "feed"))
                return result, token or ""
            return result, stored

        return self._store.transact(work)

    def store_token(self, token: str, *, stored: str) -> None:
        """Put a token on record whose page needed no commit of its own, under the condition of :meth:`commit`."""

        def work(tx: Transaction) -> None:
            cursor = tx.get("cursor")
            if cursor is None or cursor["token"] == stored or not self._is_alive(cursor["holder"]):
                tx.put("cursor", self._cursor_row(token, "feed"))

        self._store.transact(work)

    def last_number(self) -> int:
        """Return the last number that the journal has given."""
        return int(self._store.transact(lambda tx: tx.get("numbers") or 0))

    def take(self, files: Iterable[DriveFile], answers: Mapping[str, Message]) -> Committed:
        """Add what a sweep found, in this order."""
        found = [file for file in files if is_candidate(file)]
        now = self._clock.time()

        def work(tx: Transaction) -> Committed:
            result = Committed(first=tx.get("numbers") or 0)
            for file in found:
                self._take(tx, file, now, answers, result)
            self._sum_up(tx, result)
            return result

        return self._store.transact(work)

    def settle(
        self, requests: Sequence[tuple[int, Message, bool]], others: Sequence[tuple[int, Verdict | Message, str]]
    ) -> tuple[list[Standing], list[Answer | bool]]:
        """Decide on rows of the journal, all in one transaction.

        Args:
            requests: (number, request, whether to take it).
            others: (number, what it is, its folder): no message of ours, a file to refuse, or a response.

        Returns:
            How the requests stand; and of the others, whether it is news, or what became of the response.
        """

        def work(tx: Transaction) -> tuple[list[Standing], list[Answer | bool]]:
            standings = [self.journal.claim_one(tx, *request) for request in requests]
            return standings, [self._settle_other(tx, *other) for other in others]

        return self._store.transact(work)

    def knows(self, file_id: str) -> bool:
        """Tell whether a file is in the journal, or over."""
        return self._store.transact(lambda tx: tx.get(f"file/{file_id}") is not None)

    def refuse(self, files: Sequence[tuple[int, str]]) -> list[bool]:
        """Set files aside for good, by number and folder, in one transaction; return of each whether this is news."""
        return self._store.transact(lambda tx: [self.journal.refuse(tx, *file) for file in files])

    def recollect(self, answered: Iterable[tuple[Message, DriveFile]]) -> int:
        """Note requests as done whose replies are in Drive, for a ledger that does not know it; return how many.

        Args:
            answered: Requests, of which only what makes up their key is known, and their replies.
        """
        found = list(answered)

        def work(tx: Transaction) -> int:
            new = 0
            for request, reply in found:
                if tx.get(f"message/{request.key}") is None:
                    new += 1
                    number = self.journal.next_number(tx)
                    self._processed.add(
                        tx, number, key=request.key, file_id=reply.id, folder_id="", created_time=reply.created_time
                    )
            return new

        return self._store.transact(work)

    # -- around ------------------------------------------------------------------------------------------------

    def request_gone(self, file_id: str) -> bool:
        """Note that Drive no longer has a request: no one waits for an answer. Return whether a reply may go."""

        def work(tx: Transaction) -> bool:
            self.journal.withdraw(tx, file_id)
            return bool(self.own.peer_file_gone(tx, file_id))

        return self._store.transact(work)

    def delete_at(self, file_id: str, at: float, *, watch: str | None = None) -> None:
        """Plan to delete a file of our own at a Unix time, or when the peer's file ``watch`` is gone."""
        self._store.transact(lambda tx: self.own.add(tx, file_id, at=at, watch=watch))

    def mark_swept(self, server_time: float, found: int = 0) -> bool:
        """Note that a sweep which began at ``server_time`` (Drive's clock, Unix seconds) is in the journal.

        ``found`` are the message files that it brought.

        Returns whether more processed files are kept than wanted all the same.
        """

        def work(tx: Transaction) -> bool:
            self._processed.mark_swept(tx, server_time)
            tx.put("swept_found", found)
            return self._processed.wants_sweep(tx)

        return self._store.transact(work)

    def swept_at(self) -> float:
        """Return when (Drive's clock, Unix seconds) the last sweep began that is in the journal; 0 for never."""
        return float(self._store.transact(lambda tx: tx.get("swept") or 0.0))

    def distrust_start_token(self, until: float) -> None:
        """Note that the start token of this account's Drive tells nothing about its feed, until a Unix time."""
        self._store.transact(lambda tx: tx.put("start_token_distrusted", until))

    def start_token_distrusted_until(self) -> float:
        """Return what :meth:`distrust_start_token` noted; 0 when nothing was."""
        return float(self._store.transact(lambda tx: tx.get("start_token_distrusted") or 0.0))

    def keep_rhythm(self, rhythm: JSON) -> None:
        """Keep for the next process how seldom lists and sweeps come."""
        self._store.transact(lambda tx: tx.put("rhythm", rhythm))

    def rhythm(self) -> dict[str, JSON]:
        """Return what :meth:`keep_rhythm` kept; nothing when nothing was."""
        return dict(self._store.transact(lambda tx: tx.get("rhythm") or {}))

    def marks(self) -> dict[str, str]:
        """Return each folder's watermark: messages created up to then (RFC 3339) are done."""
        return self._store.transact(self._processed.marks)

    # -- recordings --------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, JSON]:
        """Return what decides which files are news: unfinished candidates, unanswered futures, what is done."""

        def work(tx: Transaction) -> dict[str, JSON]:
            return {
                "pending": [row["file"] for _, row in tx.scan("work/")],
                "futures": [row for _, row in tx.scan("future/") if row["response"] is None],
                "done": self._processed.dump(tx),
                "marks": self._processed.marks(tx),
            }

        return self._store.transact(work)

    def restore(self, snapshot: Mapping[str, JSON]) -> int:
        """Begin with what :meth:`snapshot` returned, in an empty store; return the last number of the journal."""
        now = self._clock.time()

        def work(tx: Transaction) -> int:
            first = (tx.get("numbers") or 0) + 1
            tx.put("numbers", self._processed.load(tx, first, snapshot["done"], snapshot["marks"]))
            for row in snapshot["futures"]:
                tx.put(f"future/{row['future_id']}", row)
            for raw in snapshot["pending"]:
                self.journal.add(tx, DriveFile.from_api(raw), now)
            return int(tx.get("numbers") or 0)

        return self._store.transact(work)

    # -- inside a transaction ---------------------------------------------------------------------------------

    def _cursor_row(self, token: str, origin: str) -> JSON:
        return {"token": token, "obtained_at": self._clock.time(), "origin": origin, "holder": self._holder}

    def _take(
        self, tx: Transaction, file: DriveFile, now: float, answers: Mapping[str, Message], result: Committed
    ) -> None:
        message = answers.get(file.id)
        if message is not None and tx.get(f"file/{file.id}") is None:
            answer = self.futures.answer(tx, message, now)
            if answer is Answer.ACCEPTED:
                result.responses.append(message)
                result.new.append(file.created_time)
            if answer in (Answer.ACCEPTED, Answer.DUPLICATE):
                result.answered.append(message.future_id)
                self._over(tx, self.journal.next_number(tx), message)
                return
        elif message is not None and self.futures.is_answered(tx, message.future_id):  # by another process
            result.answered.append(message.future_id)
        row = self.journal.add(tx, file, now)
        if row is not None and row.number > result.first:
            result.rows.append(row)
            result.new.append(file.created_time)
        elif row is not None:
            result.changed.append(row.number)

    def _sum_up(self, tx: Transaction, result: Committed) -> None:
        result.last = tx.get("numbers") or 0
        result.wants_sweep = self._processed.wants_sweep(tx)

    def _settle_other(self, tx: Transaction, number: int, verdict: Verdict | Message, folder_id: str) -> Answer | bool:
        if verdict is Verdict.NOT_OURS:
            self.journal.drop(tx, number)
            return False
        if verdict is Verdict.REFUSED:
            return self.journal.refuse(tx, number, folder_id)
        assert isinstance(verdict, Message)  # noqa: S101 - there is no other
        if not self.journal.holds(tx, number):
            return False
        answer = self.futures.answer(tx, verdict, self._clock.time())
        if answer in (Answer.ACCEPTED, Answer.DUPLICATE):
            self.journal.drop(tx, number)
            self._over(tx, number, verdict)
        else:
            self.journal.refuse(tx, number, folder_id)
        return answer

    def _over(self, tx: Transaction, number: int, message: Message) -> None:
        self._processed.add_message(tx, number, message)


def is_candidate(file: DriveFile) -> bool:
    """Tell by its metadata alone whether a file may be a message from someone else."""
    return not (file.is_folder or file.trashed or file.owned_by_me) and wire.message_kind(file.name) is not None
