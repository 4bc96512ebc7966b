"""Prints a feed's events, of a live feed or of a recorded one: the lines that pass the filters."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from syft_flwr.wire import fold_address

if TYPE_CHECKING:
    from syft_flwr.feed.event_text import Event
    from syft_flwr.runtime import DriveRuntime


_GOES_ON = 600.0
"""Seconds within which the same failure at the same place is one that goes on."""


class Kind(StrEnum):
    """What a line may be about."""

    CHANGE = "change"
    REQUEST = "request"
    RESPONSE = "response"
    REPLIED = "replied"
    REJECTED = "rejected"
    ERROR = "error"


AppOption = Annotated[list[str] | None, typer.Option("--app", help="Only of this app; repeat it.")]
EndpointOption = Annotated[list[str] | None, typer.Option("--endpoint", help="Only of this endpoint; repeat it.")]
SenderOption = Annotated[list[str] | None, typer.Option("--sender", help="Only from this sender; repeat it.")]
KindOption = Annotated[
    list[Kind] | None,
    typer.Option(
        "--kind", help="Only of this kind; repeat it. Mere changes show only when asked for.", case_sensitive=False
    ),
]
CountOption = Annotated[int | None, typer.Option(min=1, help="End after so many lines.")]
JsonOption = Annotated[bool, typer.Option("--json", help="A JSON object a line.")]


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
        self._wanted = {
            "app": set(apps or ()),
            "endpoint": {endpoint.lstrip("/") for endpoint in endpoints or ()},
            "sender": {fold_address(sender) for sender in senders or ()},
        }
        self._kinds = {str(kind) for kind in kinds or set(Kind) - {Kind.CHANGE}}
        self._left = count
        self._as_json = as_json
        self._on_end = on_end
        self._lock = threading.Lock()
        self._told: dict[str, tuple[str, float]] = {}
        """By where it happened, the last failure, and when it was seen."""

    def watch(self, runtime: DriveRuntime) -> None:
        """Print what comes on a runtime's streams."""
        streams = (runtime.messages, runtime.replied, runtime.rejected, runtime.errors)
        for stream in (runtime.changes, *streams) if Kind.CHANGE in self._kinds else streams:
            stream.subscribe(self._print)

    def _print(self, event: Event) -> None:
        from syft_flwr.feed.event_text import describe, to_json

        document = to_json(event)
        if document["event"] not in self._kinds or not self._passes(document):
            return
        if not self._as_json and self._is_told(document):
            return
        time = datetime.fromtimestamp(self._now(), UTC)
        if self._as_json:
            line = json.dumps({"time": time.isoformat(timespec="milliseconds"), **document}, ensure_ascii=False)
        else:
            line = f"{time.astimezone():%H:%M:%S} {describe(event)}"
        with self._lock:
            if self._left == 0:
                return
            try:
                sys.stdout.write(f"{line}\n")
                sys.stdout.flush()
            except BrokenPipeError:  # "| head" has seen enough
                self._left = 0
            else:
                self._left = None if self._left is None else self._left - 1
            over = self._left == 0
        if over:
            self._on_end()

    def _is_told(self, document: dict[str, object]) -> bool:
        """Tell whether this is a failure that goes on."""
        if document["event"] != "error":
            return False
        where, failure, now = str(document["where"]), str(document["error"]), self._now()
        before, seen_at = self._told.get(where, ("", 0.0))
        self._told[where] = failure, now
        return before == failure and now - seen_at < _GOES_ON and "file_id" not in document

    def _passes(self, document: dict[str, object]) -> bool:
        sender = document.get("sender", document.get("claimed_sender"))
        values = {"app": document.get("app"), "endpoint": document.get("endpoint"), "sender": fold_address(str(sender))}
        return all(not wanted or values[name] in wanted for name, wanted in self._wanted.items())
