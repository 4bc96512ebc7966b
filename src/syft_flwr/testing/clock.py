"""A clock that moves when a test says so."""

from __future__ import annotations

import threading
from dataclasses import dataclass

_SLICE = 0.005
"""Seconds of real time between a waiting thread's looks at the clock; an event that is set wakes it at once."""


@dataclass(eq=False, slots=True)
class _Waiter:
    event: threading.Event
    deadline: float | None


class ManualClock:
    """A :class:`~syft_flwr.ports.Clock` whose time passes only by :meth:`advance`. Thread-safe.

    Advance, then :meth:`await_waiters`, and the thread under test has done what was due and waits again::

        clock = ManualClock()
        start_a_thread_that_waits(clock)
        clock.await_waiters(1)
        clock.advance(60)
        clock.await_waiters(1)

    With ``auto=True`` nobody needs to advance it: a wait with a timeout moves the time to its end and returns at
    once. An hour of polling takes milliseconds then. Meant for one waiting thread, as each moves the time of all.
    """

    def __init__(self, start: float = 1_750_000_000.0, *, auto: bool = False) -> None:
        """Stop the clock at ``start``, in Unix seconds; its monotonic time starts at 0."""
        self._start = start
        self._auto = auto
        self._elapsed = 0.0
        self._waits: list[float | None] = []
        self._waiters: list[_Waiter] = []
        self._changed = threading.Condition()

    @property
    def waits(self) -> tuple[float | None, ...]:
        """The timeout of every wait so far, in the order in which they began; seconds."""
        with self._changed:
            return tuple(self._waits)

    def time(self) -> float:
        return self._start + self.monotonic()

    def monotonic(self) -> float:
        with self._changed:
            return self._elapsed

    def wait(self, event: threading.Event, timeout: float | None) -> bool:
        with self._changed:
            self._waits.append(timeout)
            if event.is_set() or (timeout is not None and timeout <= 0):
                return event.is_set()
            if self._auto and timeout is not None:
                self._pass(timeout)
                return event.is_set()
            waiter = _Waiter(event, None if timeout is None else self._elapsed + timeout)
            self._waiters.append(waiter)
            self._changed.notify_all()
        try:
            while not event.wait(_SLICE) and not self._is_due(waiter):
                pass
        finally:
            self._forget(waiter)
        return event.is_set()

    def advance(self, seconds: float) -> None:
        """Let time pass; the waits that it ends return.

        A thread that waits in a loop is woken once, however far the time moves: advance step by step to see it
        go round and round.

        Raises:
            ValueError: ``seconds`` is negative.
        """
        if seconds < 0:
            raise ValueError(f"time does not go back: {seconds}")
        with self._changed:
            self._pass(seconds)

    def await_waiters(self, count: int, timeout: float = 10.0) -> None:
        """Block until at least ``count`` threads wait for a time still to come.

        Args:
            count: How many.
            timeout: Seconds of real time to give them.

        Raises:
            TimeoutError: There are fewer.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._waiting() >= count, timeout):
                raise TimeoutError(f"{self._waiting()} threads wait after {timeout:g} seconds, not {count}")

    def _pass(self, seconds: float) -> None:
        self._elapsed += seconds
        # Whoever is due waits no longer, even if its thread has not noticed yet.
        self._waiters = [w for w in self._waiters if w.deadline is None or w.deadline > self._elapsed]
        self._changed.notify_all()

    def _waiting(self) -> int:
        return sum(not waiter.event.is_set() for waiter in self._waiters)

    def _is_due(self, waiter: _Waiter) -> bool:
        with self._changed:
            return waiter.deadline is not None and waiter.deadline <= self._elapsed

    def _forget(self, waiter: _Waiter) -> None:
        with self._changed:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
