"""The inboxes of this account that its handlers' senders need."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextvars import copy_context

from syft_flwr import wire
from syft_flwr.addresses import same_address
from syft_flwr.errors import DriveError
from syft_flwr.exchange.parts import Parts
from syft_flwr.feed.schedule import pause_after
from syft_flwr.wire import InboxPath

_INBOXES_PER_POLL = 32
"""Senders whose inboxes are made before a poll: with a thousand of them, messages must not wait for the last."""


class WantedInboxes:
    """Inboxes of this account that are to be made; a sender who can't be shared with holds up no other."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._lock = threading.Lock()
        self._wanted: defaultdict[str, set[InboxPath]] = defaultdict(set)
        self._failures: dict[str, tuple[int, float]] = {}
        """For each sender, how often it failed, and when (monotonic clock) to try again."""

    def want(self, inboxes: Iterable[tuple[str, str, str]]) -> None:
        me = self._parts.me
        with self._lock:
            for sender, app, endpoint in inboxes:
                if not same_address(sender, me):
                    self._wanted[sender].add(wire.inbox_path(sender, me, app, endpoint))

    def make(self) -> None:
        """Make the inboxes of some senders at once, within the time that the caller has."""
        now = self._parts.clock.monotonic()
        with self._lock:
            wanted = {sender: sorted(paths) for sender, paths in self._wanted.items() if paths}
        due = [sender for sender in wanted if self._failures.get(sender, (0, now))[1] <= now][:_INBOXES_PER_POLL]
        made = {s: self._parts.pool.submit(copy_context().run, self._make, s, wanted[s]) for s in due}
        for sender, future in made.items():
            if (error := future.result()) is None:
                self._failures.pop(sender, None)
                with self._lock:
                    self._wanted[sender].difference_update(wanted[sender])
            else:
                count = self._failures.get(sender, (0, 0.0))[0] + 1
                self._failures[sender] = (count, now + pause_after(count, error))
                self._parts.streams.report(f"making the inbox of {sender}", error)

    def _make(self, sender: str, paths: Sequence[InboxPath]) -> DriveError | None:
        try:
            self._parts.inboxes.ensure(paths, peer=sender)
        except DriveError as error:
            return error
        return None
