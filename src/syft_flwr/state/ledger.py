"""The durable state of one account: page token, journal, what is done, futures, files to delete.

Every public method is one transaction of the :class:`~syft_flwr.ports.StateStore`, durable when it returns.
The rows are described in ``docs/explanation/architecture.md``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence

from syft_flwr.errors import StateMismatchError
from syft_flwr.models import Message, Rejection
from syft_flwr.ports import JSON, Clock, StateStore, Transaction
from syft_flwr.resources import ChangePage, DriveFile
from syft_flwr.state.events import KEPT, EventLog, last_number, of_file, of_message, of_rejection
from syft_flwr.state.futures import Answer, FutureTable
from syft_flwr.state.journal import Journal, is_candidate
from syft_flwr.state.journal_rows import Committed, Standing, Verdict, file_of
from syft_flwr.state.own_files import OwnFiles
from syft_flwr.state.position import FeedPosition
from syft_flwr.state.processed import ProcessedFiles

FORMAT = 2
"""Of the rows. A state of another format keeps its futures, and begins anew: what is answered tells its replies."""

_log = logging.getLogger(__name__)


class Ledger:
    """The durable state of one account.

    Args:
        store: Where the rows live.
        clock: Local time.
        holder: This process's name in leases.
        is_alive: Tells whether the process behind a holder's name still lives.
        max_processed: How many processed files to remember one by one.
        keep_events: How many rows of the event log to keep.
        machine: The machine's clock, for the event log; by default ``clock``, which is Drive's.
    """

    def __init__(
        self,
        store: StateStore,
        clock: Clock,
        *,
        holder: str,
        is_alive: Callable[[str], bool],
        max_processed: int,
        keep_events: int = KEPT,
        machine: Clock | None = None,
    ) -> None:
        self.events = EventLog(store, machine or clock, holder=holder, keep=keep_events)
        self._store: StateStore = self.events
        self._clock = clock
        self._holder = holder
        self._is_alive = is_alive
        self._processed = ProcessedFiles(max_processed)
        self.own = OwnFiles(self.events)
        self.journal = Journal(self.events, clock, self._processed, self.own, holder=holder, is_alive=is_alive)
        self.futures = FutureTable(self.events, self.own)
        self.position = FeedPosition(self.events, clock, holder=holder, is_alive=self.is_alive)

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

    def commit(self, page: ChangePage, *, stored: str, answers: Mapping[str, Message]) -> tuple[Committed, str]:
        """Store a page's candidates and the token behind it, together.

        The token is not written for a page that changed nothing, unless the one on record is old
        (:meth:`FeedPosition.advance`).

        Args:
            page: The page.
            stored: The token that this process knows to be on record.
            answers: By file ID, those responses of the page whose place is known; they never become rows.

        Returns:
            What it came to, and the token on record as this process knows it.
        """
        token = page.next_page_token or page.new_start_page_token or ""
        now = self._clock.time()

        def work(tx: Transaction) -> tuple[Committed, str]:
            result = Committed.after(tx.get("numbers") or 0)
            touched = False
            gone: list[str] = []
            for change in page.changes:
                file = change.file
                if change.removed or file is None:
                    touched = True
                    if self.journal.withdraw(tx, change.file_id):
                        gone.append(change.file_id)
                    result.deletable += self.own.peer_file_gone(tx, change.file_id)
                elif file.trashed:  # it may come back; a reply to it is kept
                    touched = True
                    self.journal.withdraw(tx, change.file_id)
                elif is_candidate(file):
                    touched = True
                    self._take(tx, file, now, answers, result)
            if touched:
                self.events.happened("polled", changes=len(page.changes), gone=gone)
            self._sum_up(tx, result)
            return result, self.position.advance(tx, token, stored=stored, even_if_young=touched)

        return self._store.transact(work)

    def last_number(self) -> int:
        """Return the last number that the journal has given."""
        return int(self._store.transact(lambda tx: tx.get("numbers") or 0))

    def take(self, files: Iterable[DriveFile], answers: Mapping[str, Message]) -> Committed:
        """Add what a sweep found, in this order."""
        found = [file for file in files if is_candidate(file)]
        now = self._clock.time()

        def work(tx: Transaction) -> Committed:
            result = Committed.after(tx.get("numbers") or 0)
            for file in found:
                self._take(tx, file, now, answers, result)
            self._sum_up(tx, result)
            return result

        return self._store.transact(work)

    def settle(
        self,
        requests: Sequence[tuple[int, Message, bool]],
        others: Sequence[tuple[int, Verdict | Rejection | Message, str]],
    ) -> tuple[list[Standing], list[Answer | bool]]:
        """Decide on rows of the journal, all in one transaction.

        Args:
            requests: (number, request, whether to take it).
            others: (number, what it is, its folder): no message of ours, a file to refuse and why, or a response.

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

    def refuse(self, files: Sequence[tuple[int, str, Rejection]]) -> list[bool]:
        """Set files aside for good, by number, folder and why, at once; return of each whether it is news."""
        return self._store.transact(lambda tx: [self._refuse(tx, *file) for file in files])

    def recollect(self, answered: Iterable[tuple[Message, DriveFile]]) -> int:
        """Note requests as done whose replies are in Drive, for a ledger that does not know it; return how many.

        Args:
            answered: Requests, of which only what makes up their key is known, and their replies.
        """
        found = list(answered)

        def work(tx: Transaction) -> int:
            first = number = tx.get("numbers") or 0
            for request, reply in found:
                if tx.get(f"message/{request.key}") is None:
                    number += 1
                    self._processed.add(
                        tx, number, key=request.key, file_id=reply.id, folder_id="", created_time=reply.created_time
                    )
            tx.put("numbers", number)
            return int(number - first)

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
            self.events.happened("swept")
            self._processed.mark_swept(tx, server_time)
            tx.put("swept_found", found)
            return self._processed.wants_sweep(tx)

        return self._store.transact(work)

    def swept_at(self) -> float:
        """Return when (Drive's clock, Unix seconds) the last sweep began that is in the journal; 0 for never."""
        return float(self._store.transact(lambda tx: tx.get("swept") or 0.0))

    def marks(self) -> dict[str, str]:
        """Return each folder's watermark: messages created up to then (RFC 3339) are done."""
        return self._store.transact(self._processed.marks)

    # -- recordings --------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, JSON]:
        """Return what decides which files are news: unfinished candidates, unanswered futures, what is done.

        With the number of the event log's last row: what comes after it is not in there.
        """

        def work(tx: Transaction) -> dict[str, JSON]:
            return {
                "pending": [file_of(row).to_api() for _, row in tx.scan("work/")],
                "futures": [row for _, row in tx.scan("future/") if row["response"] is None],
                "done": self._processed.dump(tx),
                "marks": self._processed.marks(tx),
                "events": last_number(tx),
            }

        return self._store.transact(work)

    def restore(self, snapshot: Mapping[str, JSON]) -> int:
        """Begin with what :meth:`snapshot` returned, in an empty store; return the last number of the journal."""
        now = self._clock.time()

        def work(tx: Transaction) -> int:
            first = (tx.get("numbers") or 0) + 1
            number: int = self._processed.load(tx, first, snapshot["done"], snapshot["marks"])
            for row in snapshot["futures"]:
                tx.put(f"future/{row['future_id']}", row)
            for raw in snapshot["pending"]:
                row = self.journal.add(tx, DriveFile.from_api(raw), now, free=number + 1)
                number = number if row is None else max(number, row.number)
            tx.put("numbers", number)
            return number

        return self._store.transact(work)

    # -- inside a transaction ---------------------------------------------------------------------------------

    def _take(
        self, tx: Transaction, file: DriveFile, now: float, answers: Mapping[str, Message], result: Committed
    ) -> None:
        message = answers.get(file.id)
        if message is not None and tx.get(f"file/{file.id}") is None:
            answer = self.futures.answer(tx, message, now)
            if answer is Answer.ACCEPTED:
                self._answered(message, of_file(file))
                result.responses.append(message)
                result.new.append(file.created_time)
            if answer in (Answer.ACCEPTED, Answer.DUPLICATE):
                result.answered.append(message.future_id)
                result.last += 1
                self._processed.add_message(tx, result.last, message)
                return
        elif message is not None and self.futures.is_answered(tx, message.future_id):  # by another process
            result.answered.append(message.future_id)
        row = self.journal.add(tx, file, now, free=result.last + 1)
        if row is not None and row.number > result.last:
            result.last = row.number
            if self.events.is_kept:
                self.events.happened("seen", file=of_file(file))
            result.rows.append(row)
            result.new.append(file.created_time)
        elif row is not None:
            result.changed.append(row.number)

    def _sum_up(self, tx: Transaction, result: Committed) -> None:
        if result.last > result.first:
            tx.put("numbers", result.last)
        result.wants_sweep = self._processed.wants_sweep(tx)

    def _settle_other(
        self, tx: Transaction, number: int, verdict: Verdict | Rejection | Message, folder_id: str
    ) -> Answer | bool:
        if verdict is Verdict.NOT_OURS:
            if (file_id := self.journal.drop(tx, number)) is not None:
                self.events.happened("ignored", file_id=file_id)
            return False
        if isinstance(verdict, Rejection):
            return self._refuse(tx, number, folder_id, verdict)
        assert isinstance(verdict, Message)  # noqa: S101 - there is no other
        if not self.journal.holds(tx, number):
            return False
        answer = self.futures.answer(tx, verdict, self._clock.time())
        if answer is Answer.ACCEPTED:
            self._answered(verdict, None)
        if answer in (Answer.ACCEPTED, Answer.DUPLICATE):
            self.journal.drop(tx, number)
            self._processed.add_message(tx, number, verdict)
        else:
            self.journal.refuse(tx, number, folder_id)
            self.events.happened("rejected", reason=answer.value, detail="", **of_message(verdict))
        return answer

    def _refuse(self, tx: Transaction, number: int, folder_id: str, why: Rejection) -> bool:
        is_news = self.journal.refuse(tx, number, folder_id)
        if is_news:
            self.events.happened("rejected", **of_rejection(why))
        return is_news

    def _answered(self, message: Message, file: JSON) -> None:
        """Write down that a response answers its future; its file, unless the log has told of that as seen."""
        shown = {} if file is None else {"file": file}
        self.events.happened("answered", is_error=message.is_error, **shown, **of_message(message))
