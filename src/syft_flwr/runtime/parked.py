"""Rows of the journal that can't go on yet, under what they wait for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any

from syft_flwr.exchange.parts import Parts
from syft_flwr.exchange.routes import Route
from syft_flwr.feed.schedule import pause_after

_MANY = 1_000
"""Rows that may wait for one process before they are looked at again."""

Ticket = tuple[int, Route | None]
"""A row that is to be looked at, by its number, and the pipeline that it was handed over to."""

ParkKey = tuple[str, str | int | tuple[str, str] | None]
"""What a row waits for: a folder, an endpoint's handler, the end of another file's message, or of a process."""


class ParkedRows:
    """Each row is taken up by the event that it waits for, never by a look through the journal. Thread-safe.

    Args:
        parts: The account's parts.
        lock: Guards the rows; held when ``take_up`` is called.
        take_up: Has rows looked at again.
        later: Calls a function on the dispatch thread after some seconds.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        lock: AbstractContextManager[Any],
        take_up: Callable[[Iterable[Ticket]], None],
        later: Callable[[float, Callable[[], None]], None],
    ) -> None:
        self._parts = parts
        self._lock = lock
        self._take_up = take_up
        self._later = later
        self._rows: dict[ParkKey, deque[Ticket]] = {}
        self._failing: dict[str | None, int] = {}
        """Folders that Drive failed to show, and how often in a row."""

    def park(self, key: ParkKey, number: int, route: Route | None = None) -> None:
        """Let a row wait."""
        with self._lock:
            self._rows.setdefault(key, deque()).append((number, route))

    def unpark(self, key: ParkKey) -> None:
        """Take up the rows that waited for this."""
        if key in self._rows:
            with self._lock:
                self._take_up(self._rows.pop(key, ()))

    def look_around(self, *, moved: bool) -> None:
        """Take up what waited for a folder that has shown, or for a process that has died.

        When folders were ``moved``, a request may belong to another endpoint than it waits for.
        """
        for key in [key for key in list(self._rows) if moved and key[0] == "endpoint"]:
            self.unpark(key)
        for folder_id in self._parts.folders.take_news():
            self.unpark(("folder", folder_id))
        for key in [key for key in list(self._rows) if key[0] == "holder"]:
            # Of what a live process had, most is done when there is much of it: looking again drops that.
            if len(self._rows[key]) >= _MANY or not self._parts.ledger.is_alive(str(key[1])):
                self.unpark(key)

    def waiting(self, endpoint: tuple[str, str] | None) -> list[int]:
        """Return the numbers of the requests that wait for a handler, of an endpoint or of all, in order."""
        with self._lock:
            rows = [
                tickets for key, tickets in self._rows.items() if key[0] == "endpoint" and endpoint in (None, key[1])
            ]
            return sorted({number for tickets in rows for number, _ in tickets})

    def is_failing(self, folder_id: str | None) -> bool:
        """Tell whether Drive failed to show a folder lately; then it is asked again after a pause."""
        return folder_id in self._failing

    def folder_failed(self, folder_id: str | None, error: Exception) -> None:
        """Ask for a folder again after a pause, which grows; then take up what waits for it."""
        failures = self._failing[folder_id] = self._failing.get(folder_id, 0) + 1
        self._parts.streams.report("resolving a message", error)
        self._later(pause_after(failures, error), lambda: self._ask_again(folder_id))

    def _ask_again(self, folder_id: str | None) -> None:
        count = self._failing.pop(folder_id, 0)
        waiting = self._rows.get(("folder", folder_id))
        if not waiting:
            return
        try:  # one of them tells whether Drive shows the folder again
            for row in self._parts.ledger.journal.rows([waiting[0][0]]):
                self._parts.folders.locate(row.file)
        except Exception as error:
            self._failing[folder_id] = count
            self.folder_failed(folder_id, error)
            return
        self.unpark(("folder", folder_id))
