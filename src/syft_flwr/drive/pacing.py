"""When to call again: which failures to retry, how long to wait, and how fast to write.

The rules are Drive's own: https://developers.google.com/workspace/drive/api/guides/handle-errors. All times are
seconds.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from syft_flwr.drive.mapping import TIMED_OUT
from syft_flwr.errors import DamagedDownloadError, DriveError, DriveUnavailableError, ListingError, RateLimitedError
from syft_flwr.ports import Clock

MAX_ATTEMPTS = 8
MAX_DELAY = 64.0
LONGEST_RETRY_AFTER = 120.0
LONGEST_TURN = 61.0
"""Seconds after which a minute's units have all come back."""

_HUNG_ATTEMPTS = 2
"""Attempts at a call that hangs until its time-out."""
_RATE_LIMIT_BASE = 1.0
_UNAVAILABLE_BASE = 0.25


class Lockable(Protocol):
    """A lock of the standard library's, of either kind."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool: ...
    def release(self) -> None: ...


_deadline: ContextVar[float] = ContextVar("deadline", default=float("inf"))
_turn: ContextVar[float] = ContextVar("turn", default=0.0)


def deadline() -> float:
    """Return until when (monotonic seconds) calls to Drive may pause, here and now."""
    return _deadline.get()


@contextmanager
def until(end: float) -> Iterator[None]:
    """Let calls within the block, in its context, fail instead of pausing beyond ``end``: for a limit, or to repeat."""
    token = _deadline.set(min(end, _deadline.get()))
    try:
        yield
    finally:
        _deadline.reset(token)


@contextmanager
def at_once() -> Iterator[None]:
    """Let calls within the block fail instead of pausing."""
    with until(float("-inf")):
        yield


@contextmanager
def held(lock: Lockable, clock: Clock) -> Iterator[None]:
    """Hold a lock that other threads hold over calls to Drive, but don't wait for it beyond the deadline.

    Raises:
        RateLimitedError: It is not to be had by then.
    """
    left = deadline() - clock.monotonic()
    if not lock.acquire(timeout=max(0.0, min(left, threading.TIMEOUT_MAX))):
        raise RateLimitedError("another thread of this process is asking Drive, and not done in time: ask again later")
    try:
        yield
    finally:
        lock.release()


def longest_turn() -> float:
    """Return for how many seconds a call may wait for its turn at the budget, here and now, whatever its patience."""
    return _turn.get()


@contextmanager
def in_turn() -> Iterator[None]:
    """Let each call within the block wait for its turn at the budget, for a minute at most.

    For calls that are worth nothing without those after them: to fail and begin anew would spend the next turn on the
    first of them, over and over.
    """
    token = _turn.set(LONGEST_TURN)
    try:
        yield
    finally:
        _turn.reset(token)


def should_retry(error: BaseException, attempt: int) -> bool:
    """Decide whether a call that failed is worth another attempt.

    Only rate limits, 5xx and broken connections are. A wait that Drive asks for and that is longer than
    :data:`LONGEST_RETRY_AFTER` is the caller's to keep, not this call's.

    Args:
        error: What the last attempt raised.
        attempt: How many attempts were made, 1 or more.
    """
    if attempt >= MAX_ATTEMPTS or not isinstance(error, RateLimitedError | DriveUnavailableError):
        return False
    if isinstance(error, DamagedDownloadError | ListingError):  # as likely as not it is the same the next moment
        return False
    if error.reason == TIMED_OUT and attempt >= _HUNG_ATTEMPTS:
        return False
    return error.retry_after is None or error.retry_after <= LONGEST_RETRY_AFTER


def next_delay(error: BaseException, attempt: int, rng: random.Random) -> float:
    """Return the seconds to wait before the next attempt: doubling, jittered, and never less than Drive asked for.

    Args:
        error: What the last attempt raised.
        attempt: How many attempts were made, 1 or more.
        rng: Source of the jitter, which keeps clients that failed together from returning together.
    """
    base = _RATE_LIMIT_BASE if isinstance(error, RateLimitedError) else _UNAVAILABLE_BASE
    backoff = min(MAX_DELAY, base * 2.0 ** (attempt - 1)) * rng.uniform(0.5, 1.0)
    asked = error.retry_after if isinstance(error, DriveError) else None
    return max(backoff, asked or 0.0)


class WriteRate:
    """How fast writes may go: unpaced until Drive objects, then a token bucket whose rate follows the objections.

    Drive takes bursts, but throttles an account that writes more than about 3 files a second for long
    (https://github.com/rclone/rclone/issues/7384). An objection halves the rate, down to :data:`FLOOR`; calm
    raises it by 1 a second every :data:`CALM` seconds, until pacing ends. Pure: the caller owns clock and lock.
    """

    BURST = 100.0
    FLOOR = 3.0
    START = 12.0
    CEILING = 48.0
    CALM = 10.0
    REACTION = 2.0
    """Objections within this time of the last one are answers to the same burst."""

    def __init__(self) -> None:
        self.rate: float | None = None
        self._tokens = 0.0
        self._updated = 0.0
        self._objected = 0.0
        self._raised = 0.0

    def delay(self, now: float) -> float:
        """Take one token and return the seconds to wait before the write that it stands for."""
        self._advance(now)
        if self.rate is None:
            return 0.0
        self._tokens -= 1.0
        return max(0.0, -self._tokens / self.rate)

    def throttled(self, now: float) -> None:
        """Slow down: Drive refused a write."""
        self._advance(now)
        if self.rate is None:
            self.rate = self.START
        elif now - self._objected >= self.REACTION:
            self.rate = max(self.FLOOR, self.rate / 2)
        else:
            return
        self._tokens = min(self._tokens, 0.0)
        self._objected = self._raised = self._updated = now

    def _advance(self, now: float) -> None:
        if self.rate is None:
            return
        self._tokens = min(self.BURST, self._tokens + (now - self._updated) * self.rate)
        self._updated = now
        steps = int((now - self._raised) / self.CALM)
        self._raised += steps * self.CALM
        self.rate += steps
        if self.rate > self.CEILING:
            self.rate, self._tokens = None, 0.0


class WritePacer:
    """Holds writes back as :class:`WriteRate` says. Thread-safe; writers get their turns in the order of asking."""

    def __init__(self, clock: Clock, stopped: threading.Event) -> None:
        self._clock = clock
        self._stopped = stopped
        self._lock = threading.Lock()
        self._rate = WriteRate()

    @property
    def rate(self) -> float | None:
        """Writes a second, or ``None`` while unpaced."""
        return self._rate.rate

    def wait(self) -> bool:
        """Wait for one write's turn; return whether the wait was broken off because all is being stopped."""
        with self._lock:
            delay = self._rate.delay(self._clock.monotonic())
        return delay > 0 and self._clock.wait(self._stopped, delay)

    def throttled(self) -> None:
        """Slow down: Drive refused a write."""
        with self._lock:
            self._rate.throttled(self._clock.monotonic())
