"""Times in which Drive can't be reached from here: waited out, and told with one line each when they begin and end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from typing import TypeVar

from syft_flwr.errors import DriveError, DriveUnavailableError, RateLimitedError
from syft_flwr.flower.journal import RunJournal
from syft_flwr.flower.progress import Progress
from syft_flwr.flower.transport import Disposable, Rpc
from syft_flwr.ports import Clock

T = TypeVar("T")

_PAUSE = 5.0  # seconds between attempts; each has retries of its own


class Outages:
    """Tells ``outage`` (reason) and ``outage_over`` (seconds). Thread-safe."""

    def __init__(self, progress: Progress, clock: Clock) -> None:
        self._progress = progress
        self._clock = clock
        self._lock = threading.Lock()
        self._since: float | None = None

    def attempt(self, call: Callable[[], T], otherwise: T) -> T:
        """Return what a call to Drive returns, or ``otherwise`` when Drive can't be reached."""
        try:
            result = call()
        except (DriveUnavailableError, RateLimitedError) as error:
            self.began(error)
            return otherwise
        except DriveError:
            self.ended()  # it answers
            raise
        self.ended()
        return result

    def began(self, error: DriveError) -> bool:
        """Note that Drive can't be reached; return whether that is news."""
        with self._lock:
            if self._since is not None:
                return False
            self._since = self._clock.monotonic()
        self._progress("outage", reason=str(error))
        return True

    @property
    def is_on(self) -> bool:
        """Whether there is an outage as far as is known."""
        return self._since is not None

    def ended(self) -> None:
        with self._lock:
            since, self._since = self._since, None
        if since is not None:
            self._progress("outage_over", seconds=self._clock.monotonic() - since)


class PatientRpc:
    """A transport that waits outages out: what can't be asked at the moment has no answer yet."""

    def __init__(self, rpc: Rpc, progress: Progress, journal: RunJournal | None = None) -> None:
        """Take a transport, and what is to know which requests are in Drive."""
        self.clock = rpc.clock
        self._rpc = rpc
        self._journal = journal
        self._outages = Outages(progress, rpc.clock)
        self._closing = threading.Event()

    @property
    def is_down(self) -> bool:
        """Whether Drive could not be reached the last time."""
        return self._outages.is_on

    def interrupt(self) -> None:
        """Make sends that wait for Drive fail; later ones wait again."""
        interrupted, self._closing = self._closing, threading.Event()
        interrupted.set()

    def close(self) -> None:
        """Make all sends fail instead of waiting for Drive."""
        self._closing.set()

    def send(
        self, to_email: str, app_name: str, endpoint: str, body: bytes, until: float, *, disposable: str = ""
    ) -> str:
        """Send a request; try again until ``until`` (Unix seconds, by the transport's clock).

        Raises:
            DriveError: Drive refused, or could not be reached so long.
        """
        interrupted = self._closing
        while True:
            try:
                future_id = self._rpc.send(to_email, app_name, endpoint, body, disposable=disposable)
            except (DriveUnavailableError, RateLimitedError) as error:
                self._outages.began(error)
                pause = max(_PAUSE, error.retry_after or 0.0)
                if interrupted.is_set() or self.clock.time() + pause > until:
                    raise
                self.clock.wait(interrupted, pause)
            else:
                self._outages.ended()
                if self._journal is not None:
                    self._journal.sent(future_id)
                return future_id

    def get_response(self, future_id: str) -> bytes | None:
        """Return the reply's body; ``None`` when it is not there, or can't be fetched at the moment.

        Raises:
            DriveError: It can't be had at all; others may well be.
        """
        return self._outages.attempt(lambda: self._rpc.get_response(future_id), None)

    def answered(self, future_ids: Collection[str], timeout: float) -> set[str]:
        end = self.clock.monotonic() + timeout
        none: set[str] = set()
        answered = self._outages.attempt(lambda: self._rpc.answered(future_ids, timeout), none)
        if answered is none:
            self.clock.wait(self._closing, max(0.0, min(_PAUSE, end - self.clock.monotonic())))
        return answered

    def delete_future(self, future_id: str) -> None:
        self._rpc.delete_future(future_id)
        if self._journal is not None:
            self._journal.gone(future_id)

    def disposable(self, name: str) -> Disposable:
        return self._rpc.disposable(name)
