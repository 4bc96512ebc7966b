"""The answers to this account's requests: noted, waited for, forgotten, aged out."""

from __future__ import annotations

import heapq
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager

from syft_flwr.drive.pacing import held, until
from syft_flwr.errors import DriveError, DriveUnavailableError, RateLimitedError, RemoteHandlerError
from syft_flwr.exchange.parts import Parts
from syft_flwr.exchange.response_bodies import Replies, ResponseBodies
from syft_flwr.feed.schedule import growing_pause, pause_after
from syft_flwr.state.futures import Future


class Responses:
    """The futures of one account as this process knows them. Thread-safe.

    Args:
        parts: The account's parts.
        poll: Polls the feed.
        polled_at: Returns when the last poll ended, on the monotonic clock.
        is_polled: Tells whether the poll loop runs.
        interval: Returns the longest pause (seconds) between polls while somebody waits.
        check_open: Raises when all is closed.
        on_deletion: Called with files of our own that became due for deletion.

    Attributes:
        bodies: What the answers say.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        poll: Callable[[], object],
        polled_at: Callable[[], float],
        is_polled: Callable[[], bool],
        interval: Callable[[], float],
        check_open: Callable[[], None],
        on_deletion: Callable[[Iterable[str]], None],
    ) -> None:
        self._parts = parts
        self._poll = poll
        self._polled_at = polled_at
        self._is_polled = is_polled
        self._interval = interval
        self._check_open = check_open
        self._on_deletion = on_deletion
        self.bodies = ResponseBodies(parts)
        self._lock = threading.Lock()
        self._polling = threading.Lock()
        self._open: dict[str, float] = {}
        """Unanswered futures that this process has heard of, and when (Unix seconds) they were sent."""
        self._by_age: list[tuple[float, str]] = []
        """The same as a heap, the youngest first; those that are answered are dropped when they come to the top."""
        self._waiters: defaultdict[str, list[_Waiter]] = defaultdict(list)

    # -- what others tell -------------------------------------------------------------------------------------

    def sent(self, futures: Iterable[Future]) -> None:
        """Note requests that are in Drive."""
        with self._lock:
            for future in futures:
                if future.future_id not in self._open:
                    self._open[future.future_id] = future.sent_at
                    heapq.heappush(self._by_age, (-future.sent_at, future.future_id))

    def resume(self) -> None:
        """Take up the futures of earlier runs."""
        self.sent(future for future in self._parts.ledger.futures.all() if future.response is None)

    def came(self, future_ids: Collection[str]) -> None:
        """Note futures that have an answer, and tell those who wait for them."""
        with self._lock:
            for future_id in future_ids:
                self._open.pop(future_id, None)
                for waiter in self._waiters.pop(future_id, ()):
                    waiter.came(future_id)

    def close(self) -> None:
        """Let everybody who waits look again: all is closed."""
        with self._lock:
            for waiters in self._waiters.values():
                for waiter in waiters:
                    waiter.news.set()

    # -- getting ----------------------------------------------------------------------------------------------

    def get(self, future_id: str) -> bytes | None:
        """Return the reply's body, or ``None`` when there is none yet; polls the feed when that is due."""
        future = self._look(future_id)
        if future is not None and future.response is None and not self._is_polled():
            self._poll_if_stale()
            future = self._look(future_id)
        return None if future is None or future.response is None else self.bodies.load(future.response)

    def answered(self, future_ids: Collection[str], timeout: float, *, enough: int | None = None) -> set[str]:
        """Wait until ``enough`` of the futures (all that are known) are answered; return those that are.

        At most ``timeout`` seconds, outages included.
        """
        with self._waiting(future_ids) as waiter:
            wanted = len(waiter.answered) + len(waiter.missing)
            deadline = self._parts.clock.monotonic() + timeout
            while len(waiter.answered) < min(wanted, wanted if enough is None else enough):
                if not self._wait(waiter, deadline):
                    break
            return set(waiter.answered)

    def wait(
        self, future_ids: Sequence[str], timeout: float, *, enough: int | None, raise_errors: bool
    ) -> dict[str, bytes]:
        """Wait as :meth:`answered` does, and return the bodies; see :meth:`DriveRuntime.wait`."""
        answered = self.answered(future_ids, timeout, enough=enough)
        wanted = list(dict.fromkeys(future_ids))
        bodies = Replies(wanted)
        failed = ""
        for future_id, body, is_error in self.bodies.several(one for one in wanted if one in answered):
            bodies[future_id] = body
            if is_error and raise_errors:
                failed = failed or future_id
        if failed:
            raise RemoteHandlerError.from_body(failed, bodies.pop(failed), others=bodies)
        return bodies

    def as_completed(
        self, future_ids: Collection[str], timeout: float, *, raise_errors: bool
    ) -> Iterator[tuple[str, bytes]]:
        """Yield futures and bodies as they come; see :meth:`DriveRuntime.as_completed`."""
        failure: RemoteHandlerError | DriveError | None = None
        for future_id in self._as_answered(future_ids, timeout):
            try:
                reply = self.bodies.one(future_id)
            except DriveError as error:
                failure = failure or error
                continue
            if reply is None:  # somebody has forgotten it meanwhile
                continue
            body, is_error = reply
            del reply
            if is_error and raise_errors:
                failure = failure or RemoteHandlerError.from_body(future_id, body)
                continue
            yield future_id, body
            del body
        if failure is not None:
            raise failure

    def _as_answered(self, future_ids: Collection[str], timeout: float) -> Iterator[str]:
        """Yield the known futures as they are answered, for ``timeout`` seconds at most."""
        with self._waiting(future_ids) as waiter:
            deadline = self._parts.clock.monotonic() + timeout
            given = 0
            while True:
                while given < len(waiter.answered):
                    yield waiter.answered[given]
                    given += 1
                over = not waiter.missing or not self._wait(waiter, deadline)
                if over and given == len(waiter.answered):
                    return

    def youngest(self) -> float | None:
        """Return when (Unix seconds) the youngest unanswered request was sent; ``None`` when there is none."""
        with self._lock:
            while self._by_age and self._by_age[0][1] not in self._open:
                heapq.heappop(self._by_age)
            return -self._by_age[0][0] if self._by_age else None

    def is_awaited(self) -> bool:
        """Tell whether somebody may be waiting: for a reply to a request that is younger than the clean-up expiry."""
        youngest = self.youngest()
        return youngest is not None and self._parts.clock.time() - youngest < self._parts.settings.cleanup_expiry

    # -- letting go -------------------------------------------------------------------------------------------

    def forget(self, future_ids: Collection[str]) -> None:
        """Drop futures and the local copies of their replies; with clean-up on, their request files go soon."""
        cleanup = self._parts.settings.cleanup
        disposables = self._parts.disposables
        dropped, due = self._parts.ledger.futures.forget(
            future_ids, deletes=lambda future: cleanup and not disposables.keep(future)
        )
        with self._lock:
            for future_id in future_ids:
                self._open.pop(future_id, None)
        for future in dropped:
            if future.response is not None:
                self.bodies.delete(future.response)
        if dropped and cleanup:
            self._on_deletion(due)

    def age(self) -> None:
        """Drop the futures whose answers came longer ago than the clean-up expiry."""
        if not self._parts.settings.cleanup:
            return
        limit = self._parts.clock.time() - self._parts.settings.cleanup_expiry
        futures = self._parts.ledger.futures.all()
        self.forget([f.future_id for f in futures if f.response is not None and f.response.came_at < limit])

    # -- inside -----------------------------------------------------------------------------------------------

    def _look(self, future_id: str) -> Future | None:
        """Read a future; an unanswered one counts as waited for from now on, whichever process sent it."""
        future = self._parts.ledger.futures.get([future_id]).get(future_id)
        if future is not None and future.response is None:
            self.sent([future])
        else:
            self.came([future_id])
        return future

    @contextmanager
    def _waiting(self, future_ids: Collection[str]) -> Iterator[_Waiter]:
        waiter = _Waiter(self._parts.clock.monotonic())
        wanted = list(dict.fromkeys(future_ids))
        waiter.missing.update(wanted)
        with self._lock:
            for future_id in wanted:
                self._waiters[future_id].append(waiter)
        try:
            self._check_ledger(waiter, wanted)
            waiter.next_check = waiter.began + self._interval()
            yield waiter
        finally:
            with self._lock:
                for future_id in waiter.missing:
                    if waiter in (waiters := self._waiters.get(future_id, [])):
                        waiters.remove(waiter)
                    if not waiters:
                        self._waiters.pop(future_id, None)

    def _check_ledger(self, waiter: _Waiter, future_ids: Sequence[str]) -> None:
        """Look for answers that another process has taken; futures that no process knows are not waited for."""
        futures = self._parts.ledger.futures.get(future_ids)
        unanswered = [f for future_id in future_ids if (f := futures.get(future_id)) and f.response is None]
        self.sent(unanswered)
        with self._lock:
            for future_id in future_ids:
                if future_id not in futures:
                    waiter.missing.discard(future_id)
        self.came([f.future_id for f in futures.values() if f.response is not None])

    def _wait(self, waiter: _Waiter, deadline: float) -> bool:
        """Wait for news, polling when that is due; ``False`` when time is up."""
        self._check_open()
        clock = self._parts.clock
        if (left := deadline - clock.monotonic()) <= 0:
            return False
        if self._is_polled():
            clock.wait(waiter.news, min(left, self._interval()))
        elif (pause := max(self._until_stale(), waiter.poll_again - clock.monotonic())) > 0:
            clock.wait(waiter.news, min(left, pause))
        else:
            self._poll_for(waiter, deadline)
        waiter.news.clear()
        now = clock.monotonic()
        if now >= waiter.next_check and waiter.missing:
            # Seldom and ever more seldom: to ask for ten thousand futures at each poll would cost more than they do.
            self._check_ledger(waiter, sorted(waiter.missing))
            waiter.next_check = now + max(self._interval(), now - waiter.began)
        return True

    def _poll_for(self, waiter: _Waiter, deadline: float) -> None:
        """Poll; an outage is waited out, since its end is likely to come before the caller's time is up."""
        try:
            with until(deadline):
                self._poll_if_stale()
            waiter.failures = 0
        except (DriveUnavailableError, RateLimitedError) as error:
            waiter.failures += 1
            if waiter.failures == 1:
                self._parts.streams.report("polling while waiting for answers", error)
            waiter.poll_again = self._parts.clock.monotonic() + pause_after(waiter.failures, error)

    def _poll_if_stale(self) -> None:
        """Poll unless somebody has done so lately.

        Lately is a quarter of the age of the youngest unanswered request, between 0.1 s and the poll interval: a
        quick answer is seen quickly, and waiting for a thousand futures costs one ``changes.list`` per interval.
        """
        with held(self._polling, self._parts.clock):
            if self._until_stale() <= 0:
                self._check_open()
                self._poll()

    def _until_stale(self) -> float:
        youngest = self.youngest()
        pause = self._interval()
        if youngest is not None:
            pause = min(growing_pause(self._parts.clock.time() - youngest), pause)
        return self._polled_at() + pause - self._parts.clock.monotonic()


class _Waiter:
    """Somebody who waits for futures, since ``began`` on the monotonic clock."""

    def __init__(self, began: float) -> None:
        self.began = began
        self.news = threading.Event()
        self.missing: set[str] = set()
        self.answered: list[str] = []
        self.next_check = 0.0
        self.poll_again = 0.0
        self.failures = 0

    def came(self, future_id: str) -> None:
        if future_id in self.missing:
            self.missing.discard(future_id)
            self.answered.append(future_id)
            self.news.set()
