"""The cursor that goes along the journal: each row is located, admitted, shown, and handed to who takes it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial

from syft_flwr import wire
from syft_flwr.drive.folders import Unresolved
from syft_flwr.errors import RuntimeClosedError
from syft_flwr.exchange.parts import Parts
from syft_flwr.exchange.routes import Route, Routes
from syft_flwr.feed.schedule import pause_after
from syft_flwr.models import Message, Rejection, RejectionReason
from syft_flwr.resources import ChangePage
from syft_flwr.runtime.dispatch_thread import DispatchThread
from syft_flwr.runtime.parked import ParkedRows, Ticket
from syft_flwr.runtime.placement import Candidate, Placement, Room
from syft_flwr.state.events import of_rejection
from syft_flwr.state.futures import Answer
from syft_flwr.state.journal_rows import Claim, Committed, Row, Standing, Verdict

_BATCH = 100
_FRESH = 1_000
"""Rows that are not read back from disk: a page of the feed."""
_PAGES = 100
"""Pages of the feed that may wait for the observers of ``changes``."""
_GIVES_WAY = 2.0
"""Seconds for which a page is not listed, at most, since requests of the one before it wait for a lane."""


class Dispatch:
    """Takes each row of the journal on its way: locate, admit, show to observers, hand to its handler.

    Args:
        parts: The account's parts.
        routes: Who takes requests.
        on_answered: Called with the future IDs that have an answer.
        on_deletion: Called when files of our own became due for deletion.
        threaded: Whether there is a thread; else everything happens when ``thread.run`` is called.

    Attributes:
        thread: Where all of it happens.
        parked: The rows that can't go on yet.
        placement: Takes the requests from here.
    """

    def __init__(
        self,
        parts: Parts,
        routes: Routes,
        *,
        on_answered: Callable[[Collection[str]], None],
        on_deletion: Callable[[], None],
        threaded: bool = True,
    ) -> None:
        self._parts = parts
        self._routes = routes
        self._on_answered = on_answered
        self._cursor = 0
        self._last = 0
        self._fresh: list[Row] | None = None
        """The rows between the two; ``None`` when they have to be read."""
        self._again: deque[Ticket] = deque()
        self._pages: deque[ChangePage] = deque()
        self._unshown: set[int] = set()
        """Rows behind the cursor that observers have not seen."""
        self._held_before = ""
        self.thread = DispatchThread(
            f"syft-dispatch-{parts.me}",
            step=self._step,
            has_work=lambda: bool(self._pages or self._again or self._cursor < self._last),
            report=lambda error: parts.streams.report("passing on what was journaled", error),
            clock=parts.clock,
            threaded=threaded,
        )
        self._changed = self.thread.changed
        self.parked = ParkedRows(parts, lock=self.thread.lock, take_up=self._look_at, later=self.thread.later)
        self.placement = Placement(
            parts,
            routes,
            thread=self.thread,
            parked=self.parked,
            look_at=self._look_at,
            show_again=self._show_again,
            on_deletion=on_deletion,
        )
        self.thread.start()

    # -- what others bring ------------------------------------------------------------------------------------

    def journaled(self, last: int) -> None:
        """Note the journal's last number: what is behind the cursor has to be read."""
        with self._changed:
            self._fresh = None
            self._last = max(self._last, last)
            self._changed.notify_all()

    def took(self, committed: Committed) -> None:
        """Take up what came into the journal; the rows that come next are not read back from disk."""
        with self._changed:
            if self._cursor == self._last:
                self._fresh = []
            follows = committed.first == self._last and all(number <= self._cursor for number in committed.changed)
            if self._fresh is not None and follows and len(self._fresh) + len(committed.rows) <= _FRESH:
                self._fresh += committed.rows
            else:
                self._fresh = None
            self._last = max(self._last, committed.last)
            if self._fresh == []:
                self._cursor = self._last
            self._look_at((number, None) for number in committed.changed if number <= self._cursor)

    def page(self, page: ChangePage) -> None:
        """Show a page of the feed to the observers of ``changes``."""
        if not self._parts.streams.changes.is_observed:
            return
        with self._changed:
            lost = self._pages.popleft() if len(self._pages) >= _PAGES else None
            self._pages.append(page)
            self._changed.notify_all()
        if lost is not None:
            error = RuntimeError(f"an observer of changes is too slow: {len(lost.changes)} of them were not shown")
            self._parts.streams.report("showing changes", error)

    def give_way(self) -> None:
        """Wait, some seconds at most, while requests wait for a lane: to list more would take time from them."""
        if not self.thread.runs_here():
            self.thread.wait_for(lambda: not self.placement.is_full(), _GIVES_WAY)

    def hold_older_than(self, created: str) -> None:
        """Let the requests that were created before then (RFC 3339) wait, until called with another time."""

        def hold() -> None:  # on the thread itself, between two batches: none of them may be parked behind its back
            self._held_before = created
            self.parked.unpark(("older", None))

        self.thread.post(hold)

    def show_waiting(self, endpoint: tuple[str, str] | None, on_next: Callable[[Message], None]) -> None:
        """Pass to one observer the requests that wait without a handler, of one endpoint or of all, oldest first."""
        if self.parked.waiting(endpoint):
            self.thread.post(lambda: self._show_waiting(self.parked.waiting(endpoint), on_next))

    def _show_waiting(self, numbers: Sequence[int], on_next: Callable[[Message], None]) -> None:
        for start in range(0, len(numbers), _BATCH):
            batch = [number for number in numbers[start : start + _BATCH] if number not in self._unshown]
            try:
                rows = self._parts.ledger.journal.rows(batch)
            except RuntimeClosedError:
                raise
            except Exception as error:  # a locked state, say: the observer would never see what is left
                self._parts.streams.report("showing what waits", error)
                self.thread.later(pause_after(1, error), partial(self._show_waiting, numbers[start:], on_next))
                return
            for row in rows:
                verdict = self._judge(row)
                if isinstance(verdict, Message):
                    self.placement.show_waiting(row.number, verdict, on_next)

    def _look_at(self, tickets: Iterable[Ticket]) -> None:
        with self._changed:
            self._again.extend(tickets)
            self._changed.notify_all()

    def _show_again(self, number: int) -> None:
        self._unshown.add(number)
        self._look_at([(number, None)])

    # -- a batch ----------------------------------------------------------------------------------------------

    def _step(self) -> bool:
        """Show a page, or look at one batch of rows; return whether there was anything to do."""
        return self._show_page() or self._look_again() or self._go_on()

    def _show_page(self) -> bool:
        with self._changed:
            if not self._pages:
                return False
            page = self._pages.popleft()
        for change in page.changes:
            self._parts.streams.changes.on_next(change)
        return True

    def _look_again(self) -> bool:
        """Look at rows behind the cursor."""
        with self._changed:
            batch = [self._again[index] for index in range(min(len(self._again), _BATCH))]
        if not batch:
            return False
        # Behind the batch: all of it has been taken by now, and what is taken again from here on is not settled by it.
        takings = {route: route.backlog.takings for route in self._routes.all()}
        takers = dict(batch)
        rows = self._parts.ledger.journal.rows(sorted(takers))
        self._unshown.difference_update(takers.keys() - {row.number for row in rows})
        candidates = self._settle(rows, takers)
        with self._changed:  # only now: had anything failed, the rows would come again
            for _ in batch:
                self._again.popleft()
        self._pass_on(candidates)
        self.placement.settled(takers, takings)
        return True

    def _go_on(self) -> bool:
        """Look at the rows that follow the cursor."""
        with self._changed:
            cursor, last = self._cursor, self._last
            fresh = None if self._fresh is None else self._fresh[:_BATCH]
        if cursor >= last:
            return False
        rows = self._parts.ledger.journal.after(cursor, _BATCH) if fresh is None else fresh
        last = rows[-1].number if len(rows) == _BATCH else max([last, *(row.number for row in rows)])
        self._unshown.update(row.number for row in rows)
        candidates = self._settle(rows, {})
        with self._changed:
            self._cursor = last
            if fresh is not None and self._fresh is not None:
                del self._fresh[: len(fresh)]
        self._pass_on(candidates)
        return True

    def _pass_on(self, candidates: Iterable[tuple[Candidate, Standing]]) -> None:
        failure: Exception | None = None
        for candidate, standing in candidates:
            number = candidate.row.number
            if failure is not None and standing.claim is not Claim.TAKEN:  # it must not overtake what failed
                self._look_at([(number, None)])
                continue
            try:
                if self.placement.pass_on(candidate, standing):
                    self._unshown.discard(number)
            except RuntimeClosedError:
                raise
            except Exception as error:  # such as a full disk
                failure = error
                self._unshown.discard(number)
                self._look_at([(number, candidate.route)])
        if failure is not None:
            raise failure

    def _settle(self, rows: Iterable[Row], takers: Mapping[int, Route | None]) -> list[tuple[Candidate, Standing]]:
        """Judge rows, and bring all that follows for the journal into one transaction; return the requests."""
        candidates: list[Candidate] = []
        others: list[tuple[int, Verdict | Rejection | Message, str]] = []
        room = Room()
        for row in rows:
            verdict, number = self._judge(row), row.number
            if verdict is None:
                continue
            is_new = number in self._unshown
            if isinstance(verdict, Message) and self._parts.observes:
                candidates.append(Candidate(row, verdict, None, is_new, take=True))
            elif isinstance(verdict, Message) and verdict.kind == "request":
                route, refusal = self.placement.route_of(takers.get(number), number, verdict)
                take = row.spooled is not None or (route is not None and room.takes(route, number, verdict))
                candidates.append(Candidate(row, verdict, route, is_new, take, refusal))
                if refusal is not None and is_new:
                    self._parts.ledger.events.note("rejected", **of_rejection(refusal))
            else:
                self._unshown.discard(number)
                # No watermark is kept for a stranger's folder: there may be any number of them, and none is swept.
                is_foreign = isinstance(verdict, Rejection) and verdict.reason is RejectionReason.FOREIGN_FOLDER
                others.append((number, verdict, "" if is_foreign else next(iter(row.file.parents), "")))
        if not (candidates or others):
            return []
        requests = [(c.row.number, c.message, c.take) for c in candidates]
        standings, outcomes = self._parts.ledger.settle(requests, others)
        for (_, what, _), outcome in zip(others, outcomes, strict=True):
            self._conclude(what, outcome)
        return list(zip(candidates, standings, strict=True))

    def _judge(self, row: Row) -> Message | Rejection | Verdict | None:
        """Tell what a row is; ``None`` when it was parked, or is being worked on."""
        if self.placement.holds(row.number):
            return None
        if row.spooled is not None:
            return row.spooled.message
        if row.file.created_time < self._held_before and wire.message_kind(row.file.name) == "request":
            self.parked.park(("older", None), row.number)
            return None
        parent = next(iter(row.file.parents), None)
        if self.parked.is_failing(parent):
            self.parked.park(("folder", parent), row.number)
            return None
        try:
            location = self._parts.folders.locate(row.file)
        except RuntimeClosedError:
            raise
        except Exception as error:  # an outage, or one folder that Drive can't show: others go on meanwhile
            self.parked.folder_failed(parent, error)
            self.parked.park(("folder", parent), row.number)
            return None
        if isinstance(location, Unresolved):
            self.parked.park(("folder", location.folder_id), row.number)
            return None
        if location is None:
            return Verdict.NOT_OURS
        return self._parts.admit(row.file, location) or Verdict.NOT_OURS

    def _conclude(self, what: Verdict | Rejection | Message, outcome: Answer | bool) -> None:
        """Show what became of a row that is no request."""
        if isinstance(what, Rejection) and outcome is True:
            self._parts.streams.reject(what)
        if not isinstance(what, Message):
            return
        if outcome is Answer.ACCEPTED:
            self.show_response(what)
        elif outcome is Answer.UNKNOWN_FUTURE:
            detail = "nobody here waits for it (any more)"
            self._parts.streams.reject(Rejection.of(RejectionReason.UNKNOWN_FUTURE, what, detail))
        elif outcome is Answer.WRONG_RESPONDER:
            detail = f"{what.sender} was not asked that"
            self._parts.streams.reject(Rejection.of(RejectionReason.WRONG_RESPONDER, what, detail))
        if outcome in (Answer.ACCEPTED, Answer.DUPLICATE):
            self._on_answered([what.future_id])

    def show_response(self, message: Message) -> None:
        """Show a response that has answered a future."""
        self._parts.streams.messages.on_next(message)
        self._parts.streams.responses.on_next(message)
