"""The one thread that goes along the journal, and on which users' observers run."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from syft_flwr.drive.folders import Unresolved
from syft_flwr.errors import RuntimeClosedError
from syft_flwr.exchange.deferred import DeferredReplies, WhenLate
from syft_flwr.exchange.parts import Parts
from syft_flwr.exchange.responder import Responder
from syft_flwr.exchange.routes import Route, Routes
from syft_flwr.exchange.work import Step, Work
from syft_flwr.feed.schedule import pause_after
from syft_flwr.models import ChangePage, Message, Rejection, RejectionReason
from syft_flwr.state.futures import Answer
from syft_flwr.state.journal import Claim, Row, Standing
from syft_flwr.state.ledger import Committed, Verdict

_log = logging.getLogger(__name__)

_BATCH = 100
_MANY = 1_000
"""Rows that may wait for one process before they are looked at again."""
_PAGES = 100
"""Pages of the feed that may wait for the observers of ``changes``."""

ParkKey = tuple[str, str | int | tuple[str, str] | None]
"""What a row waits for: a folder, an endpoint's handler, the end of another file's message, or of a process."""


_Ticket = tuple[int, Route | None]
"""A row that is to be looked at, by its number, and the pipeline that it was handed over to."""


@dataclass(slots=True)
class _Candidate:
    """A row that is being looked at."""

    row: Row
    message: Message
    route: Route | None
    take: bool
    refusal: Rejection | None = None
    """Why its handler does not take it: it is kept, should the sender be allowed some day."""


class _Room:
    """The room in lanes as a batch finds it: what fits must not depend on how fast they drain meanwhile."""

    def __init__(self) -> None:
        self._left: dict[Route, int] = {}
        self._taken: set[int] = set()

    def takes(self, route: Route, number: int, message: Message) -> bool:
        """Tell whether a request may go into a lane now; then it has a place there."""
        left = self._left.setdefault(route, 0 if route.lane is None else route.lane.room())
        if left <= 0 or route.backlog.is_before(message.sender, number, beside=self._taken):
            return False
        self._left[route] = left - 1
        self._taken.add(number)
        return True


class Dispatch:
    """Takes each row of the journal on its way: locate, admit, show to observers, hand to its handler.

    A row that can't go on is parked under what it waits for, and is taken up by that event, never by a look through
    the journal. What is not on this thread (:meth:`post`, :meth:`later`) is brought to it. No lock is held while
    foreign code runs.

    Args:
        parts: The account's parts.
        routes: Who takes requests.
        on_answered: Called with the future IDs that have an answer.
        on_deletion: Called when files of our own became due for deletion.
        threaded: Whether there is a thread; else everything happens when :meth:`run` is called.
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
        self._changed = threading.Condition()
        self._cursor = 0
        self._last = 0
        self._fresh: list[Row] | None = None
        """The rows between the two; ``None`` when they have to be read."""
        self._again: deque[_Ticket] = deque()
        self._posted: deque[Callable[[], None]] = deque()
        self._pages: deque[ChangePage] = deque()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = itertools.count()
        self._parked: dict[ParkKey, deque[_Ticket]] = {}
        self._failing: dict[str | None, int] = {}
        """Folders that Drive failed to show, and how often in a row."""
        self._unshown: set[int] = set()
        """Rows behind the cursor that observers have not seen."""
        self._work: dict[int, Work] = {}
        self._showing: _Candidate | None = None
        self._handed_over: Route | None = None
        self._held_before = ""
        self._busy = False
        self._stopped = False
        self.responder = Responder(parts, later=self.later, on_over=self._on_over, on_deletion=on_deletion)
        self.deferred = DeferredReplies(parts, self.responder, later=self.later, show_again=self._show_again)
        self._thread: threading.Thread | None = None
        if threaded:
            self._thread = threading.Thread(target=self._run, name=f"syft-dispatch-{parts.me}", daemon=True)
            self._thread.start()

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
            if self._fresh is not None and follows and len(self._fresh) + len(committed.rows) <= _BATCH:
                self._fresh += committed.rows
            else:
                self._fresh = None
            self._last = max(self._last, committed.last)
            if not self._fresh and self._fresh is not None:
                self._cursor = self._last
            self._again.extend((number, None) for number in committed.changed if number <= self._cursor)
            self._changed.notify_all()

    def look_again(self, number: int) -> None:
        """Look at a row again."""
        with self._changed:
            self._again.append((number, None))
            self._changed.notify_all()

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

    def post(self, action: Callable[[], None]) -> None:
        """Run a function on the dispatch thread; at once if this is it, or if there is none."""
        with self._changed:
            if self._is_threaded() and not self.is_here():
                self._posted.append(action)
                self._changed.notify_all()
                return
        action()

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Run a function of ours, which must not block, on the dispatch thread after some seconds."""
        with self._changed:
            heapq.heappush(self._timers, (self._parts.clock.monotonic() + seconds, next(self._serial), action))
            self._changed.notify_all()

    def unpark(self, key: ParkKey) -> None:
        """Take up the rows that waited for this."""
        if key in self._parked:
            with self._changed:
                self._again.extend(self._parked.pop(key, ()))
                self._changed.notify_all()

    def look_around(self, *, moved: bool = False) -> None:
        """Take up what waited for a folder that has shown, or for a process that has died.

        When folders were ``moved``, a request may belong to another endpoint than it waits for.
        """
        for key in [key for key in list(self._parked) if moved and key[0] == "endpoint"]:
            self.unpark(key)
        for folder_id in self._parts.folders.take_news():
            self.unpark(("folder", folder_id))
        for key in [key for key in list(self._parked) if key[0] == "holder"]:
            # Of what a live process had, most is done when there is much of it: looking again drops that.
            if len(self._parked[key]) >= _MANY or not self._parts.ledger.is_alive(str(key[1])):
                self.unpark(key)

    def hold_older_than(self, created: str) -> None:
        """Let the requests that were created before then (RFC 3339) wait, until called with another time."""

        def hold() -> None:  # on the thread itself, between two batches: none of them may be parked behind its back
            self._held_before = created
            self.unpark(("older", None))

        self.post(hold)

    def show_waiting(self, key: tuple[str, str] | None, on_next: Callable[[Message], None]) -> None:
        """Pass to one observer the requests that wait without a handler, of one endpoint or of all, oldest first."""
        if any(kind == "endpoint" for kind, _ in list(self._parked)):
            self.post(lambda: self._show_waiting(key, on_next))

    def _show_waiting(self, key: tuple[str, str] | None, on_next: Callable[[Message], None]) -> None:
        parked = [(parked_for, list(tickets)) for parked_for, tickets in self._parked.items()]
        numbers = sorted(
            number
            for (kind, endpoint), tickets in parked
            if kind == "endpoint" and key in (None, endpoint)
            for number, _ in tickets
            if number not in self._unshown
        )
        for start in range(0, len(numbers), _BATCH):
            for row in self._parts.ledger.journal.rows(numbers[start : start + _BATCH]):
                verdict = self._judge(row)
                if isinstance(verdict, Message):
                    on_next(verdict)

    # -- routes -----------------------------------------------------------------------------------------------

    def open_route(self, route: Route) -> None:
        """Let a handler take requests, those that wait for it first.

        Raises:
            ValueError: The endpoint has a handler already.
        """
        self._routes.open(route)
        if route.key is not None:
            self.unpark(("endpoint", route.key))
            self.unpark(("unlisted", route.key))

    def close_route(self, route: Route) -> None:
        """Stop a handler; what it has not begun stays unfinished. Call the lane's ``stop`` to wait for the rest."""
        self._routes.close(route)
        left = [] if route.lane is None else route.lane.stop(0.0)
        numbers = [*route.backlog.clear(), *(work.number for work in left)]
        for work in left:
            with suppress(RuntimeClosedError):  # the claim ends with this process
                self.responder.release(work)
        with self._changed:
            self._again.extend((number, None) for number in sorted(numbers))
            self._changed.notify_all()

    def has_room(self, route: Route) -> None:
        """Take up what waited for room in a route's lane."""
        taker = None if route.endpoint else route
        numbers = route.backlog.take(max(1, self._parts.settings.lane_capacity // 2))
        if numbers:
            with self._changed:
                self._again.extend((number, taker) for number in numbers)
                self._changed.notify_all()

    def hand_over(self, route: Route, message: Message) -> bool:
        """Give a request to a pipeline's route, for good; ``False`` when it is over or somebody else has it."""
        if not self._routes.is_open(route):
            return False
        showing = self._showing
        if (
            showing is not None
            and (self._thread is None or self.is_here())
            and showing.message.file_id == message.file_id
        ):
            if self._handed_over is not None:
                return False
            self._handed_over = route
            return True
        number = self._parts.ledger.journal.number_of(message)
        has = (Claim.TAKEN, Claim.FREE, Claim.COPY)
        return number is not None and self._place(number, message, route).claim in has

    def defer(self, message: Message, deadline: float, when_late: WhenLate) -> bool:
        """Let a pipeline answer a request later (:class:`DeferredReplies`); ``False`` when it can't be had."""
        work = self.deferred.take(message, deadline, when_late)
        if work is not None:
            with self._changed:
                self._work[work.number] = work
        return work is not None

    def _show_again(self, number: int) -> None:
        with self._changed:
            self._unshown.add(number)
            self._again.append((number, None))
            self._changed.notify_all()

    def in_hand(self) -> int:
        """Return how many requests this process is working on."""
        return len(self._work)

    # -- the thread -------------------------------------------------------------------------------------------

    def is_here(self) -> bool:
        """Tell whether the caller is on the dispatch thread."""
        return threading.current_thread() is self._thread

    def _is_threaded(self) -> bool:
        return self._thread is not None and not self._stopped

    def run(self, timeout: float | None = None) -> None:
        """Wait until all that was journaled so far is passed on; without a thread of its own, do it.

        On the dispatch thread itself it returns at once.
        """
        if self._thread is None:
            while not self._stopped and self._step():
                pass
        if self._thread is None or self.is_here():
            return
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or not (self._busy or self._has_work()), timeout)

    def wait_until_done(self, timeout: float | None) -> bool:
        """Wait until every request that has a handler here is over; return whether that is so."""
        self.run(timeout)
        with self._changed:
            return self._changed.wait_for(lambda: self._stopped or self._is_done(), timeout)

    def _is_done(self) -> bool:
        waits = any(route.backlog.has_any() for route in self._routes.all())
        return not (self._busy or self._has_work() or self._work or waits)

    def stop(self) -> None:
        """End the thread after the row that it is at; returns at once."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def join(self, timeout: float) -> None:
        """Wait for the thread, unless this is it."""
        if self._thread is not None and not self.is_here():
            self._thread.join(timeout)

    def _run(self) -> None:
        failures = 0
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._stopped or self._has_work(), self._until_timer())
                if self._stopped:
                    return
                self._busy = True
            try:
                self._step()
                failures = 0
            except RuntimeClosedError:
                return
            except Exception as error:  # a full disk, a defect: the rows are in the journal, and come again
                failures += 1
                self._parts.streams.report("passing on what was journaled", error)
                with self._changed:
                    self._changed.wait_for(lambda: self._stopped, pause_after(failures))

    def _has_work(self) -> bool:
        return bool(
            self._posted or self._pages or self._again or self._cursor < self._last or self._until_timer() == 0.0
        )

    def _until_timer(self) -> float | None:
        if not self._timers:
            return None
        return max(0.0, self._timers[0][0] - self._parts.clock.monotonic())

    def _step(self) -> bool:
        """Do what has been brought, and look at one batch of rows; return whether there was anything to do."""
        did = self._do_posted()
        with self._changed:
            batch = [self._again[index] for index in range(min(len(self._again), _BATCH))]
            cursor, last = self._cursor, self._last
            fresh = None if self._fresh is None else list(self._fresh)
        # Behind the batch: all of it has been taken by now, and what is taken again from here on is not settled by it.
        takings = {route: route.backlog.takings for route in self._routes.all()}
        routes = dict(batch)
        if batch:
            rows = self._parts.ledger.journal.rows(sorted(routes))
            self._unshown.difference_update(routes.keys() - {row.number for row in rows})
        elif cursor < last and fresh is not None:
            rows = fresh
        elif cursor < last:
            rows = self._parts.ledger.journal.after(cursor, _BATCH)
            last = rows[-1].number if len(rows) == _BATCH else max([last, *(row.number for row in rows)])
        else:
            return did
        if not batch:
            self._unshown.update(row.number for row in rows)
        candidates = self._settle(rows, routes)
        with self._changed:  # only now: had anything failed, the rows would come again
            for _ in batch:
                self._again.popleft()
            if not batch:
                self._cursor = last
                if fresh is not None and self._fresh is not None:
                    del self._fresh[: len(fresh)]
        for candidate, standing in candidates:
            self._pass_on(candidate, standing)
        for route in self._routes.all() if batch else ():
            route.backlog.settled(routes, takings.get(route, 0))
            self._take_more(route)
        return True

    def _do_posted(self) -> bool:
        did = False
        while not self._stopped:
            with self._changed:
                if self._until_timer() == 0.0:
                    action = heapq.heappop(self._timers)[2]
                elif self._posted:
                    action = self._posted.popleft()
                elif self._pages:
                    action = self._show_page
                else:
                    return did
            did = True
            action()
        return did

    def _show_page(self) -> None:
        with self._changed:
            page = self._pages.popleft()
        for change in page.changes:
            self._parts.streams.changes.on_next(change)

    # -- a batch ----------------------------------------------------------------------------------------------

    def _settle(self, rows: Iterable[Row], routes: Mapping[int, Route | None]) -> list[tuple[_Candidate, Standing]]:
        """Judge rows, and bring all that follows for the journal into one transaction; return the requests."""
        candidates: list[_Candidate] = []
        others: list[tuple[int, Verdict | Message, str]] = []
        rejections: list[Rejection | None] = []
        room = _Room()
        for row in rows:
            verdict = self._judge(row)
            folder = next(iter(row.file.parents), "")
            if verdict is None:
                continue
            if isinstance(verdict, Message) and verdict.kind == "request" and not self._parts.observes:
                route, refusal = self._route(routes.get(row.number), row.number, verdict)
                take = row.spooled is not None or (route is not None and room.takes(route, row.number, verdict))
                candidates.append(_Candidate(row, verdict, route, take, refusal))
                continue
            if isinstance(verdict, Message) and self._parts.observes:
                candidates.append(_Candidate(row, verdict, None, take=True))
                continue
            self._unshown.discard(row.number)
            rejections.append(verdict if isinstance(verdict, Rejection) else None)
            others.append((row.number, Verdict.REFUSED if isinstance(verdict, Rejection) else verdict, folder))
        requests = [(c.row.number, c.message, c.take) for c in candidates]
        if requests or others:
            standings, outcomes = self._parts.ledger.settle(requests, others)
            for (_, what, _), rejection, outcome in zip(others, rejections, outcomes, strict=True):
                self._conclude(what, rejection, outcome)
            return list(zip(candidates, standings, strict=True))
        return []

    def _judge(self, row: Row) -> Message | Rejection | Verdict | None:
        """Tell what a row is; ``None`` when it was parked, or is being worked on."""
        if row.number in self._work:
            return None
        if row.spooled is not None:
            return row.spooled.message
        if row.file.created_time < self._held_before:
            self._park(("older", None), row.number)
            return None
        parent = next(iter(row.file.parents), None)
        if parent in self._failing:
            self._park(("folder", parent), row.number)
            return None
        try:
            location = self._parts.folders.locate(row.file)
        except RuntimeClosedError:
            raise
        except Exception as error:  # an outage, or one folder that Drive can't show: others go on meanwhile
            self._folder_failed(parent, error)
            self._park(("folder", parent), row.number)
            return None
        if isinstance(location, Unresolved):
            self._park(("folder", location.folder_id), row.number)
            return None
        if location is None:
            return Verdict.NOT_OURS
        return self._parts.admit(row.file, location) or (Verdict.NOT_OURS)

    def _folder_failed(self, folder_id: str | None, error: Exception) -> None:
        failures = self._failing[folder_id] = self._failing.get(folder_id, 0) + 1
        self._parts.streams.report("resolving a message", error)

        def retry() -> None:
            count = self._failing.pop(folder_id, 0)
            waiting = self._parked.get(("folder", folder_id))
            if not waiting:
                return
            # One of them tells whether Drive shows the folder again; should it fail, the pause grows.
            first = waiting.popleft()
            rows = self._parts.ledger.journal.rows([first[0]])
            try:
                if rows:
                    self._parts.folders.locate(rows[0].file)
            except Exception as again:
                self._failing[folder_id] = count
                waiting.appendleft(first)
                self._folder_failed(folder_id, again)
                return
            waiting.appendleft(first)
            self.unpark(("folder", folder_id))

        self.later(pause_after(failures, error), retry)

    def _route(self, taker: Route | None, number: int, message: Message) -> tuple[Route | None, Rejection | None]:
        route = taker or self._routes.at(message)
        if route is None:
            return None, None
        try:
            if any(route.allowed(address) for address in self._parts.identities.spellings(message.sender)):
                return route, None
        except Exception as error:  # a user's predicate; the request waits
            self._parts.streams.report("allowed_senders", error, message)
            self.later(60.0, lambda: self.look_again(number))
            return None, None
        detail = f"{message.sender} is not among the allowed senders; kept, should it be allowed later"
        return None, Rejection.of(RejectionReason.SENDER_NOT_ALLOWED, message, detail)

    def _conclude(self, what: Verdict | Message, rejection: Rejection | None, outcome: Answer | bool) -> None:
        """Show what became of a row that is no request."""
        if rejection is not None and outcome is True:
            self._parts.streams.reject(rejection)
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

    def _pass_on(self, candidate: _Candidate, standing: Standing) -> None:
        """Show a request to who observes, and hand it to who takes it."""
        message, number = candidate.message, candidate.row.number
        if not self._can_be_had(candidate, standing):
            return
        if candidate.row.spooled is not None:
            self._unshown.discard(number)
            self._resume_upload(candidate)
            return
        is_new = number in self._unshown
        if candidate.refusal is not None:
            self._unshown.discard(number)
            self._park(("unlisted", (message.app, message.endpoint)), number)
            if is_new:
                self._parts.streams.reject(candidate.refusal)
            return
        route = self._show(candidate) if is_new else candidate.route
        if self._parts.observes:
            self._parts.ledger.journal.finish(number, message)
        elif standing.claim is Claim.TAKEN:
            self._offer(Work(number, message, route), route)
        elif route is not None:
            self._place_or_park(number, message, route)
        elif number not in self._work:  # a pipeline may have taken it, to answer it later
            self._park(("endpoint", (message.app, message.endpoint)), number)
            if is_new and self._routes.expects_handlers():
                detail = f"no handler for endpoint {message.endpoint!r} of app {message.app!r}; kept for a later one"
                self._parts.streams.reject(Rejection.of(RejectionReason.UNKNOWN_ENDPOINT, message, detail))

    def _can_be_had(self, candidate: _Candidate, standing: Standing) -> bool:
        """Tell whether a request is this process's to take; else it waits for what has it, or is over."""
        match standing.claim:
            case Claim.OVER | Claim.HELD:
                self._unshown.discard(candidate.row.number)
            case Claim.ELSEWHERE:
                self._park(("holder", standing.by), candidate.row.number)
            case Claim.COPY:
                self._park(("message", standing.by), candidate.row.number, candidate.route)
            case _:
                return True
        return False

    def _show(self, candidate: _Candidate) -> Route | None:
        """Emit a request; return its route, which is a pipeline's if one took it."""
        outer = self._showing, self._handed_over
        self._showing, self._handed_over = candidate, None
        self._unshown.discard(candidate.row.number)
        try:
            self._parts.streams.messages.on_next(candidate.message)
            return self._handed_over or candidate.route
        finally:
            self._showing, self._handed_over = outer

    def _resume_upload(self, candidate: _Candidate) -> None:
        work = Work(candidate.row.number, candidate.message, step=Step.SPOOLED, spooled=candidate.row.spooled)
        self._work[work.number] = work
        self.responder.upload(work)

    def _place_or_park(self, number: int, message: Message, route: Route) -> None:
        placed = self._place(number, message, route)
        if placed.claim is Claim.ELSEWHERE:  # another process was quicker; should it die, this one takes over
            self._park(("holder", placed.by), number, None if route.endpoint else route)

    def _place(self, number: int, message: Message, route: Route) -> Standing:
        """Claim a request for a route, or have it wait for room there; return how it stands."""
        fits = _Room().takes(route, number, message)
        [standing] = self._parts.ledger.journal.claim([(number, message, fits)])
        if standing.claim is Claim.TAKEN:
            self._offer(Work(number, message, route), route)
        elif standing.claim is Claim.FREE:
            self._wait_for_room(route, message.sender, number)
        elif standing.claim is Claim.COPY:
            self._park(("message", standing.by), number, route)
        return standing

    def _offer(self, work: Work, route: Route | None) -> None:
        assert route is not None and route.lane is not None  # noqa: S101, PT018 - it was claimed for one that is open
        work.route = route
        self._work[work.number] = work
        sender = work.message.sender
        if not route.backlog.is_before(sender, work.number) and route.lane.offer(work):
            route.backlog.placed(sender, work.number)
            return
        self.responder.release(work)  # somebody else took its place, or closed the lane
        if self._routes.is_open(route):
            self._wait_for_room(route, sender, work.number)
        else:
            self.look_again(work.number)

    def _wait_for_room(self, route: Route, sender: str, number: int) -> None:
        route.backlog.add(sender, number)
        self._take_more(route)

    def _take_more(self, route: Route) -> None:
        """Take up what waits for a lane that is half empty already, and would not say so again."""
        if (
            route.lane is not None
            and route.backlog.has_waiting()
            and 2 * route.lane.room() >= self._parts.settings.lane_capacity
        ):
            self.has_room(route)

    def _park(self, key: ParkKey, number: int, route: Route | None = None) -> None:
        with self._changed:
            self._parked.setdefault(key, deque()).append((number, route))

    def _on_over(self, work: Work) -> None:
        """Forget a request that has left this process; called on any thread."""
        with self._changed:
            self._work.pop(work.number, None)
            self._changed.notify_all()
        self.unpark(("message", work.number))
        route = work.route
        if work.step is Step.OVER and route is not None:
            self.post(lambda: route.on_over(work.message.file_id))
