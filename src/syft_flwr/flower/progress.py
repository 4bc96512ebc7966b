"""Progress: what happens in a run, as named events with plain JSON values.

The command line prints them, writes them as JSON Lines, or (``simulate``) collects those of several processes.
An event is a flat mapping; ``event`` names it and ``time`` is Unix seconds.

Aggregator:
    ``interrupted`` (run_id, round, out), ``resumed`` (run_id, round), ``dismissed`` (reason), ``project`` (name,
    hash, run_id, owners, flwr), ``waiting`` (present, missing: address → why, last_seen: address → seconds ago,
    needed, seconds, why), ``owner`` (owner, state, flwr, project, reason), ``run_started`` (run_id), ``strategy``
    (start), ``short`` (required, owners), ``round`` (round, of, start), ``outage`` (reason), ``outage_over``
    (seconds), ``awaiting`` (owners: address → last seen so many seconds ago, type, group, seconds, left),
    ``failed`` (type, reasons), ``output`` (line; of a simulation), ``sent`` (owner, type, group, bytes, error,
    message, future), ``reply`` (owner, type, group, bytes, error, sent, seen, started, finished, received),
    ``late`` (owner, type, group), ``refused`` (owner, reason), ``metrics`` (round, phase, values), ``checkpoint``
    (round, path), ``result`` (path, arrays), ``bill`` (account, calls, units, methods), ``error`` (message).
Data owner:
    ``project`` (name, hash, aggregator, owner), ``ready`` (owner), ``working`` (owner, type, group),
    ``done`` (owner, type, group, seconds, error, bytes), ``ignored`` (owner, type, reason),
    ``overrides`` (owner, run_config), ``stopped`` (owner, reason), ``outage``, ``outage_over``, ``bill``, ``error``.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from typing import Any, Protocol, TextIO

from syft_flwr.printable import printable_data

logger = logging.getLogger(__name__)


class Progress(Protocol):
    """Where events go. Must not raise, and may be called from any thread."""

    def __call__(self, event: str, /, **fields: Any) -> None: ...


def silent(event: str, /, **fields: Any) -> None:
    """Drop the event."""


class JsonLines:
    """Writes each event as one line of JSON."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def __call__(self, event: str, /, **fields: Any) -> None:
        line = json.dumps({"event": event, "time": time.time(), **printable_data(fields)}, default=str)
        with self._lock:
            try:
                self._stream.write(line + "\n")
                self._stream.flush()
            except (OSError, ValueError):
                logger.debug("nobody reads the progress any more: %s", event)


class Fanout:
    """Passes each event on to several places."""

    def __init__(self, *targets: Progress) -> None:
        self._targets = targets

    def __call__(self, event: str, /, **fields: Any) -> None:
        for target in self._targets:
            target(event, **fields)
