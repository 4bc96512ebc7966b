"""What the commands that print a line for each thing have in common: filters, and an end."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from syft_flwr.addresses import fold_address

_GOES_ON = 600.0
"""Seconds within which the same failure at the same place is one that goes on."""


@contextmanager
def printed_once() -> Iterator[None]:
    """Keep rejections and contained errors, which are printed as events, from being logged to the terminal as well."""
    log = logging.getLogger("syft_flwr.feed.streams")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)


class Filter:
    """Which apps, endpoints and senders are wanted; of each kind all, unless some are named."""

    def __init__(
        self, apps: Collection[str] | None, endpoints: Collection[str] | None, senders: Collection[str] | None
    ) -> None:
        self._wanted = {
            "app": set(apps or ()),
            "endpoint": {endpoint.lstrip("/") for endpoint in endpoints or ()},
            "sender": {fold_address(sender) for sender in senders or ()},
        }

    def passes(self, fields: Mapping[str, Any]) -> bool:
        """Tell whether something is wanted, by its app, endpoint, and sender or claimed sender."""
        sender = fields.get("sender", fields.get("claimed_sender"))
        values = {"app": fields.get("app"), "endpoint": fields.get("endpoint"), "sender": fold_address(str(sender))}
        return all(not wanted or values[name] in wanted for name, wanted in self._wanted.items())


class Lines:
    """Writes lines, flushed at once, until there were enough. Thread-safe.

    Args:
        count: So many are enough.
        on_end: Called then, or when no more can be written.
        write: Writes one, with what ends it.
    """

    def __init__(
        self, count: int | None, on_end: Callable[[], None], write: Callable[[str], object] | None = None
    ) -> None:
        self._left = count
        self._failure: OSError | None = None
        self._on_end = on_end
        self._write = write or write_at_once
        self._lock = threading.Lock()

    def print(self, line: str) -> None:
        with self._lock:
            if self._left == 0:
                return
            try:
                self._write(line)
            except BrokenPipeError:  # "| head" has seen enough
                self._left = 0
            except OSError as error:
                self._left, self._failure = 0, error
            else:
                self._left = None if self._left is None else self._left - 1
            over = self._left == 0
        if over:
            self._on_end()

    def close(self) -> None:
        """Raise what kept a line from being written."""
        if self._failure is not None:
            raise self._failure


class Failures:
    """Knows the last failure of each place, and when it was seen."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[str, float]] = {}

    def goes_on(self, where: str, error: str, at: float) -> bool:
        """Note a failure, seen at a Unix time; tell whether it is the one that was there before."""
        before, seen_at = self._last.get(where, ("", 0.0))
        self._last[where] = error, at
        return before == error and at - seen_at < _GOES_ON


def write_at_once(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
