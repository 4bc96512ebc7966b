"""From the journal to the handlers: resolve each candidate, judge it, and pass it to whoever takes it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from syft_flwr.drive.folders import Unresolved
from syft_flwr.errors import DriveUnavailableError, RateLimitedError, RuntimeClosedError
from syft_flwr.exchange.admission import admit
from syft_flwr.exchange.context import Exchange, MessageLane
from syft_flwr.exchange.responder import Handler, Prepared, Responder
from syft_flwr.models import DriveFile, Message, Rejection, RejectionReason
from syft_flwr.state.futures import Answer


@dataclass(eq=False)
class Route:
    """A handler, for one endpoint of one app or (a *desk*) for the requests that a pipeline hands over.

    Args:
        allowed: Tells whether a sender's address may use it.
        concurrency: Requests of different senders handled at once.
        on_over: Called with the file ID of each request that a pipeline handed over, once it is over for good.
    """

    app: str
    endpoint: str
    handler: Handler
    allowed: Callable[[str], bool] = lambda _: True
    concurrency: int = 1
    on_over: Callable[[str], None] = lambda _: None
    lane: MessageLane | None = field(default=None, repr=False)
    overflowed: bool = False
    """Whether messages wait in the ledger because the lane was full; later ones must not overtake them."""

    @property
    def key(self) -> tuple[str, str]:
        return self.app, self.endpoint


class Intake:
    """Takes unfinished candidates on their way. Thread-safe; candidates are taken one batch at a time.

    Args:
        exchange: The account's parts.
        on_response: Called with the future ID of each response that was accepted.
        on_wake: Called when there is something to dispatch again.
    """

    def __init__(self, exchange: Exchange, *, on_response: Callable[[str], None], on_wake: Callable[[], None]) -> None:
        self._x = exchange
        self._on_response = on_response
        self._on_wake = on_wake
        self._dispatching = threading.RLock()
        self._lock = threading.Lock()
        self._routes: dict[tuple[str, str], Route] = {}
        self._desks: set[Route] = set()
        self._adopted: dict[str, Route] = {}
        self._placed: dict[str, Route] = {}
        self._emitted: set[str] = set()
        self._unclaimed: set[str] = set()
        self._over: set[str] | None = None
        """What came to its end while a batch is passed on."""
        self._again = threading.Event()
        self._seen: object = None
        self.responder = Responder(exchange, on_settled=self._settled, on_retry=self._again.set)

    # -- routes -----------------------------------------------------------------------------------------------

    def add_route(self, route: Route) -> None:
        """Register a handler; requests that waited for it are dispatched with the next poll, or now if it runs.

        Raises:
            ValueError: The endpoint has a handler already.
        """
        with self._lock:
            if route.key in self._routes:
                raise ValueError(f"endpoint {route.endpoint!r} of app {route.app!r} has a handler already")
            route.lane = self._make_lane(route)
            self._routes[route.key] = route
        self._wake()

    def open_desk(self, route: Route) -> None:
        """Make a handler ready for what :meth:`take` hands over to it; :meth:`remove_routes` closes it."""
        with self._lock:
            route.lane = self._make_lane(route)
            self._desks.add(route)

    def take(self, route: Route, message: Message) -> bool:
        """Hand a request over to a desk, for good; ``False`` when somebody has it already."""
        with self._lock:
            if route not in self._desks or message.file_id in self._placed or message.file_id in self._adopted:
                return False
            self._adopted[message.file_id] = route
        self._place(route, message)
        return True

    def remove_routes(self, routes: Collection[Route], timeout: float) -> None:
        """Stop handlers; what they have not begun stays unfinished.

        Waits up to ``timeout`` seconds for what they have begun.
        """
        with self._lock:
            for route in routes:
                if self._routes.get(route.key) is route:
                    del self._routes[route.key]
                self._desks.discard(route)
        lanes = [route.lane for route in routes if route.lane is not None]
        for lane in lanes:
            for message, prepared in lane.stop(0.0):
                self._release(message, prepared)
        deadline = time.monotonic() + timeout
        for lane in lanes:
            lane.stop(max(0.0, deadline - time.monotonic()))
        with self._lock:
            # What was only queued, too; a claim keeps whatever is still being handled from being handled twice.
            self._placed = {file_id: taker for file_id, taker in self._placed.items() if taker not in routes}
            self._adopted = {file_id: taker for file_id, taker in self._adopted.items() if taker not in routes}

    def routes(self) -> list[Route]:
        with self._lock:
            return list(self._routes.values())

    def in_flight(self) -> set[str]:
        """Return the file IDs that this process is working on."""
        with self._lock:
            return set(self._placed)

    def forget(self, message: Message) -> None:
        """Note that a message is over, without a handler of ours."""
        self._settled(message.file_id, over=True)

    # -- dispatch ---------------------------------------------------------------------------------------------

    def dispatch(self, candidates: Iterable[DriveFile]) -> None:
        """Take candidates on their way, in this order."""
        with self._dispatching, suppress(RuntimeClosedError):
            accepted: list[Message] = []
            for file in candidates:
                try:
                    message = self._judge(file)
                except RuntimeClosedError:
                    raise
                except Exception as error:  # an outage, say; the candidate stays in the journal
                    self._retry("resolving a message", error)
                    if isinstance(error, DriveUnavailableError | RateLimitedError):
                        break
                else:
                    if message is not None:
                        accepted.append(message)
            if accepted:
                self._pass_on_all(accepted)

    def dispatch_pending(self) -> None:
        """Look through the whole journal again, if anything has changed that may move a candidate on."""
        if not self._again.is_set() and self._state() == self._seen:
            return
        with self._dispatching:
            self._again.clear()
            self._seen = self._state()
            with self._lock:
                for route in (*self._routes.values(), *self._desks):
                    route.overflowed = False
            self.responder.resume_uploads()
            self.dispatch(pending.file for pending in self._x.ledger.pending())

    def _state(self) -> tuple[dict[str, int], int]:
        return self._x.ledger.foreign_versions(), self._x.folders.version

    def _retry(self, where: str, error: Exception) -> None:
        self._again.set()
        self._x.streams.report(where, error)

    def _judge(self, file: DriveFile) -> Message | None:
        """Return the message that a candidate is, unless it is none, or none to be taken on its way now."""
        if file.id in self._placed:
            return None
        if not self.responder.is_due(file.id):
            self._again.set()
            return None
        location = self._x.folders.locate(file)
        if isinstance(location, Unresolved):
            return None
        if location is None:
            self._x.ledger.drop(file.id)
            return None
        verdict = admit(file, location, self._x.me, max_size=self._x.settings.max_message_size)
        if isinstance(verdict, Message):
            return verdict
        if verdict is None:
            self._x.ledger.drop(file.id)
        else:
            self._reject(verdict, location.folder_id, file.created_time)
        return None

    def _pass_on_all(self, messages: list[Message]) -> None:
        with self._lock:
            outer, self._over = self._over, set()
        try:
            done = self._x.ledger.done_among(messages)
            for message in messages:
                # An observer may have consumed it just now, or had the feed polled in its turn.
                if message.file_id not in done and message.file_id not in self._over:
                    self._pass_on(message)
        finally:
            with self._lock:
                self._over = None if outer is None else outer | self._over

    def _pass_on(self, message: Message) -> None:
        """Show a message to who observes, and hand it to who takes it."""
        with self._lock:
            is_new = message.file_id not in self._emitted
            self._emitted.add(message.file_id)
        try:
            if is_new:
                self._x.streams.messages.on_next(message)
            if self._x.observes:
                self._x.ledger.requests.finish(message)
                self._settled(message.file_id, over=True)
            elif message.kind == "response":
                self._take_response(message)
            else:
                self._take_request(message)
        except RuntimeClosedError:
            raise
        except Exception as error:  # a user's predicate, say; the message stays in the journal
            self._retry("resolving a message", error)

    def _take_response(self, message: Message) -> None:
        answer = self._x.ledger.futures.answer(message)
        if answer is Answer.ACCEPTED:
            self._x.streams.responses.on_next(message)
            self._on_response(message.future_id)
        elif answer is Answer.UNKNOWN_FUTURE:
            detail = "nobody here waits for it (any more)"
            self._refuse(RejectionReason.UNKNOWN_FUTURE, message, detail)
        elif answer is Answer.WRONG_RESPONDER:
            detail = f"{message.sender} was not asked that"
            self._refuse(RejectionReason.WRONG_RESPONDER, message, detail)
        self._settled(message.file_id, over=True)

    def _take_request(self, message: Message) -> None:
        with self._lock:
            if message.file_id in self._placed:  # a pipeline took it just now
                return
            route = self._adopted.get(message.file_id) or self._routes.get((message.app, message.endpoint))
            serving = bool(self._routes) and not self._desks
        if route is None or route.lane is None:
            if serving and message.file_id not in self._unclaimed:
                self._unclaimed.add(message.file_id)
                detail = f"no handler for endpoint {message.endpoint!r} of app {message.app!r}; kept for a later one"
                self._x.streams.reject(Rejection.of(RejectionReason.UNKNOWN_ENDPOINT, message, detail))
            return
        if not route.allowed(message.sender):
            detail = f"{message.sender} is not among the allowed senders"
            self._refuse(RejectionReason.SENDER_NOT_ALLOWED, message, detail)
            return
        self._place(route, message)

    def _place(self, route: Route, message: Message) -> None:
        with self._lock:
            self._placed[message.file_id] = route
        if route.overflowed or route.lane is None or not route.lane.offer(message):
            route.overflowed = True
            with self._lock:
                self._placed.pop(message.file_id, None)

    def _make_lane(self, route: Route) -> MessageLane:
        return self._x.lanes(
            f"{route.app}/{route.endpoint}",
            key=lambda message: message.sender.lower(),
            prepare=self.responder.prepare,
            handle=partial(self._handle, route),
            pool=self._x.pool,
            capacity=self._x.settings.lane_capacity,
            concurrency=route.concurrency,
            on_drained=partial(self._drained, route),
            on_late=self._release,
        )

    def _release(self, message: Message, prepared: Prepared) -> None:
        with suppress(RuntimeClosedError):  # the claim ends with this process
            self.responder.release(message, prepared)

    def _handle(self, route: Route, message: Message, prepared: Prepared) -> None:
        self.responder.handle(message, prepared, route.handler)

    def _refuse(self, reason: RejectionReason, message: Message, detail: str) -> None:
        self._reject(Rejection.of(reason, message, detail), message.folder_id, message.created_time)

    def _reject(self, rejection: Rejection, folder_id: str, created_time: str) -> None:
        if self._x.ledger.reject(rejection.file_id, folder_id, created_time):
            self._x.streams.reject(rejection)
        self._settled(rejection.file_id, over=True)

    def _settled(self, file_id: str, over: bool) -> None:
        with self._lock:
            self._placed.pop(file_id, None)
            if not over:
                return
            if self._over is not None:
                self._over.add(file_id)
            self._emitted.discard(file_id)
            self._unclaimed.discard(file_id)
            desk = self._adopted.pop(file_id, None)
        if desk is not None:
            desk.on_over(file_id)

    def _drained(self, route: Route) -> None:
        if route.overflowed:
            self._wake()

    def _wake(self) -> None:
        self._again.set()
        self._on_wake()
