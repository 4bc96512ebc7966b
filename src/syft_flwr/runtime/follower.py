"""Follows the account's change feed, and looks beside it: token, pages and sweeps into the journal."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from operator import attrgetter

from syft_flwr import wire
from syft_flwr.drive.folders import Location
from syft_flwr.drive.paging import Paging
from syft_flwr.errors import (
    ConfigurationError,
    DriveError,
    InvalidNameError,
    PageTokenRejectedError,
    RuntimeClosedError,
)
from syft_flwr.exchange.deletions import Deletions
from syft_flwr.exchange.parts import Parts
from syft_flwr.exchange.responses import Responses
from syft_flwr.exchange.routes import Routes
from syft_flwr.feed.peek import Peek
from syft_flwr.feed.schedule import Pace, SweepKind, SweepSchedule, pause_after
from syft_flwr.feed.sweep import Sweeper
from syft_flwr.models import ChangePage, DriveFile, Message, Rejection, RejectionReason
from syft_flwr.runtime.dispatch import Dispatch
from syft_flwr.state.ledger import Committed
from syft_flwr.state.processed import LIST_LAG
from syft_flwr.wire import InboxPath

_log = logging.getLogger(__name__)

_FEED_LAG = 10.0
"""Seconds by which an entry of the feed may ordinarily trail the write."""
_ABANDONED = 86_400.0
"""Age in seconds of a body at which no one is at work on it any more: a handler may take hours."""
_INBOXES_PER_POLL = 32
"""Senders whose inboxes are made before a poll: with a thousand of them, messages must not wait for the last."""
_SWEPT_AT_ONCE = 1000


class Follower:
    """The account's polls, one at a time, whoever asks for them.

    The lock is held over calls to Drive and over nothing else: no observer and no handler runs here.

    Args:
        parts: The account's parts.
        routes: Tell which names to sweep for.
        dispatch: Takes up what came into the journal.
        responses: Hears which futures have an answer.
        deletions: Cleans up.
        url: The Drive that the state is bound to.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        routes: Routes,
        dispatch: Dispatch,
        responses: Responses,
        deletions: Deletions,
        url: str,
    ) -> None:
        self._parts = parts
        self._routes = routes
        self._dispatch = dispatch
        self._responses = responses
        self._deletions = deletions
        self._url = url
        self._sweeper = Sweeper(parts.gateway, parts.folders, parts.me, is_genuine=parts.vouches_for)
        self._schedule = SweepSchedule(parts.settings.sweep_interval)
        self._peek = Peek(parts.me)
        self._lock = threading.RLock()
        self._identity = threading.Lock()
        self._identified = False
        self._begun = False
        self._is_new = False
        """Whether there was no state before."""
        self._remembers = False
        """Whether it is known which requests have a reply in Drive, also if the state is new or came from a backup."""
        self._token: str | None = None
        self._stored = ""
        self._inboxes = _WantedInboxes(parts)
        self._folders_version = -1
        self._swept_at: float | None = None
        self._full_at = self._floor = 0.0
        """When the last sweep and the last full one began, and before when no later one looks, on Drive's clock."""
        self._cleaned_at = float("-inf")
        self._traffic = False
        self.polled_at = float("-inf")
        """When the last poll ended, on the monotonic clock."""

    def want_inboxes(self, inboxes: Iterable[tuple[str, str, str]]) -> None:
        """Ask for this account's inboxes for (sender, app, endpoint); made before the next poll."""
        self._inboxes.want(inboxes)

    @property
    def brought_messages(self) -> bool:
        """Whether the last poll brought any."""
        return self._traffic

    @property
    def token(self) -> str | None:
        """What the next poll begins with, once that is known."""
        return self._token

    def identify(self) -> None:
        """Make sure, once, that credentials and state are this account's.

        Raises:
            ConfigurationError: The credentials are another account's.
            StateMismatchError: The state belongs to another Drive or account.
            DriveError: Drive can't be reached or refuses; call again.
        """
        with self._identity:
            if self._identified:
                return
            account = self._parts.gateway.about()
            if not wire.same_address(account.email, self._parts.me):
                raise ConfigurationError(
                    f"the credentials are for {account.email}, not for {self._parts.me}: use that account's token, or "
                    f"set SYFTBOX_EMAIL to {account.email}"
                )
            self._parts.ledger.bind(self._url, account.permission_id)
            self._parts.identities.pin(account.email, account.permission_id)
            self._identified = True

    def poll(self) -> int:
        """Poll once and do what has come due; return the number of changes.

        The first call begins: start token first, then what is unfinished. The feed and the sweep beside it don't need
        each other: each goes on while the other fails.

        Raises:
            DriveError: Nothing is lost; the next poll goes on from the same token.
        """
        with self._lock:
            self._begin()
            self._inboxes.make()
            self._schedule.polled()
            if self._is_new and not self._remembers:  # what waits comes before what the feed brings
                self._sweep_if_due()
            changes, failure = 0, None
            try:
                changes = self.follow(peek=True)
                if not (self._remembers or self._is_new):
                    self._remember()
            except PageTokenRejectedError as error:
                _log.warning("%s: %s; starting over with a new token and a sweep", self._parts.me, error)
                self._restart()
            except DriveError as error:
                failure = error
            self._sweep_if_due()
            self._clean_up()
            if failure is not None:
                raise failure
            return changes

    def follow(self, *, peek: bool = False) -> int:
        """Follow the feed to its end; return the number of changes. No sweep, no clean-up.

        Args:
            peek: Whether the start token may tell that there is nothing new.

        Raises:
            DriveError: As :meth:`poll`.
        """
        with self._lock:
            assert self._token is not None  # noqa: S101 - it has begun
            self._traffic = False
            count = 0
            times: list[float] = []
            paging = Paging("changes.list")
            paging.advance(self._token, is_empty=False)
            try:
                asked = peek and self._peek.is_enough(self._now(), self._parts.clock.time())
                if asked and self._is_up_to_date():
                    return 0
                while True:
                    page = self._parts.gateway.list_changes(self._token)
                    self._take_page(page)
                    count += len(page.changes)
                    times += [wire.unix_time(change.time) or self._parts.clock.time() for change in page.changes]
                    if page.next_page_token is None:
                        self._token = page.new_start_page_token or self._token
                        self._listed(times, asked=asked)
                        return count
                    paging.advance(page.next_page_token, is_empty=not page.changes)
                    self._token = page.next_page_token
            finally:
                self.polled_at = self._now()
                self._look_around()

    def _is_up_to_date(self) -> bool:
        """Ask for the start token; tell whether there is nothing new, or nothing but this process's own writes."""
        assert self._token is not None  # noqa: S101 - it has begun
        start_token = self._parts.gateway.peek()
        if self._peek.denies(self._token, start_token, self._parts.clock.time()):
            return True
        return self._parts.own_writes.explain(start_token)

    def _listed(self, times: list[float], *, asked: bool) -> None:
        if self._peek.listed(self._now(), self._parts.clock.time(), times, asked=asked):
            self._parts.ledger.distrust_start_token(self._peek.distrusted_until)
        trusted = self._peek.is_enough(self._now(), self._parts.clock.time())
        self._parts.own_writes.read_up_to(self._token if trusted else None)

    def follow_from(self, token: str) -> None:
        """Count as begun, with the feed at this token: a replay has no Drive to ask."""
        with self._lock:
            self._token = self._stored = token
            self._begun = True

    def take(self, files: Iterable[DriveFile]) -> list[str]:
        """Journal what a sweep found, a thousand files at a time; return when those that are new were created.

        Each thousand is sorted by time, which decides within one sender only; equal times stay as they were listed.
        """
        with self._lock:
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
            finally:  # what came before a failure counts
                if chunk:
                    take_chunk()
                self._traffic |= bool(new)
            return new

    @contextmanager
    def held(self) -> Iterator[str | None]:
        """Let no poll happen for the block; gives the token that the next one will begin with, if it is known."""
        with self._lock:
            yield self._token

    def finish(self) -> None:
        """Put the token on record, so that the next process looks at no page again."""
        if self._begun and self._token:
            with suppress(Exception):  # it only saves a look
                self._keep_rhythm()
                if self._token != self._stored:
                    self._parts.ledger.store_token(self._token, stored=self._stored)

    def _keep_rhythm(self) -> None:
        listed_ago = self._now() - self._peek.listed_at
        self._parts.ledger.keep_rhythm(
            {
                "listed_at": self._parts.clock.time() - min(listed_ago, 1e9),
                "peeks": self._peek.polls,
                "sweeps": self._schedule.pace,
            }
        )

    # -- the beginning ----------------------------------------------------------------------------------------

    def _begin(self) -> None:
        if self._begun:
            return
        self.identify()
        self._inboxes.make()
        ledger = self._parts.ledger
        self._token = ledger.cursor()
        self._stored = self._token or ""
        self._dispatch.hold_older_than(wire.timestamp(self._parts.clock.time()))
        if self._token is None:
            self._is_new = True
            self._restart()
        rhythm = {} if self._is_new else ledger.rhythm()
        listed_at = rhythm.get("listed_at", 0.0) - self._parts.clock.time() + self._now()
        self._peek = Peek(self._parts.me, ledger.start_token_distrusted_until(), listed_at, rhythm.get("peeks", 0))
        pace = Pace(*rhythm["sweeps"]) if rhythm else None
        if not self._is_new:
            self._swept_at = ledger.swept_at() or None
        roots = self._parts.folders.inbox_roots() if pace else ()
        self._schedule.begin(self._now(), ledger.swept_at() - self._parts.clock.time(), pace, roots)
        self._responses.resume()
        self._dispatch.journaled(ledger.last_number())
        kept = self._dispatch.responder.kept_bodies() | self._responses.kept_bodies()
        self._parts.bodies.sweep(kept, min_age=_ABANDONED)
        self._deletions.run_soon()
        self._begun = True

    def _restart(self) -> None:
        """Obtain a new start token. A sweep follows, and only then is nothing lost."""
        token = self._parts.gateway.get_start_page_token()
        self._parts.ledger.restart_cursor(token)
        self._token = self._stored = token
        self._schedule.token_restarted(self._now())
        _log.info("following the change feed from a new start token")

    # -- what the feed brings ---------------------------------------------------------------------------------

    def _take_page(self, page: ChangePage) -> None:
        """Learn the folders of a page, journal the page, and only then let anyone know."""
        for entry in page.unreadable:
            self._schedule.look_everywhere()
            detail = f"an entry of the feed that can't be read: {entry.detail}"
            self._parts.streams.reject(Rejection(RejectionReason.UNREADABLE, entry.file_id, detail))
        self._parts.folders.observe(page.changes)
        files = [change.file for change in page.changes if change.file is not None]
        if not self._remembers:
            self._note_replies(self._own_replies(files))
        committed, self._stored = self._parts.ledger.commit(page, stored=self._stored, answers=self._answers(files))
        self._traffic |= bool(committed.new)
        for root_id in self._parts.inboxes.changed(file.id for file in files if file.is_folder):
            self._parts.pool.submit(self._verify_share, root_id)
        self._dispatch.page(page)
        self._took(committed)
        if self._schedule.awaits_proof:
            for file in files:
                if wire.message_kind(file.name) is not None and not file.owned_by_me:
                    location = self._parts.folders.locate(file, ask=False)
                    if isinstance(location, Location):
                        self._schedule.delivered(location.root.id)

    def _verify_share(self, root_id: str) -> None:
        try:
            self._parts.inboxes.verify(root_id)
        except RuntimeClosedError:
            pass
        except Exception as error:  # on the pool, it would be heard of nowhere
            self._parts.streams.report("looking after a share", error)

    def _look_around(self) -> None:
        moved = self._parts.folders.take_moved()
        if moved:
            self._schedule.look_everywhere()
        self._dispatch.look_around(moved=moved)

    def _took(self, committed: Committed) -> None:
        self._responses.came(committed.answered)
        for message in committed.responses:
            self._dispatch.post(partial(self._dispatch.show_response, message))
        self._dispatch.journaled(committed.last, committed.changed)
        if committed.deletable:
            self._deletions.run_soon()

    def _answers(self, files: Iterable[DriveFile]) -> dict[str, Message]:
        """Return those responses whose place is known, so that they answer their futures with the page's commit."""
        if self._parts.observes:
            return {}
        answers: dict[str, Message] = {}
        for file in files:
            if wire.message_kind(file.name) == "response" and not (file.owned_by_me or file.trashed):
                location = self._parts.folders.locate(file, ask=False)
                if isinstance(location, Location):
                    verdict = self._parts.admit(file, location)
                    if isinstance(verdict, Message):
                        answers[file.id] = verdict
        return answers

    # -- sweeps -----------------------------------------------------------------------------------------------

    def _sweep_if_due(self) -> None:
        if self._folders_version != self._parts.folders.version:
            self._folders_version = self._parts.folders.version
            self._schedule.roots_seen(self._parts.folders.inbox_roots(), self._now())
        kind = self._schedule.due(self._now(), wanted=self._parts.ledger.wants_sweep())
        if kind is None:
            return
        try:
            self._sweep(kind)
        except DriveError as error:  # the feed goes on meanwhile
            self._schedule.failed(self._now(), error)
            self._parts.streams.report("sweeping", error)

    def _sweep(self, kind: SweepKind) -> None:
        began = self._parts.gateway.server_time()
        gone = False
        if kind is SweepKind.FULL:
            self._sweeper.find_folders(self._names())
            if not self._remembers:
                self._note_replies(self._sweeper.own_replies())
                self._remember()
            listed: set[str] = set()
            new = self.take(_noting(self._sweeper.messages(self._parts.ledger.marks(), began), listed))
            gone = self._deletions.confirm_gone(listed)
        else:
            new = self.take(self._sweeper.recent(self._since(kind), began))
        overdue = wire.timestamp(began - _FEED_LAG)
        missed = 0 if self._swept_at is None else sum(created < overdue for created in new)
        if missed:
            _log.info("a sweep found %d messages that the feed missed", missed)
        if kind is not SweepKind.GLANCE:
            self._parts.ledger.mark_swept(began)
            # What a full sweep may have missed because lists lag, the next sweep finds; then that time is done with.
            self._floor = began - LIST_LAG if kind is SweepKind.FULL else max(self._floor, self._full_at)
            self._full_at = began if kind is SweepKind.FULL else self._full_at
            self._swept_at = began
        self._schedule.swept(kind, self._now(), missed=missed)
        self._keep_rhythm()
        self._look_around()
        if gone:
            self._deletions.run_soon()

    def _since(self, kind: SweepKind) -> float:
        """Return the time (Drive's clock) from which on a sweep looks: two minutes before the last one, for lag."""
        last = self._swept_at or 0.0
        return last if kind is SweepKind.GLANCE else max(self._floor, last - LIST_LAG)

    # -- what was answered ------------------------------------------------------------------------------------

    def _remember(self) -> None:
        """Let all requests go on: it is on record which of them are answered."""
        self._remembers = True
        self._dispatch.hold_older_than("")

    def _own_replies(self, files: Iterable[DriveFile]) -> Iterator[tuple[DriveFile, Location]]:
        """Yield this account's own replies among files of the feed, and where they lie."""
        for file in files:
            if file.owned_by_me and not file.trashed and wire.message_kind(file.name) == "response":
                location = self._parts.folders.locate(file)
                if isinstance(location, Location):
                    yield file, location

    def _note_replies(self, replies: Iterable[tuple[DriveFile, Location]]) -> None:
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

    def _names(self) -> set[str]:
        used = {(route.app, route.endpoint) for route in self._routes.endpoints()}
        used |= {(future.app, future.endpoint) for future in self._parts.ledger.futures.all()}
        return {name for pair in used for name in pair}

    # -- clean-up ---------------------------------------------------------------------------------------------

    def _clean_up(self) -> None:
        if self._now() - self._cleaned_at < self._parts.settings.cleanup_interval:
            return
        self._cleaned_at = self._now()
        self._give_up_stale()
        self._responses.age()
        self._deletions.run_soon()

    def _give_up_stale(self) -> None:
        """Refuse what has waited longer than the expiry, for a handler or for its folder to show."""
        expiry = self._parts.settings.cleanup_expiry
        for row in self._parts.ledger.journal.stale(self._parts.clock.time() - expiry):
            if self._parts.ledger.refuse(row.number, next(iter(row.file.parents), "")):
                detail = f"no handler took it within {expiry:g} seconds"
                owner = ", ".join(row.file.owners)
                self._parts.streams.reject(
                    Rejection(RejectionReason.EXPIRED, row.file.id, detail, file_name=row.file.name, owner=owner)
                )

    def _now(self) -> float:
        return self._parts.clock.monotonic()


class _WantedInboxes:
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
                if not wire.same_address(sender, me):
                    self._wanted[sender].add(wire.inbox_path(sender, me, app, endpoint))

    def make(self) -> None:
        """Make the inboxes of some senders at once."""
        now = self._parts.clock.monotonic()
        with self._lock:
            wanted = {sender: sorted(paths) for sender, paths in self._wanted.items() if paths}
        due = [sender for sender in wanted if self._failures.get(sender, (0, now))[1] <= now][:_INBOXES_PER_POLL]
        for sender, error in zip(due, self._parts.pool.map(lambda s: self._make(s, wanted[s]), due), strict=True):
            if error is None:
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


def _noting(files: Iterable[DriveFile], ids: set[str]) -> Iterator[DriveFile]:
    for file in files:
        ids.add(file.id)
        yield file
