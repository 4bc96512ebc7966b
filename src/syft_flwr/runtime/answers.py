"""Wait for the answers to requests, polling the feed when nobody else does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection

from syft_flwr.exchange.requester import Requester
from syft_flwr.feed.interval import PollInterval
from syft_flwr.ports import Clock
from syft_flwr.runtime.cycle import FeedCycle

_SHORTEST_PAUSE = 0.1


class Answers:
    """The answers that this process waits for. Thread-safe.

    Args:
        requester: Knows the futures.
        cycle: Polls.
        interval: Its base is the longest pause between polls while somebody waits.
        clock: Time.
        is_polled: Tells whether the poll loop runs.
        check_open: Raises when the runtime is closed.
    """

    def __init__(
        self,
        requester: Requester,
        cycle: FeedCycle,
        interval: PollInterval,
        clock: Clock,
        *,
        is_polled: Callable[[], bool],
        check_open: Callable[[], None],
    ) -> None:
        self._requester = requester
        self._cycle = cycle
        self._interval = interval
        self._clock = clock
        self._is_polled = is_polled
        self._check_open = check_open
        self._stale = threading.Lock()
        self._waiters: set[threading.Event] = set()

    def poll_if_stale(self) -> None:
        """Poll unless the loop does, or somebody has done so lately.

        Lately is a quarter of the age of the youngest unanswered request, between 0.1 s and the poll interval: a
        quick answer is seen quickly, and waiting for a thousand futures costs one ``changes.list`` per interval.
        """
        if self._is_polled():
            return
        with self._stale:
            if self.until_stale() <= 0:
                self._check_open()
                self._cycle.poll()

    def until_stale(self) -> float:
        """Return the seconds until :meth:`poll_if_stale` would poll."""
        youngest = self._requester.youngest()
        pause = self._interval.base
        if youngest is not None:
            pause = min(max((self._clock.time() - youngest) / 4, _SHORTEST_PAUSE), pause)
        return self._cycle.polled_at + pause - self._clock.monotonic()

    def wait(self, future_ids: Collection[str], timeout: float, *, enough: int) -> set[str]:
        """Wait until ``enough`` of the futures are answered, at most ``timeout`` seconds; return those that are."""
        deadline = self._clock.monotonic() + timeout
        news = threading.Event()
        self._waiters.add(news)
        try:
            answered = self._requester.answered(future_ids)
            while (left := deadline - self._clock.monotonic()) > 0 and len(answered) < enough:
                self._check_open()
                if self._is_polled():
                    heard = self._clock.wait(news, min(left, self._interval.base))
                elif (pause := self.until_stale()) > 0:
                    heard = self._clock.wait(news, min(left, pause))
                else:
                    self.poll_if_stale()
                    heard = False
                news.clear()
                missing = [future_id for future_id in future_ids if future_id not in answered]
                # The ledger knows what other processes took as well, but to ask it about a thousand futures with every
                # answer that comes in would cost more than the answers.
                answered |= self._requester.heard_of(missing) if heard else self._requester.answered(missing)
            return answered
        finally:
            self._waiters.discard(news)

    def came(self, future_id: str) -> None:
        """Note an answer, and tell those who wait."""
        self._requester.note_answer(future_id)
        self.wake()

    def wake(self) -> None:
        """Let everybody who waits look again: there is news, or the runtime is closed."""
        for news in list(self._waiters):
            news.set()
