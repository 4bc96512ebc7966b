"""What a poll is, from the first one on: feed, journal, dispatch, sweep, clean-up."""

from __future__ import annotations

import logging
import random
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from operator import attrgetter

from syft_flwr import wire
from syft_flwr.drive.folders import Location
from syft_flwr.errors import (
    ConfigurationError,
    DriveError,
    InvalidNameError,
    PageTokenRejectedError,
    RuntimeClosedError,
)
from syft_flwr.exchange.backoff import Backoff
from syft_flwr.exchange.context import Exchange
from syft_flwr.exchange.intake import Intake
from syft_flwr.exchange.janitor import Janitor
from syft_flwr.exchange.requester import Requester
from syft_flwr.feed.poller import ChangePoller
from syft_flwr.feed.schedule import SweepKind, SweepSchedule
from syft_flwr.feed.sweep import Sweeper
from syft_flwr.models import ChangePage, DriveFile, Message
from syft_flwr.wire import InboxPath

_log = logging.getLogger(__name__)

_FEED_LAG = 10.0
"""Seconds by which an entry of the feed may ordinarily trail the write."""
_SWEEP_OVERLAP = 120.0
"""Seconds that a sweep looks back beyond the one before it, for lists that lag and clocks that differ."""
_ABANDONED = 86_400.0
"""Age in seconds of a body at which nobody is at work on it any more: a handler may take hours."""
_INBOXES_PER_POLL = 32
"""Senders whose inboxes are made before a poll: with a thousand of them, messages must not wait for the last."""


class FeedCycle:
    """The account's polls, one at a time, whoever asks for them.

    Args:
        exchange: The account's parts.
        intake: Takes what the polls bring.
        requester: Its futures tell which names to sweep for.
        url: The Drive that the state is bound to.
        rng: Source of the janitor's choices.
    """

    def __init__(
        self, exchange: Exchange, intake: Intake, requester: Requester, *, url: str, rng: random.Random
    ) -> None:
        self._x = exchange
        self._intake = intake
        self._requester = requester
        self._url = url
        self._poller = ChangePoller(exchange.gateway, exchange.folders, exchange.ledger, self._on_page)
        self._sweeper = Sweeper(exchange.gateway, exchange.folders, exchange.me)
        self._schedule = SweepSchedule(exchange.settings.sweep_interval)
        self._janitor = Janitor(
            exchange.gateway, exchange.ledger, exchange.clock, expiry=exchange.settings.cleanup_expiry, rng=rng
        )
        self._lock = threading.RLock()
        self._deleting = threading.Lock()
        self._asked_to_delete = False
        self._begun = False
        self._forgetful = False
        self._wanted: defaultdict[str, set[InboxPath]] = defaultdict(set)
        self._wanting = threading.Lock()
        self._inboxes_backoff = Backoff(exchange.clock)
        self._unfinished: list[DriveFile] = []
        self._traffic = False
        self._withdrawals = False
        self._folders_version = -1
        self._swept_at = 0.0
        self._cleaned_at = float("-inf")
        self.polled_at = float("-inf")
        """When the last poll ended, on the monotonic clock."""

    def want_inboxes(self, inboxes: Iterable[tuple[str, str, str]]) -> None:
        """Ask for this account's inboxes for (sender, app, endpoint); made before the next poll."""
        with self._wanting:
            for sender, app, endpoint in inboxes:
                if not wire.same_address(sender, self._x.me):
                    self._wanted[sender].add(wire.inbox_path(sender, self._x.me, app, endpoint))

    def begin(self) -> None:
        """Do what comes before the first poll, once: the start token first, then a sweep, then what is unfinished.

        Raises:
            ConfigurationError: The credentials are another account's.
            StateMismatchError: The state belongs to another Drive or account.
            DriveError: Drive can't be reached or refuses; call again.
        """
        with self._lock:
            if self._begun:
                return
            account = self._x.gateway.about()
            if not wire.same_address(account.email, self._x.me):
                raise ConfigurationError(
                    f"the credentials are for {account.email}, not for {self._x.me}: use that account's token, or "
                    f"set SYFTBOX_EMAIL to {account.email}"
                )
            self._x.ledger.bind(self._url, account.permission_id)
            self._make_inboxes()
            if not self._poller.resume():
                self._forgetful = True
                self._restart()
            self._sweep(SweepKind.FULL)
            self._forgetful = False
            self._requester.resume()
            kept = self._intake.responder.kept_bodies() | self._requester.kept_bodies()
            self._x.bodies.sweep(kept, min_age=_ABANDONED)
            self._withdrawals = True
            self._begun = True

    def poll(self) -> int:
        """Poll once and do what has come due; return the number of changes.

        Raises:
            DriveError: Nothing is lost; the next poll goes on from the same token.
        """
        with self._lock:
            self.begin()
            self._make_inboxes()
            self._traffic = False
            try:
                changes = self.follow()
            except PageTokenRejectedError as error:
                _log.warning("%s: %s; starting over with a new token and a sweep", self._x.me, error)
                self._restart()
                changes = 0
            self._sweep_if_due()
            self._clean_up()
            return changes

    def follow(self) -> int:
        """Follow the feed to its end and pass on what it brings; return the number of changes. No sweep, no clean-up.

        Raises:
            DriveError: As :meth:`poll`.
        """
        with self._lock:
            try:
                return self._poller.poll().changes
            finally:
                self.polled_at = self._now()
                self.dispatch()

    def follow_from(self, token: str) -> None:
        """Count as begun, with the feed at this token: a replay has no Drive to ask."""
        with self._lock:
            self._poller.follow_from(token)
            self._begun = True

    def take(self, files: Iterable[DriveFile]) -> list[DriveFile]:
        """Journal and pass on files that a sweep found, as it listed them; return those that are new.

        Drive lists the newest first. Sorting the reverse by time puts each sender's messages in order of arrival,
        also where a sweep asked in pieces, and leaves those of one millisecond as they came.
        """
        with self._lock:
            arrivals = list(files)[::-1]
            news = self._x.ledger.journal(sorted(arrivals, key=attrgetter("created_time")))
            self._traffic |= bool(news)
            self._intake.dispatch(news)
            self._intake.dispatch_pending()
            return news

    @contextmanager
    def held(self) -> Iterator[str | None]:
        """Let no poll happen for the block; gives the token that the next one will begin with, if it is known."""
        with self._lock:
            yield self._poller.token

    def dispatch(self) -> None:
        """Pass on what the journal holds; no call to Drive but for folders never seen."""
        with self._lock:
            fresh, self._unfinished = self._unfinished, []
            self._intake.dispatch(fresh)
            messages = Counter(file.parents for file in fresh)
            for file in {file.parents: file for file in fresh}.values():
                location = self._x.folders.locate(file)
                if isinstance(location, Location):
                    self._schedule.delivered(location.root.id, messages[file.parents])
            self._intake.dispatch_pending()

    @property
    def is_active(self) -> bool:
        """Whether the last poll brought messages, or work is going on, or somebody waits for an answer."""
        return self._traffic or self._requester.is_awaited() or bool(self._intake.in_flight())

    def finish_deleting(self, timeout: float) -> None:
        """Do what is due of deletions, for ``timeout`` seconds at most; the rest is the next run's."""
        with suppress(TimeoutError, RuntimeError):  # RuntimeError: the interpreter ends, and the pool takes no work
            self._x.pool.submit(self._delete_due).result(timeout)

    def _delete_due(self) -> None:
        with self._deleting:
            self._asked_to_delete = False  # who asks from here on needs another round
            if not self._x.settings.cleanup or not self._begun:
                return
            try:
                self._janitor.delete_due()
            except RuntimeClosedError:
                _log.debug("closed; deletions will go on with the next run")
            except Exception as error:  # on the pool nobody would hear of it
                self._x.streams.report("cleaning up", error)

    def delete_due_soon(self) -> None:
        """Delete the files of our own whose time has come, on the pool, if clean-up is on.

        However many ask at once, only one thread of the pool is kept busy by it, and another one waits.
        """
        if self._asked_to_delete:
            return
        self._asked_to_delete = True
        try:
            self._x.pool.submit(self._delete_due)
        except RuntimeError:
            _log.debug("closed; deletions will go on with the next run")

    def _make_inboxes(self) -> None:
        """Make the inboxes of some senders at once; a sender who can't be shared with holds up nobody else."""
        with self._wanting:
            wanted = {sender: sorted(paths) for sender, paths in self._wanted.items() if paths}
        due = [sender for sender in wanted if self._inboxes_backoff.is_due(sender)][:_INBOXES_PER_POLL]
        errors = self._x.pool.map(lambda sender: self._make_inbox(sender, wanted[sender]), due)
        for sender, error in zip(due, errors, strict=True):
            if error is None:
                with self._wanting:
                    self._wanted[sender].difference_update(wanted[sender])
            else:
                self._inboxes_backoff.failed(sender, error)
                self._x.streams.report(f"making the inbox of {sender}", error)

    def _make_inbox(self, sender: str, paths: Sequence[InboxPath]) -> DriveError | None:
        try:
            self._x.inboxes.ensure(paths, peer=sender)
        except DriveError as error:
            return error
        return None

    def _restart(self) -> None:
        self._poller.restart()
        self._schedule.token_restarted(self._now())

    def _on_page(self, page: ChangePage, unfinished: list[DriveFile]) -> None:
        for change in page.changes:
            self._withdrawals |= change.removed or (change.file is not None and change.file.trashed)
            self._x.streams.changes.on_next(change)
        self._unfinished += unfinished
        self._traffic |= bool(unfinished)

    def _sweep_if_due(self) -> None:
        if self._folders_version != self._x.folders.version:
            self._folders_version = self._x.folders.version
            self._schedule.roots_seen(self._x.folders.inbox_roots(), self._now())
        kind = self._schedule.due(self._now(), wanted=self._x.ledger.wants_sweep())
        if kind is not None:
            self._sweep(kind)

    def _sweep(self, kind: SweepKind) -> None:
        began = self._x.gateway.server_time()
        if kind is SweepKind.FULL:
            found = list(self._sweeper.everything(self._names(), self._x.ledger.marks()))
            if self._forgetful:
                self._recollect()
        else:
            found = list(self._sweeper.recent(self._swept_at - _SWEEP_OVERLAP))
        news = self.take(found)
        overdue = wire.timestamp(began - _FEED_LAG)
        missed = sum(file.created_time < overdue for file in news) if self._swept_at else 0
        if kind is SweepKind.FULL:
            self._x.ledger.mark_swept(began)
            self._withdrawals |= self._janitor.confirm_gone({file.id for file in found})
        self._swept_at = began
        self._schedule.swept(kind, self._now(), missed=missed)
        if missed:
            _log.info(
                "a sweep found %d messages that the feed missed; interval %.0f s", missed, self._schedule.interval
            )

    def _recollect(self) -> None:
        """Take what has a reply for done: the state is new (or was lost), and the account may not be."""
        answered: list[tuple[Message, DriveFile]] = []
        for reply, location in self._sweeper.own_replies():
            with suppress(InvalidNameError):
                _, future_id = wire.parse_message_name(reply.name)
                request = Message(
                    kind="request",
                    sender=location.inbox.recipient,
                    recipient=self._x.me,
                    app=location.app,
                    endpoint=location.endpoint,
                    future_id=future_id,
                    file_id="",
                    folder_id="",
                    size=0,
                    created_time="",
                )
                answered.append((request, reply))
        if answered:
            _log.info("%s: %d requests were answered before this state began", self._x.me, len(answered))
            self._x.ledger.recollect(answered)

    def _names(self) -> set[str]:
        used = {(route.app, route.endpoint) for route in self._intake.routes()}
        used |= {(future.app, future.endpoint) for future in self._x.ledger.futures.all()}
        return {name for pair in used for name in pair}

    def _clean_up(self) -> None:
        if self._now() - self._cleaned_at >= self._x.settings.cleanup_interval:
            self._cleaned_at = self._now()
            self._withdrawals = True
            self._janitor.give_up_expired(self._intake.in_flight())
        if self._withdrawals:
            self._withdrawals = False
            self.delete_due_soon()

    def _now(self) -> float:
        return self._x.clock.monotonic()
