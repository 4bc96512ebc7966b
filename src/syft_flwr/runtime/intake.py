"""Brings what the feed and the sweeps find into the journal, and tells who waits for it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial
from operator import attrgetter

from syft_flwr import wire
from syft_flwr.drive.folders import Location
from syft_flwr.errors import InvalidNameError, RuntimeClosedError
from syft_flwr.exchange.deletions import Deletions
from syft_flwr.exchange.parts import Parts
from syft_flwr.exchange.responses import Responses
from syft_flwr.feed.schedule import SweepSchedule
from syft_flwr.models import Message, Rejection, RejectionReason
from syft_flwr.resources import ChangePage, DriveFile
from syft_flwr.runtime.dispatch import Dispatch
from syft_flwr.state.journal_rows import Committed

_log = logging.getLogger(__name__)

_SWEPT_AT_ONCE = 1000


class Intake:
    """One for an account; called by its follower, under the follower's lock.

    Args:
        parts: The account's parts.
        dispatch: Takes up what came into the journal.
        responses: Hears which futures have an answer.
        deletions: Cleans up.
        schedule: Hears what the feed delivers.

    Attributes:
        brought_messages: Whether messages came since this was last reset.
        wants_sweep: Whether the journal keeps more than wanted, for lack of a recent sweep.
        remembers: Whether it is known which requests have a reply in Drive, also if the state is new or came from a
            backup. Until then, those that are older than the start wait.
        must_remember: Whether there are any, and a list has to tell.
        lists_replies: Whether a list tells it, and not the feed.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        dispatch: Dispatch,
        responses: Responses,
        deletions: Deletions,
        schedule: SweepSchedule,
    ) -> None:
        self._parts = parts
        self._dispatch = dispatch
        self._responses = responses
        self._deletions = deletions
        self._schedule = schedule
        self.brought_messages = False
        self.wants_sweep = False
        self.remembers = False
        self.must_remember = False
        self._held_before = ""
        self.lists_replies = False

    def take_page(self, page: ChangePage, stored: str) -> str:
        """Learn the folders of a page, journal the page, and only then let anyone know.

        Args:
            page: The page.
            stored: The token that is known to be on record (:meth:`Ledger.commit`).

        Returns:
            The token that is on record now.
        """
        for entry in page.unreadable:
            self._schedule.look_everywhere()
            detail = f"an entry of the feed that can't be read: {entry.detail}"
            self._parts.streams.reject(Rejection(RejectionReason.UNREADABLE, entry.file_id, detail))
        self._parts.folders.observe(page.changes)
        files = [change.file for change in page.changes if change.file is not None]
        if not (self.remembers or self.lists_replies):
            self.note_replies(self._own_replies(files))
        committed, stored = self._parts.ledger.commit(page, stored=stored, answers=self._answers(files))
        self.brought_messages |= bool(committed.new)
        for root_id in self._parts.inboxes.changed(change.file_id for change in page.changes):
            self._parts.pool.submit(self._verify_share, root_id)
        self._dispatch.page(page)
        self._took(committed)
        if self._schedule.awaits_proof:
            for file in files:
                if wire.message_kind(file.name) is not None and not file.owned_by_me:
                    location = self._parts.folders.locate(file, ask=False)
                    if isinstance(location, Location):
                        self._schedule.delivered(location.root.id)
        return stored

    def take(self, files: Iterable[DriveFile]) -> list[str]:
        """Journal what a sweep found, a thousand files at a time; return when those that are new were created.

        Each thousand is sorted by time, which decides within one sender only; equal times stay as they were listed.
        """
        new: list[str] = []
        chunk: list[DriveFile] = []

        def take_chunk() -> None:
            chunk.sort(key=attrgetter("created_time"))
            committed = self._parts.ledger.take(chunk, self._answers(chunk))
            chunk.clear()
            new.extend(committed.new)
            self._took(committed)

        try:
            for file in files:
                chunk.append(file)
                if len(chunk) == _SWEPT_AT_ONCE:
                    take_chunk()
                    self._dispatch.give_way()
        finally:  # what came before a failure counts
            if chunk:
                take_chunk()
            self.brought_messages |= bool(new)
        return new

    def look_around(self) -> None:
        """Take up what waited for folders that have moved or shown, or for a process that has died."""
        moved = self._parts.folders.take_moved()
        if moved:
            self._schedule.look_everywhere()
        self._dispatch.parked.look_around(moved=moved)

    def begin(self, started: str, *, is_new: bool) -> None:
        """Hold the requests that were created before the start (RFC 3339), until :meth:`remember`.

        A state that is not new meets the replies in the feed that it has missed, unless that begins anew.
        """
        self._held_before = started
        self.lists_replies |= is_new
        self._dispatch.hold_older_than(started)

    def feed_begins_anew(self) -> None:
        """Note that the feed does not go on where the state left off."""
        if not self.remembers:
            self.lists_replies = True
            self.must_remember = self._parts.ledger.last_number() > 0

    def holds(self, file: DriveFile) -> bool:
        """Tell whether a request has to wait until :meth:`remember`."""
        return not self.remembers and file.created_time < self._held_before

    def remember(self) -> None:
        """Let all requests go on: it is on record which of them are answered."""
        self.remembers, self.must_remember, self._held_before = True, False, ""
        self._dispatch.hold_older_than("")

    def note_replies(self, replies: Iterable[tuple[DriveFile, Location]]) -> None:
        """Take requests for done that have a reply in Drive, though a new or restored state does not know it."""
        answered: list[tuple[Message, DriveFile]] = []
        for reply, location in replies:
            with suppress(InvalidNameError):
                _, future_id = wire.parse_message_name(reply.name)
                request = Message(
                    kind="request",
                    sender=location.inbox.recipient,
                    recipient=self._parts.me,
                    app=location.app,
                    endpoint=location.endpoint,
                    future_id=future_id,
                    file_id="",
                    folder_id="",
                    size=0,
                    created_time="",
                )
                answered.append((request, reply))
        if answered and (new := self._parts.ledger.recollect(answered)):
            _log.info("%s: %d requests have a reply in Drive that this state did not know", self._parts.me, new)

    def _verify_share(self, root_id: str) -> None:
        try:
            self._parts.inboxes.verify(root_id)
        except RuntimeClosedError:
            pass
        except Exception as error:  # on the pool, it would be heard of nowhere
            self._parts.streams.report("looking after a share", error)

    def _took(self, committed: Committed) -> None:
        self._responses.came(committed.answered)
        for message in committed.responses:
            self._parts.announced.expect(message)
            self._dispatch.thread.post(partial(self._dispatch.show_response, message))
        self.must_remember |= bool(self._held_before) and any(
            self.holds(row.file) and wire.message_kind(row.file.name) == "request" for row in committed.rows
        )
        self._dispatch.took(committed)
        self.wants_sweep = committed.wants_sweep
        if committed.deletable:
            self._deletions.run_soon(committed.deletable)

    def _answers(self, files: Iterable[DriveFile]) -> dict[str, Message]:
        """Return those responses whose place is known, so that they answer their futures with the page's commit."""
        if self._parts.observes:
            return {}
        answers: dict[str, Message] = {}
        for file in files:
            if file.name.endswith(".response") and not (file.owned_by_me or file.trashed):
                location = self._parts.folders.locate(file, ask=False)
                if isinstance(location, Location):
                    verdict = self._parts.admit(file, location)
                    if isinstance(verdict, Message):
                        answers[file.id] = verdict
        return answers

    def _own_replies(self, files: Iterable[DriveFile]) -> Iterator[tuple[DriveFile, Location]]:
        """Yield this account's own replies among files of the feed, and where they lie."""
        for file in files:
            if file.owned_by_me and not file.trashed and wire.message_kind(file.name) == "response":
                location = self._parts.folders.locate(file)
                if isinstance(location, Location):
                    yield file, location
