"""One account's engine: its parts put together and kept going, for as many handles as there are."""

from __future__ import annotations

import logging
import os
import random
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import ExitStack, nullcontext, suppress
from typing import Any

from reactivex.disposable import SerialDisposable

from syft_flwr.drive.pacing import at_once, until
from syft_flwr.errors import ConfigurationError, RateLimitedError, RuntimeClosedError, SyftFlwrError
from syft_flwr.exchange.deletions import Deletions
from syft_flwr.exchange.handler_threads import HandlerThreads
from syft_flwr.exchange.lane import Lane
from syft_flwr.exchange.objects import Disposable, Objects
from syft_flwr.exchange.parts import Parts
from syft_flwr.exchange.requester import Request, Requester
from syft_flwr.exchange.responses import Responses
from syft_flwr.exchange.routes import MessageLane, Route, Routes
from syft_flwr.feed.schedule import PollInterval, pause_after
from syft_flwr.models import Message
from syft_flwr.runtime.dispatch import Dispatch
from syft_flwr.runtime.follower import Follower
from syft_flwr.runtime.loop import PollLoop
from syft_flwr.settings import Settings

_log = logging.getLogger(__name__)

_POLL_UNITS = 5
_SEND_PATIENCE = 60.0
"""Seconds for which ``send`` tries to get through an outage."""
_STOP_TIMEOUT = 1.0
_UPLOAD_TIMEOUT = 10.0
_DELETE_TIMEOUT = 2.0
_PASS_ON_TIMEOUT = 60.0
"""Seconds that a poll of a caller's own waits for observers, at most."""

_shared_threads = HandlerThreads()
"""For all engines of the process."""


def begin_anew_after_fork() -> None:
    """Leave the threads of the parent process to it."""
    global _shared_threads  # noqa: PLW0603 - what a forked child inherits is dead
    _shared_threads = HandlerThreads()


class Engine:
    """Follows one account's change feed and exchanges messages over it. Thread-safe.

    Args:
        parts: The account's parts.
        url: The Drive that the state is bound to.
        meter: What the gateway books its calls in.
        rng: Source of jitter.
        threaded: Whether it has threads; a replay and tests have none.
        make_lane: Makes the lanes of handlers.
        on_close: Closes the parts.

    Attributes:
        resources: What ends with the engine, such as recorders.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        url: str,
        meter: Any,
        rng: random.Random,
        threaded: bool = True,
        make_lane: Callable[..., MessageLane] = Lane,
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        self.parts = parts
        self.meter = meter
        self.threaded = threaded
        self._rng = rng
        self._make_lane = make_lane
        self._on_close = on_close
        self._lock = threading.Lock()
        self._wishes: dict[object, PollInterval] = {}
        self.resources = ExitStack()
        self._closed = threading.Event()
        self._pid = os.getpid()
        _shared_threads.enlist()
        self.named: dict[str, SerialDisposable] = {}
        self.routes = Routes()
        self.responses = Responses(
            parts,
            poll=self._poll_for_caller,
            polled_at=lambda: self.follower.polled_at,
            is_polled=lambda: self.loop.is_running,
            interval=self.least_interval,
            check_open=self.check_open,
            on_deletion=lambda due: self.deletions.run_soon(due),  # noqa: PLW0108 - it is made below
        )
        self.dispatch = Dispatch(
            parts,
            self.routes,
            on_answered=self.responses.came,
            on_deletion=lambda: self.deletions.run_soon(),  # noqa: PLW0108 - it is made below
            threaded=threaded,
        )
        parts.gateway.tell_of_limits(self._limited)
        parts.announced.on_replied = lambda: self.loop.hasten(parts.announced.pause())
        parts.streams.emit_with(self.dispatch.thread.post, self.dispatch.show_waiting)
        self.deletions = Deletions(parts, later=self.dispatch.thread.later, rng=rng)
        self.requester = Requester(
            parts, on_sent=self._on_sent, closed=self._closed, patience=_SEND_PATIENCE if threaded else 0.0
        )
        self.objects = Objects(parts, closed=self._closed, patience=_SEND_PATIENCE if threaded else 0.0)
        self.follower = Follower(
            parts,
            routes=self.routes,
            dispatch=self.dispatch,
            responses=self.responses,
            deletions=self.deletions,
            url=url,
        )
        self.loop = PollLoop(
            f"syft-poll-{parts.me}",
            step=self._step,
            report=lambda error: parts.streams.report("polling", error),
            on_end=parts.streams.fail,
            clock=parts.clock,
        )

    # -- handles ----------------------------------------------------------------------------------------------

    def join(self, handle: object, poll_interval: float, max_poll_interval: float | None) -> None:
        """Take a handle's wishes into account, until it leaves."""
        with self._lock:
            self._wishes[handle] = PollInterval(poll_interval, max_poll_interval, self._rng)
        self.loop.hasten(poll_interval)

    def leave(self, handle: object) -> bool:
        """Forget a handle; return whether it was the last."""
        with self._lock:
            self._wishes.pop(handle, None)
            return not self._wishes

    def least_interval(self) -> float:
        """Return the shortest pause between polls (seconds) that any open handle wants while somebody waits."""
        with self._lock:
            bases = [wish.base for wish in self._wishes.values()]
        return min(bases, default=self.parts.settings.poll_interval)

    def warn_of_other_settings(self, wanted: Settings, given: Collection[str]) -> None:
        """Tell which of the settings that a further handle asked for are those of the first one."""
        own = ("poll_interval", "max_poll_interval", "message_timeout")
        mine = self.parts.settings
        ignored = [name for name in given if name not in own and getattr(wanted, name) != getattr(mine, name)]
        if ignored:
            _log.warning("%s is open already, with other settings of %s: they stay", self.parts.me, ", ".join(ignored))

    # -- polling ----------------------------------------------------------------------------------------------

    def poll_once(self) -> int:
        """Poll the feed, and wait until observers have seen what it brought; return the number of changes."""
        self.check_open()
        try:
            return self.follower.poll()
        finally:
            self.dispatch.thread.run(_PASS_ON_TIMEOUT)

    def drain(self, timeout: float | None) -> bool:
        """Poll once, and wait until all that waits for handlers here is answered; return whether that is so."""
        if self.dispatch.thread.is_here() or self.dispatch.placement.responder.handles_here():
            raise RuntimeError("drain waits for handlers and observers, so none of them can: call it on another thread")
        clock = self.parts.clock
        end = float("inf") if timeout is None else clock.monotonic() + timeout
        while True:
            try:
                with until(end):
                    self.poll_once()
                break
            except RateLimitedError as error:
                pause = pause_after(1, error)
                if clock.monotonic() + pause > end:
                    clock.wait(self._closed, max(0.0, end - clock.monotonic()))
                    return False
                clock.wait(self._closed, pause)
        left = None if timeout is None else max(0.0, end - clock.monotonic())
        is_done = self.dispatch.thread.wait_for(self.dispatch.placement.is_idle, left)
        self.deletions.finish(_DELETE_TIMEOUT)
        return is_done

    def _poll_for_caller(self) -> None:
        self.follower.poll()
        self.dispatch.thread.run(_STOP_TIMEOUT)

    def _step(self) -> float:
        self.check_open()
        self.follower.poll()
        with self._lock:
            pauses = [wish.next(active=self.is_active) for wish in self._wishes.values()]
        pause = min([*(pauses or [self.parts.settings.poll_interval]), self.parts.announced.pause()])
        stretched = self.parts.gateway.budget_delay(_POLL_UNITS)
        if stretched > pause:
            self.meter.book_wait(stretched - pause, "polls")
            limit = self.parts.settings.quota_units_per_minute
            _log.info("%s: pause stretched to %.1f s to keep to %s units a minute", self.parts.me, stretched, limit)
        return max(pause, stretched)

    @property
    def is_active(self) -> bool:
        """Whether the last poll brought messages, or work is going on, or somebody waits for an answer."""
        return self.follower.brought_messages or self.responses.is_awaited() or self.dispatch.placement.in_hand() > 0

    # -- messages ---------------------------------------------------------------------------------------------

    def send(self, requests: Sequence[Request], *, block: bool = True) -> list[str]:
        """Send requests; needs nothing of the feed. See :meth:`Requester.send`."""
        self.check_open()
        with nullcontext() if block else at_once():
            self.follower.identify()
            return self.requester.send(requests)

    def serve(self, route: Route, *, known_senders: Iterable[str] = ()) -> None:
        """Let a handler take the requests of an endpoint, or those that a pipeline hands over.

        Args:
            route: The endpoint and its handler.
            known_senders: Participants whose inboxes this account creates and shares when polling begins: a file
                in a folder of one's own is surest to show in one's feed.

        Raises:
            ConfigurationError: This engine only looks on.
            ValueError: The endpoint has a handler already.
        """
        self.check_open()
        if self.parts.observes:
            raise ConfigurationError(f"this runtime of {self.parts.me} only looks on; use DriveRuntime.open to answer")
        self.follower.want_inboxes((sender, route.app, route.endpoint) for sender in known_senders)
        route.lane = self._make_lane(
            f"{route.app}/{route.endpoint}",
            steps=self.dispatch.placement.responder,
            pool=self.parts.pool,
            threads=_shared_threads,
            later=self.dispatch.thread.later,
            capacity=max(self.parts.settings.lane_capacity, route.concurrency),
            concurrency=route.concurrency,
            on_room=lambda: self.dispatch.placement.has_room(route),
        )
        self.dispatch.placement.open_route(route)

    def disposable(self, name: str) -> Disposable:
        """Return what is thrown away together under a name."""
        self.check_open()
        return Disposable(self.parts, self.objects, on_deletion=self.deletions.run_soon, name=name)

    def withdraw(self, routes: Collection[Route]) -> None:
        """Stop handlers; waits up to a second for what they are doing. Their replies go on their way meanwhile."""
        for route in routes:
            self.dispatch.placement.close_route(route)
        deadline = self.parts.clock.monotonic() + _STOP_TIMEOUT
        for route in routes:
            if route.lane is not None:
                route.lane.stop(max(0.0, deadline - self.parts.clock.monotonic()))

    def consume(self, message: Message) -> None:
        """Note a message as handled that no handler has."""
        number = self.parts.ledger.journal.finish_by_file(message)
        if number is None:
            error = ConfigurationError("a handler has this request: it is not consumed, and will be answered")
            self.parts.streams.report("consume", error, message)

    # -- the end ----------------------------------------------------------------------------------------------

    def check_open(self) -> None:
        """Raise if the engine is closed, or another process's.

        Raises:
            RuntimeClosedError: It is.
        """
        if os.getpid() != self._pid:
            raise RuntimeClosedError(
                f"the runtime of {self.parts.me} belongs to the parent process and does not work after a fork: make "
                "new objects in the child"
            )
        if self._closed.is_set():
            raise RuntimeClosedError(f"the runtime of {self.parts.me} is closed")

    def close(self) -> None:
        """Stop everything within about a second; uploads under way get up to ten. Callable from any thread.

        What is unfinished then stays in the journal for the next process.
        """
        if os.getpid() != self._pid:  # its threads, locks and files are the parent's
            return
        with self._lock:
            if self._closed.is_set():
                return
            self._closed.set()
        self.loop.end()
        self.withdraw(self.routes.all())
        self.dispatch.placement.responder.wait_for_uploads(_UPLOAD_TIMEOUT)
        self.dispatch.placement.responder.interrupt()
        self.deletions.finish(_DELETE_TIMEOUT)
        self.parts.gateway.close()
        self.loop.join(_STOP_TIMEOUT)
        self.responses.close()
        self.resources.close()
        with suppress(RuntimeClosedError):  # what is left to do needs Drive
            self.dispatch.thread.run(_STOP_TIMEOUT)
        self.dispatch.thread.stop()
        self.dispatch.thread.join(_STOP_TIMEOUT)
        self.follower.finish()
        self.parts.streams.complete()
        _shared_threads.discharge()
        self._on_close()

    def _limited(self, error: RateLimitedError) -> None:
        self.parts.streams.limit(error)
        with suppress(SyftFlwrError):  # it only tells others
            self.parts.ledger.events.tell("paused", why=str(error))

    def _on_sent(self, futures: Sequence[Any]) -> None:
        self.responses.sent(futures)
        self.loop.hasten(self.least_interval())
