"""Prints a feed's events, of a live feed or of a recorded one: the lines that pass the filters."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from syft_flwr.cli.lines import Failures, Filter, Lines

if TYPE_CHECKING:
    from syft_flwr.feed.event_text import Event
    from syft_flwr.runtime import DriveRuntime


class Kind(StrEnum):
    """What a line may be about."""

    CHANGE = "change"
    REQUEST = "request"
    RESPONSE = "response"
    REPLIED = "replied"
    REJECTED = "rejected"
    ERROR = "error"


KindOption = Annotated[
    list[Kind] | None,
    typer.Option(
        "--kind", help="Only of this kind; repeat it. Mere changes show only when asked for.", case_sensitive=False
    ),
]


class EventPrinter:
    """Writes the events that pass the filters to stdout, a line each, flushed at once. Thread-safe.

    Args:
        now: Returns the Unix time of what happens.
        count: Ends after so many lines.
        on_end: Called then, or when nobody reads any more.
    """

    def __init__(
        self,
        *,
        now: Callable[[], float],
        apps: Collection[str] | None,
        endpoints: Collection[str] | None,
        senders: Collection[str] | None,
        kinds: Collection[Kind] | None,
        count: int | None,
        as_json: bool,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        self._now = now
        self._filter = Filter(apps, endpoints, senders)
        self._kinds = {str(kind) for kind in kinds or set(Kind) - {Kind.CHANGE}}
        self._as_json = as_json
        self._lines = Lines(count, on_end)
        self._failures = Failures()

    def watch(self, runtime: DriveRuntime) -> None:
        """Print what comes on a runtime's streams."""
        streams = (runtime.messages, runtime.replied, runtime.rejected, runtime.errors)
        for stream in (runtime.changes, *streams) if Kind.CHANGE in self._kinds else streams:
            stream.subscribe(self._print)

    def _print(self, event: Event) -> None:
        from syft_flwr.feed.event_text import describe, to_json

        document, now = to_json(event), self._now()
        if document["event"] not in self._kinds or not self._filter.passes(document):
            return
        time = datetime.fromtimestamp(now, UTC)
        if self._as_json:
            told = {"time": time.isoformat(timespec="milliseconds"), **document}
            self._lines.print(json.dumps(told, ensure_ascii=False))
        elif not self._goes_on(document, now):
            self._lines.print(f"{time.astimezone():%H:%M:%S} {describe(event)}")

    def _goes_on(self, document: dict[str, Any], now: float) -> bool:
        """Tell whether this is a failure that was told, and concerns no message."""
        if document["event"] != "error":
            return False
        return self._failures.goes_on(document["where"], document["error"], now) and "file_id" not in document
