"""Which moves of the start token this process has caused: its own writes are no news to it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from syft_flwr.errors import DriveError

_log = logging.getLogger(__name__)

_SURE = 15.0
"""Seconds for which a token that has moved by as many as there were writes needs no list."""
_LIKELY = 1.0
"""Likewise for one that has moved otherwise, in so short a time that hardly anything else can have come."""
_REST = 10.0
"""Likewise for one that has moved for an awaited message, which was found by its ID, and maybe for others."""
_SHORT = 0.5
"""Seconds, for that, from the first write to the last."""


class Wrote(Protocol):
    """Notes files that were written."""

    def __call__(self, files: int = 1) -> None: ...


class OwnWrites:
    """Compares the start token before and after writes of this process. Thread-safe.

    Where the token has moved by as many as there were writes, nothing else is new, and no list is needed. Where it has
    moved in another way, since Drive counts otherwise or a message came just then, the list waits a second: as a rule
    the next message has come by then, and one list serves for both. Messages that were announced and found by their IDs
    (:mod:`syft_flwr.exchange.announced`) let it wait longer. Where something came before the writes, a list is due
    in any case, and the token is not asked for until then.

    Args:
        peek: Asks for the start token.
        now: Returns the monotonic time in seconds.
    """

    def __init__(self, peek: Callable[[], str], now: Callable[[], float]) -> None:
        self._peek = peek
        self._now = now
        self._lock = threading.Lock()
        self._read: str | None = None
        self._list_at = float("inf")
        """When to list what came beside awaited messages."""
        self._explained: tuple[str, float] = ("", 0.0)
        self._before: str | None = None
        self._began = 0.0
        self._under_way = self._count = 0
        self._is_behind = False
        """Whether there is something to be listed that these writes have not caused."""

    def read_up_to(self, token: str | None) -> None:
        """Note up to where the feed has been read; ``None`` when start tokens tell nothing."""
        with self._lock:
            self._read = token
            self._is_behind = False
            self._list_at = float("inf")

    def explain(self, start_token: str) -> bool:
        """Tell whether the feed has nothing behind what was read but this process's own writes."""
        with self._lock:
            token, until = self._explained
            return start_token == token and self._now() < until

    def explain_partly(self, start_token: str) -> bool:
        """Note that an awaited message is among what is new; tell whether a list for the rest can wait."""
        with self._lock:
            now = self._now()
            self._list_at = min(self._list_at, now + _REST)
            if now >= self._list_at:
                return False
            self._explained = start_token, self._list_at
            self._is_behind = False
            return True

    @contextmanager
    def writing(self) -> Iterator[Wrote]:
        """Frame writes that change one entry of the feed each; call what it gives after each that succeeded."""
        with self._lock:
            self._under_way += 1
            begins = self._under_way == 1
            if begins:
                self._before, self._count = None, 0
        before = self._ask() if begins else None
        if before is not None:
            self._begin(before)
        try:
            yield self._wrote
        finally:
            with self._lock:
                self._under_way -= 1
                ends = self._under_way == 0 and self._before is not None and self._count > 0
            if ends and (after := self._ask()) is not None:
                self._compare(after)

    def _wrote(self, files: int = 1) -> None:
        with self._lock:
            self._count += files

    def _ask(self) -> str | None:
        with self._lock:
            if self._read is None or self._is_behind:
                return None
        try:
            return self._peek()
        except DriveError as error:
            _log.debug("no start token beside a write: %s", error)
            return None

    def _begin(self, before: str) -> None:
        with self._lock:
            token, until = self._explained
            self._is_behind = before != self._read and not (before == token and self._now() < until)
            if not self._is_behind:
                self._before, self._began = before, self._now()

    def _compare(self, after: str) -> None:
        with self._lock:
            if self._under_way or after == self._before:
                return
            if _distance(self._before or "", after) == self._count:
                self._explained = after, self._now() + _SURE
            elif self._now() - self._began <= _SHORT:
                rest = self._list_at if self._list_at < float("inf") else 0.0
                self._explained = after, max(self._now() + _LIKELY, rest)


def _distance(before: str, after: str) -> int | None:
    if not (before.isascii() and before.isdigit() and after.isascii() and after.isdigit()):
        return None
    return int(after) - int(before)
