"""Which moves of the start token this process has caused: its own writes are no news to it."""

from __future__ import annotations

import threading
from collections.abc import Callable

_SURE = 15.0
"""Seconds after the first write until a list is due in any case: something else may have moved the token as far."""
_BRIEF = 2.0
"""Seconds for which one that is under way may be there already: no message has to wait for a long one."""
_REST = 10.0
"""Seconds until a list is due after an awaited message, which was found by its ID: beside it there may be others."""


class OwnWrites:
    """Counts the writes of this process since the feed was read, as the gateway's tap tells of them. Thread-safe.

    Where the start token has moved by as many, nothing else is new, and no list is needed. Where it has moved in
    another way, since something came or Drive counts otherwise, a list is due. Messages that were announced and found
    by their IDs (:mod:`syft_flwr.exchange.announced`) let it wait.

    Args:
        now: Returns the monotonic time in seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._read: str | None = None
        self._count = self._under_way = 0
        self._under_way_since = 0.0
        self._is_exact = True
        """Whether all that was counted came after the feed was read."""
        self._list_at = float("inf")

    def read_up_to(self, token: str | None) -> None:
        """Note up to where the feed has been read; ``None`` when start tokens tell nothing."""
        with self._lock:
            self._list_at = float("inf")
            self._begin(token)

    def explain(self, start_token: str) -> bool:
        """Tell whether the feed has nothing behind what was read but this process's own writes.

        What is being written may be there already; should it be another's, the next look tells.
        """
        with self._lock:
            if self._read is None or self._now() >= self._list_at:
                return False
            under_way = self._under_way if self._now() < self._under_way_since + _BRIEF else 0
            moved = _distance(self._read, start_token)
            return moved is not None and self._is_exact and 0 <= moved - self._count <= under_way

    def explain_partly(self, start_token: str, found: int, *, others_may_be_new: bool) -> bool:
        """Note that awaited messages are among what is new; tell whether a list for the rest can wait.

        Args:
            start_token: Up to where the feed goes.
            found: How many messages there are.
            others_may_be_new: Whether the rest may have messages of peers who were waited for. It can wait then only if
                there is none.
        """
        with self._lock:
            now = self._now()
            self._list_at = min(self._list_at, now + _REST)
            if self._read is None or now >= self._list_at:
                return False
            moved = _distance(self._read, start_token)
            is_all = moved is not None and self._is_exact and moved - self._count <= found
            if others_may_be_new and not is_all:
                return False
            self._begin(start_token)
            return True

    def begins(self) -> None:
        """Note that a write is under way that changes one entry of the feed."""
        with self._lock:
            if self._under_way == 0:
                self._under_way_since = self._now()
            self._under_way += 1

    def ended(self, *, wrote: bool) -> None:
        """Note that it is over, and whether it has changed anything."""
        with self._lock:
            self._under_way -= 1
            if wrote:
                self._count += 1
                self._list_at = min(self._list_at, self._now() + _SURE)

    def _begin(self, token: str | None) -> None:
        self._read, self._count = token, 0
        self._is_exact = self._under_way == 0


def _distance(before: str, after: str) -> int | None:
    if before == after:
        return 0
    if not (before.isascii() and before.isdigit() and after.isascii() and after.isdigit()):
        return None
    return int(after) - int(before)
