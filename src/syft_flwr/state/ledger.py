"""What this account has seen, is doing and has done: the journal between the change feed and the handlers.

Every public method is one transaction of the :class:`~syft_flwr.ports.StateStore`, durable when it returns.
The rows are described in ``docs/explanation/architecture.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from operator import itemgetter

from syft_flwr import wire
from syft_flwr.errors import StateMismatchError
from syft_flwr.models import ChangePage, DriveFile, Message
from syft_flwr.ports import JSON, Clock, StateStore, Transaction
from syft_flwr.state.futures import FutureTable
from syft_flwr.state.own import OwnFiles
from syft_flwr.state.processed import ProcessedIds
from syft_flwr.state.requests import RequestTable, inbox_row


@dataclass(frozen=True, slots=True)
class Pending:
    """An unfinished candidate of the journal. ``seen_at`` is Unix time in seconds."""

    file: DriveFile
    seen_at: float
    attempts: int


class Ledger:
    """The durable state of one account.

    Args:
        store: Where the rows live.
        clock: Local time.
        holder: This process's name in leases.
        is_alive: Tells whether the process behind a holder's name still lives.
        max_processed: How many processed IDs to remember.
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
        self._version_key = f"version/{holder}"
        self._is_alive = is_alive
        self._processed = ProcessedIds(max_processed)
        self.own = OwnFiles(store)
        self.requests = RequestTable(store, clock, self._processed, self.own, holder=holder, is_alive=is_alive)
        self.futures = FutureTable(store, self._processed, self.own)

    def bind(self, url: str, permission_id: str) -> None:
        """Tie the state to one Drive and account, or check that it is tied to these.

        Raises:
            StateMismatchError: It belongs to another one.
        """
        wanted = {"url": url, "account": permission_id}

        def work(tx: Transaction) -> JSON:
            bound = tx.get("binding")
            if bound is None:
                tx.put("binding", wanted)
            for key, _ in tx.scan("version/"):
                if not self._is_alive(key.removeprefix("version/")):
                    tx.delete(key)
            return bound or wanted

        bound = self._store.transact(work)
        if bound != wanted:
            raise StateMismatchError(
                f"this state directory belongs to account {bound['account']} on {bound['url']}, not to "
                f"{permission_id} on {url}: set SYFT_FLWR_STATE_DIR to another directory, or remove this one"
            )

    # -- the feed ---------------------------------------------------------------------------------------------

    def cursor(self) -> str | None:
        """Return the page token to go on from."""
        row = self._store.transact(lambda tx: tx.get("cursor"))
        return None if row is None else row["token"]

    def restart_cursor(self, token: str) -> None:
        """Replace the page token by a fresh start token. Sweep after it, never before."""
        self._store.transact(lambda tx: tx.put("cursor", self._cursor_row(token, "start")))

    def commit(self, fetched_with: str, page: ChangePage) -> list[DriveFile]:
        """Store a page's candidates and the token behind it, together; return the unfinished ones among them.

        The token moves only if it still is the one that the page was fetched with, or if whoever moved it is
        dead: two processes of one account read the feed each at its own pace.
        """
        token = page.next_page_token or page.new_start_page_token

        now = self._clock.time()

        def work(tx: Transaction) -> list[DriveFile]:
            added = False
            unfinished: list[tuple[int, DriveFile]] = []
            for change in page.changes:
                if change.removed or change.file is None:
                    self._withdraw(tx, change.file_id)
                    self.own.peer_file_gone(tx, change.file_id)
                elif change.file.trashed:  # it may come back; a reply to it is kept
                    self._withdraw(tx, change.file_id)
                elif _is_candidate(change.file):
                    is_new = self._add(tx, change.file, now)
                    added |= is_new
                    if (row := tx.get(f"inbox/{change.file_id}")) is not None:
                        unfinished.append((row["number"], change.file))
            self._bump(tx, added=added)
            cursor = tx.get("cursor")
            if token and (cursor is None or cursor["token"] == fetched_with or not self._is_alive(cursor["holder"])):
                tx.put("cursor", self._cursor_row(token, "feed"))
            return [file for _, file in sorted(unfinished, key=itemgetter(0))]

        return self._store.transact(work)

    def journal(self, files: Iterable[DriveFile]) -> list[DriveFile]:
        """Add candidates that a sweep found, in this order; return those that the journal did not have."""
        found = [file for file in files if _is_candidate(file)]
        now = self._clock.time()

        def work(tx: Transaction) -> list[DriveFile]:
            new = [file for file in found if self._add(tx, file, now)]
            self._bump(tx, added=bool(new))
            return new

        return self._store.transact(work)

    def foreign_versions(self) -> dict[str, int]:
        """Return, for each other process of the account, a number that rises whenever it adds to the journal."""

        def work(tx: Transaction) -> dict[str, int]:
            return {key: row for key, row in tx.scan("version/") if key != self._version_key}

        return self._store.transact(work)

    def pending(self) -> list[Pending]:
        """Return the unfinished candidates in the order in which the journal took them."""

        def work(tx: Transaction) -> list[Pending]:
            rows = sorted((row for _, row in tx.scan("inbox/")), key=itemgetter("number"))
            return [Pending(DriveFile.from_api(row["file"]), row["seen_at"], row["attempts"]) for row in rows]

        return self._store.transact(work)

    def recollect(self, answered: Iterable[tuple[Message, DriveFile]]) -> None:
        """Note requests as done whose replies are in Drive, for a ledger that is newer than they are.

        Args:
            answered: Requests, of which only what makes up their key is known, and their replies.
        """
        found = list(answered)

        def work(tx: Transaction) -> None:
            for request, reply in found:
                self._processed.recollect(tx, request.key, reply.id, reply.created_time)

        self._store.transact(work)

    def done_among(self, messages: Iterable[Message]) -> set[str]:
        """Return the file IDs of those messages that were handled or lie below a watermark, and forget these files."""

        def work(tx: Transaction) -> set[str]:
            done = {message.file_id for message in messages if self._processed.covers(tx, message)}
            for file_id in done:
                tx.delete(f"inbox/{file_id}")
            return done

        return self._store.transact(work)

    def drop(self, file_id: str) -> None:
        """Forget a candidate that is no message of ours."""
        self._store.transact(lambda tx: tx.delete(f"inbox/{file_id}"))

    def reject(self, file_id: str, folder_id: str, created_time: str) -> bool:
        """Set a file aside for good; return whether this is news.

        It is remembered under its own ID, not under the message it claims to be: a forgery must not keep the
        genuine message out.
        """

        def work(tx: Transaction) -> bool:
            tx.delete(f"inbox/{file_id}")
            self.requests.unspool(tx, file_id)
            if self._processed.covers_file(tx, file_id, (folder_id,), created_time):
                return False
            self._processed.add(tx, f"rejected\n{file_id}", file_id, folder_id, created_time)
            return True

        return self._store.transact(work)

    # -- around ------------------------------------------------------------------------------------------------

    def request_gone(self, file_id: str) -> None:
        """Note that Drive no longer has a request: nobody waits for an answer, and a reply may go."""

        def work(tx: Transaction) -> None:
            self._withdraw(tx, file_id)
            self.own.peer_file_gone(tx, file_id)

        self._store.transact(work)

    def mark_swept(self, server_time: float) -> None:
        """Note that a full sweep which began at ``server_time`` (Drive's clock, Unix seconds) is in the journal."""
        self._store.transact(lambda tx: self._processed.mark_swept(tx, server_time))

    def wants_sweep(self) -> bool:
        """Tell whether more processed IDs are kept than wanted, for lack of a recent full sweep."""
        return self._store.transact(self._processed.wants_sweep)

    def marks(self) -> dict[str, str]:
        """Return each folder's watermark: messages created up to then (RFC 3339) are done."""
        return self._store.transact(self._processed.marks)

    # -- recordings --------------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, JSON]:
        """Return what decides which files are news: unfinished candidates, unanswered futures, what is done."""

        def work(tx: Transaction) -> dict[str, JSON]:
            return {
                "pending": [
                    row["file"] for row in sorted((row for _, row in tx.scan("inbox/")), key=itemgetter("number"))
                ],
                "futures": [row for _, row in tx.scan("future/") if row["response"] is None],
                "done": self._processed.dump(tx),
                "marks": self._processed.marks(tx),
            }

        return self._store.transact(work)

    def restore(self, snapshot: Mapping[str, JSON]) -> None:
        """Begin with what :meth:`snapshot` returned, in an empty store."""
        now = self._clock.time()

        def work(tx: Transaction) -> None:
            self._processed.load(tx, snapshot["done"], snapshot["marks"])
            for row in snapshot["futures"]:
                tx.put(f"future/{row['future_id']}", row)
            for raw in snapshot["pending"]:
                self._add(tx, DriveFile.from_api(raw), now)

        self._store.transact(work)

    # -- inside a transaction ---------------------------------------------------------------------------------

    def _cursor_row(self, token: str, origin: str) -> JSON:
        return {"token": token, "obtained_at": self._clock.time(), "origin": origin, "holder": self._holder}

    def _add(self, tx: Transaction, file: DriveFile, now: float) -> bool:
        key = f"inbox/{file.id}"
        row = tx.get(key)
        if row is not None:
            if row["file"] != file.to_api():
                tx.put(key, {**row, "file": file.to_api()})
            return False
        if self._processed.covers_file(tx, file.id, file.parents, file.created_time):
            return False
        number = tx.get("journal_next") or 0
        tx.put("journal_next", number + 1)
        tx.put(key, inbox_row(file, now, number))
        return True

    def _withdraw(self, tx: Transaction, file_id: str) -> None:
        if tx.get(f"reply/{file_id}") is None:
            tx.delete(f"inbox/{file_id}")

    def _bump(self, tx: Transaction, *, added: bool) -> None:
        if added:
            tx.put(self._version_key, (tx.get(self._version_key) or 0) + 1)


def _is_candidate(file: DriveFile) -> bool:
    """Tell by its metadata alone whether a file may be a message from someone else."""
    return not (file.is_folder or file.trashed or file.owned_by_me) and wire.message_kind(file.name) is not None
