"""The one thread that polls."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from syft_flwr.errors import ConfigurationError, RateLimitedError, RuntimeClosedError, StateMismatchError
from syft_flwr.feed.schedule import pause_after
from syft_flwr.ports import Clock
from syft_flwr.printable import printable_error

_log = logging.getLogger(__name__)

_HOPELESS = (ConfigurationError, StateMismatchError)
_LONGEST_BACKOFF = 64.0


def nothing() -> None:
    """Do nothing."""


class PollLoop:
    """Calls ``step`` over and over on a thread of its own, for as long as somebody wants it.

    Args:
        name: The thread's name.
        step: Does one poll and returns the seconds to pause after it.
        report: Takes an exception of a step, and once only while it repeats; the next step comes after a growing
            pause, or when Drive asked for it.
        clock: Time.
        on_end: Takes the exception with which the loop has ended by itself.
    """

    def __init__(
        self,
        name: str,
        *,
        step: Callable[[], float],
        report: Callable[[Exception], None],
        clock: Clock,
        on_end: Callable[[Exception], None] = lambda _: None,
    ) -> None:
        self._name = name
        self._step = step
        self._report = report
        self._clock = clock
        self._on_end = on_end
        self._lock = threading.Lock()
        self._users: list[Callable[[], None]] = []
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self._stepped_at = self._until = 0.0
        self._may_be_hastened = True
        self._hastened = float("inf")
        """The least pause that was asked for since the last step began."""
        self.failure: Exception | None = None
        """Why the loop ended by itself: something that no retry can mend."""

    @property
    def is_running(self) -> bool:
        """Whether somebody wants the loop, and it has not failed."""
        with self._lock:
            return self._thread is not None and bool(self._users)

    def start(self, on_failure: Callable[[], None] = nothing) -> None:
        """Want the loop to run; every call is matched by one of :meth:`stop`.

        Args:
            on_failure: Called on the loop's thread should it end by itself; see :attr:`failure`.
        """
        with self._lock:
            self._users.append(on_failure)
            if self._thread is None:
                self.failure = None
                self._wake.clear()
                thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                thread.start()
                self._thread = thread  # only now: a signal's exception in between must not leave one to join

    def stop(self, on_failure: Callable[[], None] = nothing) -> None:
        """Stop wanting the loop; when nobody wants it, it ends with the call that it is in. Returns at once.

        Args:
            on_failure: What :meth:`start` was called with.
        """
        with self._lock:
            if on_failure in self._users:
                self._users.remove(on_failure)
            if not self._users:
                self._wake.set()

    def hasten(self, pause: float) -> None:
        """Let the present pause, from the last step on, last no longer than this (seconds), unless it is a back-off."""
        with self._lock:
            self._hastened = min(self._hastened, pause)  # a step that is under way does not know of it
            if self._may_be_hastened:
                self._until = min(self._until, self._stepped_at + pause)
                self._wake.set()

    def end(self) -> None:
        """Stop the loop for everybody; returns at once."""
        with self._lock:
            self._users.clear()
            self._wake.set()

    def join(self, timeout: float) -> None:
        """Wait for the thread, at most ``timeout`` seconds; from the loop's own thread it returns at once."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def _run(self) -> None:
        failures, limited, failing = 0, 0, ""
        while self._goes_on():
            try:
                pause = self._step()
                if failures:
                    _log.warning("%s: goes on after %d failures", self._name, failures)
                failures, limited, failing = 0, 0, ""
            except RuntimeClosedError:
                self._end()
                return
            except _HOPELESS as error:
                users = self._end(error)
                self._on_end(error)
                for on_failure in users:
                    on_failure()
                return
            except RateLimitedError as error:  # the gateway tells of limits
                limited += 1
                pause = pause_after(limited, error, longest=_LONGEST_BACKOFF)
                _log.info("%s: goes on after %.0f s: %s", self._name, pause, printable_error(error, 1_000))
            except Exception as error:  # an outage, or a defect: the feed must go on either way
                failures += 1
                pause = pause_after(failures, error, longest=_LONGEST_BACKOFF)
                if failing != (failing := printable_error(error, 1_000)):
                    _log.warning("%s: tries again after %.0f s: %s", self._name, pause, failing)
                    self._report(error)
            self._pause(pause, may_be_hastened=not failures and not limited)

    def _goes_on(self) -> bool:
        """Tell whether anybody wants another step. If not, the thread is over, and the next start makes a new one."""
        with self._lock:
            if self._users:
                self._hastened = float("inf")
                return True
            self._thread = None
            return False

    def _end(self, failure: Exception | None = None) -> list[Callable[[], None]]:
        with self._lock:
            self.failure = failure
            self._thread = None
            users, self._users = self._users, []
            return users

    def _pause(self, seconds: float, *, may_be_hastened: bool) -> None:
        with self._lock:
            self._may_be_hastened = may_be_hastened
            self._stepped_at = self._clock.monotonic()
            self._until = self._stepped_at + (min(seconds, self._hastened) if may_be_hastened else seconds)
        while self._users and (left := self._until - self._clock.monotonic()) > 0:
            if self._clock.wait(self._wake, left):
                self._wake.clear()
