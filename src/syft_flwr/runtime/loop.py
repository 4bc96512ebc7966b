"""The one thread that polls."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from syft_flwr.errors import ConfigurationError, RuntimeClosedError, StateError
from syft_flwr.ports import Clock

_log = logging.getLogger(__name__)

_HOPELESS = (ConfigurationError, StateError)
_LONGEST_BACKOFF = 64.0


class PollLoop:
    """Calls ``step`` over and over on a thread of its own, for as long as somebody wants it.

    Args:
        name: The thread's name.
        step: Does one poll and returns the seconds to pause after it.
        dispatch: Does what needs no poll; called whenever :meth:`wake` interrupts a pause.
        report: Takes an exception of a step; the next step comes after a growing pause.
        clock: Time.
    """

    def __init__(
        self,
        name: str,
        *,
        step: Callable[[], float],
        dispatch: Callable[[], None],
        report: Callable[[Exception], None],
        clock: Clock,
    ) -> None:
        self._name = name
        self._step = step
        self._dispatch = dispatch
        self._report = report
        self._clock = clock
        self._lock = threading.Lock()
        self._users = 0
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self.failure: Exception | None = None
        """Why the loop ended by itself: something that no retry can mend."""

    @property
    def is_running(self) -> bool:
        with self._lock:
            return self._thread is not None and self._thread.is_alive() and not self._stopping.is_set()

    def start(self, on_failure: Callable[[], None] = lambda: None) -> None:
        """Want the loop to run; every call is matched by one of :meth:`stop`.

        Args:
            on_failure: Called on the loop's thread should it end by itself; see :attr:`failure`.
        """
        with self._lock:
            self._users += 1
            if self._thread is None or not self._thread.is_alive():
                self.failure = None
                self._stopping = threading.Event()
                self._wake.clear()
                self._thread = threading.Thread(
                    target=self._run, args=(self._stopping, on_failure), name=self._name, daemon=True
                )
                self._thread.start()

    def stop(self) -> None:
        """Stop wanting the loop; when nobody wants it, it ends with the call that it is in."""
        with self._lock:
            self._users = max(0, self._users - 1)
            if self._users == 0:
                self._stopping.set()
                self._wake.set()

    def wake(self) -> None:
        """Interrupt the pause for a dispatch; Drive is not polled earlier for it."""
        self._wake.set()

    def join(self, timeout: float) -> None:
        """Wait for the thread, at most ``timeout`` seconds; from the loop's own thread it returns at once."""
        with self._lock:
            self._users = 0
            self._stopping.set()
            self._wake.set()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def _run(self, stopping: threading.Event, on_failure: Callable[[], None]) -> None:
        failures = 0
        while not stopping.is_set():
            try:
                pause = self._step()
                failures = 0
            except RuntimeClosedError:
                return
            except _HOPELESS as error:
                self.failure = error
                on_failure()
                return
            except Exception as error:  # an outage, or a defect: the feed must go on either way
                self._report(error)
                pause = min(2.0**failures, _LONGEST_BACKOFF)
                failures += 1
            self._pause(stopping, pause)

    def _pause(self, stopping: threading.Event, seconds: float) -> None:
        until = self._clock.monotonic() + seconds
        while not stopping.is_set() and (left := until - self._clock.monotonic()) > 0:
            if self._clock.wait(self._wake, left) and not stopping.is_set():
                self._wake.clear()
                try:
                    self._dispatch()
                except RuntimeClosedError:
                    return
                except Exception as error:  # as above
                    self._report(error)
