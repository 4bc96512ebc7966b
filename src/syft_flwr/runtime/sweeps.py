"""When to look beside the feed, and from when on."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

from syft_flwr import wire
from syft_flwr.drive.pacing import in_turn
from syft_flwr.drive.paging import LIST_LAG
from syft_flwr.errors import DriveError
from syft_flwr.exchange.deletions import Deletions
from syft_flwr.exchange.parts import Parts
from syft_flwr.exchange.routes import Routes
from syft_flwr.feed.schedule import SweepKind, SweepSchedule
from syft_flwr.feed.sweep import FullSweep, Sweeper
from syft_flwr.resources import DriveFile
from syft_flwr.runtime.intake import Intake

_log = logging.getLogger(__name__)

_PARENTS_PER_QUERY = 100
_FEED_LAG = 10.0
"""Seconds by which an entry of the feed may ordinarily trail the write."""


class Sweeps:
    """The safety net beside the feed; called by the account's follower, under the follower's lock.

    Args:
        parts: The account's parts.
        routes: Tell which names to sweep for.
        intake: Takes what is found.
        deletions: Hears which of the peers' files are gone.
        schedule: Says when.
    """

    def __init__(
        self, parts: Parts, *, routes: Routes, intake: Intake, deletions: Deletions, schedule: SweepSchedule
    ) -> None:
        self._parts = parts
        self._routes = routes
        self._intake = intake
        self._deletions = deletions
        self._schedule = schedule
        self._sweeper = Sweeper(
            parts.gateway,
            parts.folders,
            parts.finder,
            parts.me,
            is_genuine=parts.vouches_for,
            parents_per_query=_PARENTS_PER_QUERY if parts.habits.groups_parents else 1,
        )
        self._folders_version = -1
        self._swept_at: float | None = None
        """When the last sweep began, on Drive's clock."""
        self._full: FullSweep | None = None
        """The one that failed, and goes on with the next attempt."""
        self._recent_began: float | None = None
        """When the one began (Drive's clock) that was to look at what is recent, and failed."""
        self._folders_since: float | None = None
        """From when on (monotonic) a look for folders is good enough for the next one, if that was begun."""

    def token_restarted(self) -> None:
        """Look everywhere at once, and again shortly: the feed has a gap before the new token."""
        self._full, self._recent_began, self._folders_since = None, None, self._parts.clock.monotonic()
        self._schedule.token_restarted(self._folders_since)

    @property
    def has_begun(self) -> bool:
        """Whether there was a sweep."""
        return self._swept_at is not None

    def resume(self, swept_at: float) -> None:
        """Take up the sweeps of earlier processes, the last of which began then (Drive's clock)."""
        self._swept_at = swept_at

    def run_if_due(self, *, wanted: bool = False) -> bool:
        """Sweep if it is time to, or soon if that is ``wanted``; tell whether it was.

        One that fails is reported and comes again.
        """
        if self._folders_version != self._parts.folders.version:
            self._folders_version = self._parts.folders.version
            self._schedule.roots_seen(self._parts.folders.inbox_roots(), self._parts.clock.monotonic())
        now = self._parts.clock.monotonic()
        if self._schedule.is_paused(now):
            return False
        kind = self._schedule.due(now, wanted=wanted or self._intake.wants_sweep)
        try:
            with in_turn():
                if kind is not None:
                    self.run(kind)
                if self._intake.must_remember:
                    self._remember()
        except DriveError as error:  # the feed goes on meanwhile
            self._schedule.failed(self._parts.clock.monotonic(), error)
            self._parts.streams.report("sweeping", error)
            return False
        return kind is not None

    def run(self, kind: SweepKind) -> None:
        """Sweep.

        Raises:
            DriveError: What came before counts; to sweep again goes on with the list that failed.
        """
        began, gone = self._parts.gateway.server_time(), False
        if kind is SweepKind.FULL:
            full, self._full = self._full or self._begin_full(began), None
            try:
                new = self._take(self._sweeper.messages(full))
            except DriveError:  # what else there is may have kept from the journal what was listed
                self._full = full
                raise
            gone = self._deletions.confirm_gone(full.listed)
            began = full.began
        else:
            self._recent_began = began = self._recent_began or began
            new = self._take(self._sweeper.recent(self._since(kind), began))
            self._recent_began = None
        overdue = wire.timestamp(began - _FEED_LAG)
        missed = 0 if self._swept_at is None else sum(created < overdue for created in new)
        if missed:
            _log.info("a sweep found %d messages that the feed missed", missed)
        if kind is not SweepKind.GLANCE:
            self._intake.wants_sweep = self._parts.ledger.mark_swept(began, len(new))
            self._swept_at = began
        lists = self._sweeper.lists_of_full()
        self._schedule.swept(kind, self._parts.clock.monotonic(), missed=missed, full_lists=lists)
        self._intake.look_around()
        if gone:
            self._deletions.run_soon()

    def _begin_full(self, began: float) -> FullSweep:
        if self._folders_since is None:
            self._folders_since = self._parts.clock.monotonic()
        self._sweeper.find_folders(self._names(), since=self._folders_since)
        self._folders_since = None
        return self._sweeper.begin(self._parts.ledger.marks(), began)

    def _since(self, kind: SweepKind) -> float:
        """Return the time (Drive's clock) from which on a sweep looks: two minutes before the last one, for lag."""
        last = self._swept_at or 0.0
        return last if kind is SweepKind.GLANCE else last - LIST_LAG

    def _names(self) -> set[str]:
        used = {(route.app, route.endpoint) for route in self._routes.endpoints()}
        used |= {(future.app, future.endpoint) for future in self._parts.ledger.futures.all()}
        return {name for pair in used for name in pair}

    def _take(self, files: Iterable[DriveFile]) -> list[str]:
        """Journal what is listed; before the first request, look which have a reply, if need be."""

        def remembering() -> Iterator[DriveFile]:
            for file in files:
                if wire.message_kind(file.name) == "request" and self._must_remember_for(file):
                    self._intake.must_remember = True  # should it fail, it comes first the next time
                    self._remember()
                yield file

        if self._intake.must_remember:
            self._remember()
        return self._intake.take(remembering())

    def _must_remember_for(self, request: DriveFile) -> bool:
        if self._intake.remembers:
            return False
        # What is held may be in the journal: another process of the account may have brought it.
        return self._intake.holds(request) or not self._parts.ledger.knows(request.id)

    def _remember(self) -> None:
        self._intake.note_replies(self._sweeper.own_replies())
        self._intake.remember()
