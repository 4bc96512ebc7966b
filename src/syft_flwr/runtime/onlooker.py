"""Looks on while an account's processes work: by their event log, or where none works by the feed itself."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from syft_flwr.models import FeedError, Message, Rejection
from syft_flwr.printable import printable_error
from syft_flwr.runtime.handle import DriveRuntime
from syft_flwr.state.events import FEED, Happened, last_number, of_message, of_rejection, read_after
from syft_flwr.state.holders import at_work
from syft_flwr.state.store import DiskStore

_LOOK = 0.2
"""Seconds between two looks at the log."""
_AT_ONCE = 1_000
_REMEMBERED = 20_000


class Onlooker:
    """Tells what an account's processes do, each thing once; calls Drive only while no process works.

    Args:
        directory: The account's state directory, which need not be there yet.
        open_feed: Opens a runtime that looks on (:meth:`DriveRuntime.observe`).
        on_event: Called with each thing that happens, one at a time.
        on_source: Called when it goes on by another source, with the number of processes at work: none is the feed.
        on_gap: Called with how many rows of the log were given up before they were read.
        on_look: Called after each look at the log.
        since: Unix time from which on to tell; by default from now on.
        on_past: Called at the beginning with what the log tells of the time before.
    """

    def __init__(
        self,
        directory: Path,
        *,
        open_feed: Callable[[], DriveRuntime],
        on_event: Callable[[Happened], None],
        on_source: Callable[[int], None],
        on_gap: Callable[[int], None],
        on_look: Callable[[], None] = lambda: None,
        since: float | None = None,
        on_past: Callable[[Happened], None] | None = None,
    ) -> None:
        self._directory = directory
        self._open_feed = open_feed
        self._on_event = on_event
        self._on_source = on_source
        self._on_gap = on_gap
        self._on_look = on_look
        self._since = since
        self._on_past = on_past
        self._lock = threading.RLock()
        self._told: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._store: DiskStore | None = None
        self._read_to = 0
        self._feed: DriveRuntime | None = None
        self._sources: int | None = None
        self.bill: Mapping[str, Any] | None = None
        """What following the feed has cost, once it was done."""

    def begin(self, number: int | None = None) -> None:
        """Stand at a row of the log, by default at its end, after what it tells of the time before.

        Raises:
            StateError: The state can't be read.
        """
        if not self._open_store():
            return
        assert self._store is not None  # noqa: S101 - it is open
        last = self._store.transact(last_number) if number is None else number
        if self._since is None and self._on_past is None:
            self._read_to = last
            return
        while self._read_to < last:
            self._read(until=last)

    def run(self, ended: threading.Event, seconds: float | None = None) -> None:
        """Look on until ``ended`` is set, or so many seconds have passed; :meth:`begin` comes before.

        Raises:
            SyftFlwrError: The feed or the log can't be followed (any more).
        """
        over = None if seconds is None else time.monotonic() + seconds
        with ExitStack() as stack:
            stack.callback(self.close)
            while not ended.is_set():
                self._choose_source(ended)
                self._read_all()
                with self._lock:
                    self._on_look()
                if self._feed is not None and self._feed.failure is not None:
                    raise self._feed.failure
                left = _LOOK if over is None else min(_LOOK, over - time.monotonic())
                if left <= 0:
                    break
                ended.wait(left)
            self._read_all()

    def close(self) -> None:
        """Let go of feed and log; idempotent."""
        self._leave_feed()
        if self._store is not None:
            self._store.close()
            self._store = None

    # -- sources ----------------------------------------------------------------------------------------------

    def _choose_source(self, ended: threading.Event) -> None:
        working = at_work(self._directory)
        if working == self._sources:
            return
        if not working and self._feed is None:
            self._feed = self._open_feed()
            for stream in (self._feed.messages, self._feed.rejected, self._feed.errors):
                stream.subscribe(self._from_feed)
            self._feed.poll_once()
            self._feed.start(on_failure=ended.set)
        elif working:
            self._leave_feed()
        self._sources = working
        self._on_source(working)

    def _leave_feed(self) -> None:
        feed, self._feed = self._feed, None
        if feed is not None:
            feed.close()
            self.bill = feed.meter.snapshot().to_json()

    def _from_feed(self, event: Message | Rejection | FeedError) -> None:
        match event:
            case Message():
                what, fields = ("answered" if event.kind == "response" else "waiting"), of_message(event)
            case Rejection():
                what, fields = "rejected", of_rejection(event)
            case FeedError():
                what, fields = "error", {"where": event.where, "error": printable_error(event.error, 1_000)}
        self._tell([Happened(0, time.time(), FEED, what, fields)])

    # -- the log ----------------------------------------------------------------------------------------------

    def _open_store(self) -> bool:
        if self._store is None and (self._directory / "ledger").is_dir():
            self._store = DiskStore(self._directory / "ledger")
        return self._store is not None

    def _read_all(self) -> None:
        while self._open_store() and self._read() == _AT_ONCE:
            pass

    def _read(self, *, until: int | None = None) -> int:
        """Read rows, and tell of them; return how many they may have been."""
        assert self._store is not None  # noqa: S101 - it is open
        after = self._read_to
        events = self._store.transact(lambda tx: list(read_after(tx, after, limit=_AT_ONCE)))
        if not events:
            self._read_to = until or after
            return 0
        if until is None and events[0].number > after + 1:
            self._on_gap(events[0].number - after - 1)
        self._read_to = events[-1].number
        since = float("-inf") if self._since is None else self._since
        past = [event for event in events if until is not None and (self._since is None or event.at < since)]
        with self._lock:
            for event in past:
                self._is_news(event)
                if self._on_past is not None:
                    self._on_past(event)
        self._tell(events[len(past) :])
        return _AT_ONCE if self._read_to - after >= _AT_ONCE else 0

    def _tell(self, events: Iterable[Happened]) -> None:
        with self._lock:
            for event in events:
                if self._is_news(event):
                    self._on_event(event)

    def _is_news(self, event: Happened) -> bool:
        """Tell whether it was not told: feed and log each tell of the same messages."""
        what = event.what
        about = event.fields.get("future_id") if what in {"waiting", "answered"} else event.fields.get("file_id")
        if what not in {"waiting", "answered", "rejected"} or not about:
            return True
        key = (what, str(about))
        is_news = key not in self._told
        self._told[key] = None
        if len(self._told) > _REMEMBERED:
            self._told.popitem(last=False)
        return is_news
