"""Hands requests to who takes them: a handler's lane, or a pipeline."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from msgspec import Struct

from syft_flwr.errors import RuntimeClosedError
from syft_flwr.exchange.deferred import DeferredReplies, WhenLate
from syft_flwr.exchange.parts import Parts
from syft_flwr.exchange.responder import Responder
from syft_flwr.exchange.routes import Route, Routes
from syft_flwr.exchange.work import Step, Work
from syft_flwr.models import Message, Rejection, RejectionReason
from syft_flwr.runtime.dispatch_thread import DispatchThread
from syft_flwr.runtime.parked import ParkedRows, Ticket
from syft_flwr.state.journal_rows import Claim, Row, Standing

_LOOK_AGAIN = 60.0
"""Seconds after which a user's predicate that raised is asked again."""


class Candidate(Struct, gc=False):
    """A request that is being looked at."""

    row: Row
    message: Message
    route: Route | None
    is_new: bool
    """Whether observers have not seen it."""
    take: bool
    refusal: Rejection | None = None
    """Why its handler does not take it: it is kept, should the sender be allowed some day."""


class Room:
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


class Placement:
    """The requests that this process has in hand, and the way into it.

    Args:
        parts: The account's parts.
        routes: Who takes requests.
        thread: The dispatch thread.
        parked: Takes what has to wait.
        look_at: Has rows looked at again.
        show_again: Has a row looked at as if observers had not seen it.
        on_deletion: Called when files of our own became due for deletion.

    Attributes:
        responder: Brings requests to their end.
        deferred: The requests that pipelines answer later.
    """

    def __init__(
        self,
        parts: Parts,
        routes: Routes,
        *,
        thread: DispatchThread,
        parked: ParkedRows,
        look_at: Callable[[Iterable[Ticket]], None],
        show_again: Callable[[int], None],
        on_deletion: Callable[[], None],
    ) -> None:
        self._parts = parts
        self._routes = routes
        self._thread = thread
        self._parked = parked
        self._look_at = look_at
        self._work: dict[int, Work] = {}
        self._showing: Candidate | None = None
        self._handed_over: Route | None = None
        self._waiting: tuple[int, str] | None = None
        """The request that is shown to one observer alone, by number and file ID."""
        self.responder = Responder(parts, later=thread.later, on_over=self._on_over, on_deletion=on_deletion)
        self.deferred = DeferredReplies(
            parts, self.responder, keep=self._keep, later=thread.later, show_again=show_again
        )

    def holds(self, number: int) -> bool:
        """Tell whether this process is working on a row."""
        return number in self._work

    def in_hand(self) -> int:
        """Return how many requests this process is working on."""
        return len(self._work)

    def is_idle(self) -> bool:
        """Tell whether every request that has a handler here is over."""
        return not (self._work or any(route.backlog.has_any() for route in self._routes.all()))

    def is_full(self) -> bool:
        """Tell whether requests wait for room in a lane."""
        return any(route.backlog.has_waiting() for route in self._routes.all())

    # -- routes -----------------------------------------------------------------------------------------------

    def open_route(self, route: Route) -> None:
        """Let a handler take requests, those that wait for it first.

        Raises:
            ValueError: The endpoint has a handler already.
        """
        self._routes.open(route)
        if route.key is not None:
            self._parked.unpark(("endpoint", route.key))
            self._parked.unpark(("unlisted", route.key))

    def close_route(self, route: Route) -> None:
        """Stop a handler; what it has not begun stays unfinished. Call the lane's ``stop`` to wait for the rest."""
        self._routes.close(route)
        for work in [] if route.lane is None else route.lane.stop(0.0):
            self.responder.release(work)
        self._look_at((number, None) for number in route.backlog.clear())

    def has_room(self, route: Route) -> None:
        """Take up what waited for room in a route's lane, as much as fits beside what is being placed."""
        assert route.lane is not None  # noqa: S101 - its lane says so
        numbers = route.backlog.take(route.lane.room() - route.backlog.being_placed())
        self._look_at((number, _taker(route)) for number in numbers)

    def settled(self, numbers: Collection[int], takings: dict[Route, int]) -> None:
        """Note that rows were looked at; ``takings`` are the backlogs' before that (:meth:`Backlog.settled`)."""
        for route in self._routes.all():
            route.backlog.settled(numbers, takings.get(route, 0))
            self._take_more(route)

    def hand_over(self, route: Route, message: Message) -> bool:
        """Give a request to a pipeline's route, for good; ``False`` when it is over or somebody else has it."""
        if not self._routes.is_open(route):
            return False
        if self._shown(message) is not None:
            if self._handed_over is not None:
                return False
            self._handed_over = route
            return True
        number = self._number_of(message)
        has = (Claim.TAKEN, Claim.FREE, Claim.COPY)
        try:
            return number is not None and self._place(number, message, route).claim in has
        except RuntimeClosedError:
            raise
        except Exception as error:  # such as a full disk; it comes again
            self._parts.streams.report("handing a request over", error, message)
            self._look_at([] if number is None else [(number, route)])
            return True

    def defer(self, message: Message, deadline: float, when_late: WhenLate) -> bool:
        """Let a pipeline answer a request later (:class:`DeferredReplies`); ``False`` when it can't be had."""
        number = self._number_of(message)
        return number is not None and self.deferred.take(number, message, deadline, when_late)

    def show_waiting(self, number: int, message: Message, on_next: Callable[[Message], None]) -> None:
        """Pass a request that waits to one observer, which may take it."""
        self._waiting = number, message.file_id
        try:
            on_next(message)
        finally:
            self._waiting = None

    def _number_of(self, message: Message) -> int | None:
        """Return a request's number; without a look at the journal, which may fail, while it is shown here."""
        if (shown := self._shown(message)) is not None:
            return shown.row.number
        waiting = self._waiting
        if waiting is not None and self._thread.runs_here() and waiting[1] == message.file_id:
            return waiting[0]
        return self._parts.ledger.journal.number_of(message)

    def _shown(self, message: Message) -> Candidate | None:
        """Return the request that observers are being shown here and now, if that is the one."""
        showing = self._showing
        is_it = showing is not None and self._thread.runs_here() and showing.message.file_id == message.file_id
        return showing if is_it else None

    # -- one request ------------------------------------------------------------------------------------------

    def route_of(self, taker: Route | None, number: int, message: Message) -> tuple[Route | None, Rejection | None]:
        """Return who takes a request: the pipeline that has it, or its endpoint's handler; and why that may not."""
        route = taker or self._routes.at(message)
        if route is None:
            return None, None
        try:
            if any(route.allowed(address) for address in self._parts.identities.spellings(message.sender)):
                return route, None
        except Exception as error:  # a user's predicate; the request waits
            self._parts.streams.report("allowed_senders", error, message)
            self._thread.later(_LOOK_AGAIN, lambda: self._look_at([(number, None)]))
            return None, None
        detail = f"{message.sender} is not among the allowed senders; kept, should it be allowed later"
        return None, Rejection.of(RejectionReason.SENDER_NOT_ALLOWED, message, detail)

    def pass_on(self, candidate: Candidate, standing: Standing) -> bool:
        """Show a request to who observes, and hand it to who takes it; ``False`` when it waits unseen."""
        message, number = candidate.message, candidate.row.number
        if standing.claim is Claim.ELSEWHERE:
            self._parked.park(("holder", standing.by), number)
            return False
        if standing.claim is Claim.COPY:
            self._parked.park(("message", standing.by), number, candidate.route)
            return False
        if standing.claim in (Claim.TAKEN, Claim.FREE):
            if candidate.row.spooled is not None:
                work = Work(number, message, step=Step.SPOOLED, spooled=candidate.row.spooled)
                self._keep(work)
                self.responder.upload(work)
            elif candidate.refusal is not None:
                self._parked.park(("unlisted", (message.app, message.endpoint)), number)
                if candidate.is_new:
                    self._parts.streams.reject(candidate.refusal)
            else:
                self._hand_on(candidate, standing)
        return True

    def _hand_on(self, candidate: Candidate, standing: Standing) -> None:
        message = candidate.message
        if candidate.is_new:
            self._show(candidate)
        is_wanted = self._parts.shared_bodies.join(message)  # kept, if a pipeline wants it, until its taker does, too
        try:
            self._pass_to_taker(candidate, standing)
        finally:
            if is_wanted:
                self._parts.shared_bodies.leave(message)

    def _pass_to_taker(self, candidate: Candidate, standing: Standing) -> None:
        message, number, route = candidate.message, candidate.row.number, candidate.route
        if self._parts.observes:
            self._parts.ledger.journal.finish(number, message)
        elif standing.claim is Claim.TAKEN:
            self._offer(Work(number, message, route), route)
        elif route is not None:
            placed = self._place(number, message, route, is_free=True)
            if placed.claim is Claim.ELSEWHERE:  # another process was quicker; should it die, this one takes over
                self._parked.park(("holder", placed.by), number, _taker(route))
        elif number not in self._work:  # a pipeline may have taken it, to answer it later
            self._parked.park(("endpoint", (message.app, message.endpoint)), number)
            if candidate.is_new and self._routes.expects_handlers():
                detail = f"no handler for endpoint {message.endpoint!r} of app {message.app!r}; kept for a later one"
                self._parts.streams.reject(Rejection.of(RejectionReason.UNKNOWN_ENDPOINT, message, detail))

    def _show(self, candidate: Candidate) -> None:
        """Emit a request; if a pipeline takes it, that is its route."""
        outer = self._showing, self._handed_over
        self._showing, self._handed_over = candidate, None
        try:
            self._parts.streams.messages.on_next(candidate.message)
            candidate.route = self._handed_over or candidate.route
        finally:
            self._showing, self._handed_over = outer

    def _place(self, number: int, message: Message, route: Route, *, is_free: bool = False) -> Standing:
        """Claim a request for a route, or have it wait for room there; return how it stands.

        One that was free a moment ago waits without a look at the journal.
        """
        fits = Room().takes(route, number, message)
        if is_free and not fits:
            self._wait_for_room(route, message.sender, number)
            return Standing(Claim.FREE)
        [standing] = self._parts.ledger.journal.claim([(number, message, fits)])
        if standing.claim is Claim.TAKEN:
            self._offer(Work(number, message, route), route)
        elif standing.claim is Claim.FREE:
            self._wait_for_room(route, message.sender, number)
        elif standing.claim is Claim.COPY:
            self._parked.park(("message", standing.by), number, route)
        return standing

    def _offer(self, work: Work, route: Route | None) -> None:
        assert route is not None and route.lane is not None  # noqa: S101, PT018 - it was claimed for one that is open
        work.route, work.shares_body = route, self._parts.shared_bodies.join(work.message)
        self._keep(work)
        sender = work.message.sender
        self._parts.announced.expect(work.message)
        if not route.backlog.is_before(sender, work.number) and route.lane.offer(work):
            route.backlog.placed(sender, work.number)
            return
        if self._routes.is_open(route):  # somebody else took its place; no later one may
            self._wait_for_room(route, sender, work.number)
        self.responder.release(work)

    def _wait_for_room(self, route: Route, sender: str, number: int) -> None:
        route.backlog.add(sender, number)
        self._take_more(route)

    def _take_more(self, route: Route) -> None:
        """Take up what waits for a lane that is half empty already, and would not say so again."""
        lane, capacity = route.lane, self._parts.settings.lane_capacity
        if lane is None or not route.backlog.has_waiting():
            return
        if 2 * (lane.room() - route.backlog.being_placed()) >= capacity:
            self.has_room(route)

    def _keep(self, work: Work) -> None:
        with self._thread.lock:
            self._work[work.number] = work

    def _on_over(self, work: Work) -> None:
        """Forget a request that has left this process; called on any thread."""
        with self._thread.changed:
            if self._work.get(work.number) is not work:  # it was given back before, and may be here anew
                return
            del self._work[work.number]
            self._thread.changed.notify_all()
        if work.shares_body:
            self._parts.shared_bodies.leave(work.message)
        self._parked.unpark(("message", work.number))
        route = work.route
        if work.step is not Step.OVER:
            self._look_at([(work.number, _taker(route) if route is not None and self._routes.is_open(route) else None)])
        elif route is not None:
            self._thread.post(lambda: self._tell_over(route, work.message))

    def _tell_over(self, route: Route, message: Message) -> None:
        try:
            route.on_over(message.file_id)
        except Exception as error:  # a user's observer: with its last reply, a pipeline may end
            self._parts.streams.report("observer of replies", error, message)


def _taker(route: Route) -> Route | None:
    """Return the route if it is a pipeline's: what it has taken is not its endpoint's."""
    return None if route.endpoint else route
