"""One account's exchange of messages in this process: the parts, put together and kept going."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from reactivex import Observable

from syft_flwr.errors import ConfigurationError, RuntimeClosedError
from syft_flwr.exchange.context import Exchange
from syft_flwr.exchange.intake import Intake, Route
from syft_flwr.exchange.requester import Request, Requester
from syft_flwr.exchange.responder import Handler
from syft_flwr.feed.interval import PollInterval
from syft_flwr.feed.recording import GatewayTap, Recorder
from syft_flwr.feed.replies import Desk
from syft_flwr.models import Change, FeedError, Message, Rejection, Replied
from syft_flwr.runtime.answers import Answers
from syft_flwr.runtime.cycle import FeedCycle
from syft_flwr.runtime.desk import RouteDesk
from syft_flwr.runtime.loop import PollLoop, nothing
from syft_flwr.runtime.recorders import Recorders
from syft_flwr.settings import Settings

_log = logging.getLogger(__name__)

_POLL_UNITS = 100
_STOP_TIMEOUT = 1.0
_UPLOAD_TIMEOUT = 10.0
_DELETE_TIMEOUT = 2.0


class DriveRuntime:
    """Follows one account's change feed and exchanges messages over it. Thread-safe.

    Get one with :meth:`open`; it is shared by everything in this process that uses the same account, Drive and
    state directory, and it closes when the last of them has closed it.

    Attributes:
        email: The account's address.
        cycle: The account's polls.
        answers: The answers that this process waits for.
        meter: Calls and quota units so far (:class:`~syft_flwr.drive.quota.QuotaMeter`).
    """

    def __init__(
        self,
        exchange: Exchange,
        *,
        url: str,
        meter: Any,
        rng: random.Random,
        tap: GatewayTap | None = None,
        release: Callable[[], bool] = lambda: True,
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        """Put the parts together; use :meth:`open` unless the parts are your own.

        Args:
            exchange: The account's parts.
            url: The Drive that the state is bound to.
            meter: What the gateway books its calls in.
            rng: Source of jitter.
            tap: The exchange's gateway, if it can be listened to.
            release: Gives up one use; returns whether it was the last, so that the runtime has to close.
            on_close: Closes the parts.
        """
        self.email = exchange.me
        self.meter = meter
        self._x = exchange
        self._release = release
        self._on_close = on_close
        self._interval = PollInterval(exchange.settings.poll_interval, exchange.settings.max_poll_interval, rng)
        self._loop = PollLoop(
            f"syft-poll-{exchange.me}",
            step=self._step,
            dispatch=self._dispatch,
            report=lambda error: exchange.streams.report("polling", error),
            clock=exchange.clock,
        )
        self._intake = Intake(exchange, on_response=self._on_response, on_wake=self._loop.wake)
        self.requester = Requester(exchange, on_deletion=self._on_deletion)
        self.cycle = FeedCycle(exchange, self._intake, self.requester, url=url, rng=rng)
        self.answers = Answers(
            self.requester,
            self.cycle,
            self._interval,
            exchange.clock,
            is_polled=lambda: self.is_running,
            check_open=self._check_open,
        )
        self._recorders = None if tap is None else Recorders(exchange, self.cycle, tap)
        self._closed = threading.Event()

    @classmethod
    def open(cls, email: str | None = None, **settings: Any) -> DriveRuntime:
        """Open the runtime of an account, or share the one that is open.

        Does no call to Drive yet. Which Drive, the credentials and the state directory come from the environment.

        Args:
            email: The account's address; by default ``SYFTBOX_EMAIL``.
            **settings: Fields of :class:`~syft_flwr.settings.Settings`. ``max_poll_interval`` is 15 s here unless
                given. An open runtime keeps its settings, but polls at the shortest ``poll_interval`` asked for.

        Raises:
            ConfigurationError: No address, or a setting that makes no sense.
            CredentialsError: No credentials; the message says how to get some.
            StateError: The state directory can't be used.
        """
        from syft_flwr.runtime.opening import open_runtime

        return open_runtime(email, {"max_poll_interval": 15.0, **settings})

    @classmethod
    def observe(cls, email: str | None = None, **settings: Any) -> DriveRuntime:
        """Open a runtime that only looks on: it shares nothing with the account's other runtimes.

        It shows what waits for them, and then all that comes, also what another process handles meanwhile. It keeps
        its state in memory, answers nothing and cleans nothing up.

        Args:
            email: As in :meth:`open`.
            **settings: As in :meth:`open`.

        Raises:
            ConfigurationError: As :meth:`open`.
            StateError: The state of the account's other runtimes can't be read.
        """
        from syft_flwr.runtime.opening import open_observer

        return open_observer(email, {"max_poll_interval": 15.0, **settings, "cleanup": False})

    # -- observables ------------------------------------------------------------------------------------------

    @property
    def changes(self) -> Observable[Change]:
        """Every entry of the change feed, as this process fetches it, after it was journaled. Hot."""
        return self._x.streams.changes

    @property
    def messages(self) -> Observable[Message]:
        """Every message to this account, once; after a restart the unfinished ones again. Hot."""
        return self._x.streams.messages

    @property
    def responses(self) -> Observable[Message]:
        """Every response that answers a request of this account. Hot."""
        return self._x.streams.responses

    @property
    def replied(self) -> Observable[Replied]:
        """Every answer that a handler gave, once it can't be lost any more; its upload follows. Hot."""
        return self._x.streams.replied

    @property
    def rejected(self) -> Observable[Rejection]:
        """Every file that was not accepted as a message, and why. Hot."""
        return self._x.streams.rejected

    @property
    def errors(self) -> Observable[FeedError]:
        """Every exception that was contained: of observers, handlers and polls. Hot."""
        return self._x.streams.errors

    # -- life -------------------------------------------------------------------------------------------------

    @property
    def is_running(self) -> bool:
        """Whether the poll loop runs."""
        return self._loop.is_running

    @property
    def failure(self) -> Exception | None:
        """Why the poll loop ended by itself, if it did: something that no retry can mend."""
        return self._loop.failure

    def start(self, on_failure: Callable[[], None] = nothing) -> None:
        """Poll on a thread of the runtime's own, until :meth:`stop` was called as often, or :meth:`close`.

        Args:
            on_failure: Called if the loop ends by itself; then :attr:`failure` says why.
        """
        self._check_open()
        self._loop.start(on_failure)

    def stop(self, on_failure: Callable[[], None] = nothing) -> None:
        """Undo one :meth:`start`, which was called with the same ``on_failure``; returns at once."""
        self._loop.stop(on_failure)

    def run_forever(self, ended: threading.Event | None = None, timeout: float | None = None) -> None:
        """Poll on a thread of the runtime's own, and wait meanwhile; Ctrl-C passes through.

        Args:
            ended: Ends it when set.
            timeout: Seconds after which it ends.

        Raises:
            SyftFlwrError: The poll loop ended by itself: see :attr:`failure`.
        """
        ended = threading.Event() if ended is None else ended
        self.start(on_failure=ended.set)
        try:
            self._x.clock.wait(ended, timeout)
        finally:
            self.stop(on_failure=ended.set)
        if self.failure is not None:
            raise self.failure

    def close(self) -> None:
        """Give up this use of the runtime; the last one stops everything within about a second.

        Uploads under way get up to ten seconds. What is unfinished then stays in the journal for the next runtime.
        """
        if self._closed.is_set() or not self._release():
            return
        self._closed.set()
        self._loop.end()
        self._intake.remove_routes(self._intake.routes(), _STOP_TIMEOUT)
        self._intake.responder.wait_for_uploads(_UPLOAD_TIMEOUT)
        self._intake.responder.interrupt()
        self.cycle.finish_deleting(_DELETE_TIMEOUT)
        self._x.gateway.close()
        self._loop.join(_STOP_TIMEOUT)
        self.answers.wake()
        if self._recorders is not None:
            self._recorders.close()
        self._x.streams.complete()
        self._on_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- polling ----------------------------------------------------------------------------------------------

    def poll_once(self) -> int:
        """Poll the feed once, and do what has come due; return the number of changes.

        The first call also obtains the start token, sweeps, and takes up what earlier runs left unfinished.

        Raises:
            DriveError: Drive can't be reached or refuses; nothing is lost, the next poll goes on from here.
        """
        self._check_open()
        return self.cycle.poll()

    def shorten_interval(self, poll_interval: float) -> None:
        """Poll at least this often (seconds) while there is traffic."""
        self._interval.base = min(self._interval.base, poll_interval)

    # -- messages ---------------------------------------------------------------------------------------------

    def add_route(self, route: Route, *, known_senders: Sequence[str] = ()) -> None:
        """Let a handler take the requests of an endpoint.

        Args:
            route: The endpoint and its handler.
            known_senders: Participants whose inboxes this account creates and shares when polling begins: a file
                in a folder of one's own is surest to show in one's feed.
        """
        self._check_answers()
        self.cycle.want_inboxes((sender, route.app, route.endpoint) for sender in known_senders)
        self._intake.add_route(route)

    def remove_routes(self, routes: Collection[Route]) -> None:
        """Stop handlers; waits up to a second for what they are doing, and for the replies under way."""
        self._intake.remove_routes(routes, _STOP_TIMEOUT)
        self._intake.responder.wait_for_uploads(_UPLOAD_TIMEOUT)

    def open_desk(
        self, function: Handler, *, concurrency: int = 1, on_over: Callable[[str], None] = lambda _: None
    ) -> Desk:
        """Make a function ready to answer the requests that are handed over to it.

        Use :func:`~syft_flwr.feed.reply_with` in a pipeline.

        Args:
            function: Takes body and request.
            concurrency: Requests of different senders answered at once.
            on_over: Called with the file ID of each request once it is over for good.
        """
        self._check_answers()
        route = Route("pipeline", "", function, concurrency=concurrency, on_over=on_over)
        self._intake.open_desk(route)
        return RouteDesk(self._intake, route, stop_timeout=_STOP_TIMEOUT)

    def fetch_body(self, message: Message) -> Future[bytes]:
        """Begin to download a message's body, which is not kept; the transfers of the account take turns.

        Use :func:`~syft_flwr.feed.with_body` in a pipeline.

        Raises:
            RuntimeClosedError: The runtime is closed.
        """
        self._check_open()
        return self._x.pool.submit(self._fetch_body, message)

    def report(self, where: str, error: BaseException, message: Message | None = None) -> None:
        """Log an exception that a pipeline contained, and emit it on :attr:`errors`."""
        self._x.streams.report(where, error, message)

    def consume(self, message: Message) -> None:
        """Acknowledge a message that a stream has dealt with: it is never seen again, and gets no reply."""
        self._x.ledger.requests.finish(message)
        self._intake.forget(message)

    def send(self, requests: Sequence[Request]) -> list[str]:
        """Send requests; see :meth:`Requester.send`."""
        self._check_open()
        self.cycle.begin()
        return self.requester.send(requests)

    def await_answers(self, future_ids: Collection[str], timeout: float, *, enough: int) -> set[str]:
        """Wait until ``enough`` of the futures are answered, at most ``timeout`` seconds; return those that are.

        Polls the feed itself when no loop does.
        """
        return self.answers.wait(future_ids, timeout, enough=enough)

    def drive_time(self) -> float:
        """Return Drive's clock: Unix seconds, as of its last answer; the local clock before the first one."""
        return self._x.gateway.server_time()

    @property
    def settings(self) -> Settings:
        """How it behaves, as its first user wanted it."""
        return self._x.settings

    @property
    def cleans_up(self) -> bool:
        """Whether message files of our own are deleted when nobody needs them any more."""
        return self._x.settings.cleanup

    def begin_with(self, snapshot: Mapping[str, Any]) -> None:
        """Take over what another runtime of the account knows (:meth:`~syft_flwr.state.ledger.Ledger.snapshot`)."""
        self._x.ledger.restore(snapshot)

    # -- recordings -------------------------------------------------------------------------------------------

    def record_to(self, path: str | Path, *, bodies: bool = False, redact: bool = False) -> Recorder:
        """Record what passes between the account and Drive from now on, until the recorder or the runtime is closed.

        Args:
            path: The file, JSON Lines; an existing recording is continued.
            bodies: Whether to keep the contents of the messages that are downloaded and uploaded, in a directory
                beside the file.
            redact: Whether to replace addresses and names, each always by the same other one.

        Raises:
            RecordingError: The file can't be written, or is no recording that can be continued.
            ConfigurationError: Both ``bodies`` and ``redact``.
        """
        self._check_open()
        if self._recorders is None:
            raise ConfigurationError("this runtime was put together without a tap to record from")
        return self._recorders.start(Path(path), bodies=bodies, redact=redact)

    # -- inside -----------------------------------------------------------------------------------------------

    def _step(self) -> float:
        self.poll_once()
        pause = self._interval.next(active=self.cycle.is_active)
        stretched = self._x.gateway.budget_delay(_POLL_UNITS)
        if stretched > pause:
            self.meter.book_stretch(stretched - pause)
            limit = self._x.settings.quota_units_per_minute
            _log.info("%s: pause stretched to %.1f s to keep to %s units a minute", self.email, stretched, limit)
        return max(pause, stretched)

    def _dispatch(self) -> None:
        self.cycle.dispatch()

    def _fetch_body(self, message: Message) -> bytes:
        partial = self._x.bodies.partial(f"stream-{message.file_id}")
        try:
            self._x.gateway.download(message.file_id, partial, size=message.size, sha256=message.sha256)
            return partial.read_bytes()
        finally:
            partial.unlink(missing_ok=True)

    def _on_deletion(self) -> None:
        self.cycle.delete_due_soon()

    def _on_response(self, future_id: str) -> None:
        self.answers.came(future_id)

    def _check_answers(self) -> None:
        self._check_open()
        if self._x.observes:
            raise ConfigurationError(f"this runtime of {self.email} only looks on; use DriveRuntime.open to answer")

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise RuntimeClosedError(f"the runtime of {self.email} is closed")
