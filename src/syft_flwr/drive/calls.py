"""The way every call to Drive takes: quota budget, write pacing, attempts and retries, the meter."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

from syft_flwr.drive.budget import GOOGLE_PER_MINUTE, AccountBudget, Wait
from syft_flwr.drive.mapping import was_sent
from syft_flwr.drive.pacing import WritePacer, deadline, longest_turn, next_delay, should_retry
from syft_flwr.drive.quota import QuotaMeter, units_of
from syft_flwr.drive.session import DriveSession
from syft_flwr.drive.transport import Sink
from syft_flwr.errors import DriveError, DriveUnavailableError, RateLimitedError, RuntimeClosedError
from syft_flwr.ports import Clock
from syft_flwr.printable import printable_error

T = TypeVar("T")

_log = logging.getLogger(__name__)

_RESTING = frozenset({"changes.getStartPageToken", "changes.list", "files.list"})
"""What polls and sweeps call: of a budget they leave a reserve to messages."""
_BUDGET = "budget"
"""The reason of errors that are this account's own limit, not Drive's."""
_WRITES = frozenset({"files.create", "files.update", "files.delete", "files.copy", "permissions.create"})
_CALM = 300.0
"""Seconds without a limit after which the next one is news again."""


class Attempt:
    """One attempt at a call, in the shape of the ``http`` object that the Google client executes requests with."""

    __slots__ = ("_method", "_session", "bytes_down", "bytes_up", "requests")

    def __init__(self, session: DriveSession, method: str) -> None:
        self._session = session
        self._method = method
        self.requests = 0
        self.bytes_up = 0
        self.bytes_down = 0

    def request(
        self,
        uri: str,
        method: str = "GET",
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        sink: Sink | None = None,
        accept: Collection[int] = (),
    ) -> tuple[Any, bytes]:
        """Send one request; see :meth:`DriveSession.request`."""
        self.requests += 1
        self.bytes_up += len(body or b"")
        response, content = self._session.request(self._method, uri, method, body, headers, sink=sink, accept=accept)
        self.bytes_down += len(content)
        return response, content


class CallGovernor:
    """Runs calls within the quota budget and the write rate, retries what may be retried, and books every attempt.

    Thread-safe. Every wait ends when ``stopped`` is set, with :class:`RuntimeClosedError`. ``patience`` bounds the
    seconds that the pauses between the attempts at one call take together.
    """

    def __init__(
        self,
        session: DriveSession,
        *,
        meter: QuotaMeter,
        budget: AccountBudget | None,
        clock: Clock,
        stopped: threading.Event,
        rng: random.Random,
        patience: float,
    ) -> None:
        self._patience = patience
        self._session = session
        self._meter = meter
        self._budget = budget
        self._limited_until: dict[str, float] = {}
        """For the budget and for Drive, when the last call that was held up by it may go on (monotonic seconds)."""
        self.tell: Callable[[RateLimitedError], None] = lambda _: None
        """Takes the first error of a time in which calls are held up."""
        self._clock = clock
        self._stopped = stopped
        self._rng = rng
        self._pacer = WritePacer(clock, stopped)

    def run(self, method: str, work: Callable[[Attempt], T], *, patient: bool = True) -> T:
        """Return what ``work`` returns; it is called anew for each attempt, and once only unless ``patient``.

        An answer that ``work`` can't read, such as a portal's login page, counts as no answer.

        Raises:
            DriveError: The last attempt's error, if no further attempt is due.
            RuntimeClosedError: All is being stopped.
        """
        waited, number = 0.0, 1
        while True:
            try:
                return self._attempt(method, work, retried=number > 1)
            except DriveError as error:
                delay = next_delay(error, number, self._rng)
                waited += delay
                if isinstance(error, RateLimitedError) and error.reason != _BUDGET:
                    self._tell_of_limit("drive", delay, f"Drive throttles the account: {error}", error)
                in_time = self._clock.monotonic() + delay <= deadline()
                is_patient = patient and in_time and waited <= self._patience
                if not is_patient or error.reason == _BUDGET or not should_retry(error, number):
                    raise
                _log.info("%s: attempt %d failed, trying again after %.1f s: %s", method, number, delay, error)
            self._pause(delay)
            number += 1

    def budget_delay(self, units: int) -> float:
        """Return the seconds that a call of so many units would have to wait for the budget now."""
        if self._budget is None:
            return 0.0
        wait = self._budget.delay(units, clock=self._clock, ahead=self._session.ahead)
        if wait.seconds > 0 and wait.reason != "polls":
            self._tell_of_limit(_BUDGET, wait.seconds, self._words(wait), self._exceeded("polls", wait))
        return wait.seconds

    def _attempt(self, method: str, work: Callable[[Attempt], T], *, retried: bool) -> T:
        self._wait_for_budget(method)
        if method in _WRITES and self._pacer.wait():
            raise RuntimeClosedError(f"{method}: closed while waiting for the write rate")
        attempt = Attempt(self._session, method)
        try:
            return work(attempt)
        except RateLimitedError:
            self._meter.book_throttle()
            if method in _WRITES:
                self._pacer.throttled()
            raise
        except DriveUnavailableError as error:
            if self._budget is not None and not was_sent(error):
                units, ahead = units_of(method), self._session.ahead
                self._budget.give_back(units, clock=self._clock, ahead=ahead, method=method)
            raise
        # The client library hands over an answer that is not JSON as text, hence the AttributeError.
        except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
            text = f"{method}: the answer is not one of Drive's: {printable_error(error)}"
            raise DriveUnavailableError(text) from error
        finally:
            self._meter.book(method, retried=retried, bytes_up=attempt.bytes_up, bytes_down=attempt.bytes_down)
            for _ in range(attempt.requests - 1):
                self._meter.book(method, retried=True)

    def _wait_for_budget(self, method: str) -> None:
        """Book a call; a wait that is longer than the patience, and no turn's, is the caller's to keep.

        Raises:
            RateLimitedError: The budget has no room; ``retry_after`` tells for how long.
        """
        if self._budget is None:
            return
        waited = 0.0
        while True:
            wait = self._budget.reserve(
                units_of(method),
                resting=method in _RESTING,
                clock=self._clock,
                ahead=self._session.ahead,
                method=method,
            )
            if wait.seconds == 0:
                return
            error = self._exceeded(method, wait)
            if deadline() < self._clock.monotonic():
                raise error
            if wait.reason != "polls":  # those are meant to be slower
                self._tell_of_limit(_BUDGET, wait.seconds, self._words(wait), error)
            self._meter.book_wait(wait.seconds, wait.reason)
            waited += wait.seconds
            if waited > max(self._patience, longest_turn()) or self._clock.monotonic() + wait.seconds > deadline():
                raise error
            self._pause(wait.seconds)

    def _exceeded(self, method: str, wait: Wait) -> RateLimitedError:
        return RateLimitedError(f"{method}: {self._words(wait)}", reason=_BUDGET, retry_after=wait.seconds)

    def _words(self, wait: Wait) -> str:
        assert self._budget is not None  # noqa: S101 - the caller has looked
        per_minute, per_day = self._budget.limits()
        minute = f"{per_minute or GOOGLE_PER_MINUTE:,} quota units a minute"
        if wait.reason == "day":
            why = f"the account's {per_day:,} quota units a day are spent until midnight Pacific time"
        elif wait.reason == "polls":
            why = f"polls leave a third of the account's {minute} to messages"
        else:
            why = f"{'the account' if per_minute else 'Google'}'s {minute} are spent"
        return f"{why}; there is room in {wait.seconds:.0f} s (syft-flwr quota tells on what they went)"

    def _tell_of_limit(self, whose: str, seconds: float, words: str, error: RateLimitedError) -> None:
        """Say that calls are held up, once for a time in which they are again and again."""
        now = self._clock.monotonic()
        is_news = now > self._limited_until.get(whose, float("-inf")) + _CALM
        self._limited_until[whose] = max(now + seconds, self._limited_until.get(whose, now))
        if is_news:
            _log.warning("calls to Drive wait, now for %.0f s: %s", seconds, words)
            self.tell(error)

    def _pause(self, seconds: float) -> None:
        if self._clock.wait(self._stopped, seconds):
            raise RuntimeClosedError("closed while waiting to call Drive")
