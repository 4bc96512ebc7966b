"""Follows the account's change feed, and looks beside it: token, pages and sweeps into the journal."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from syft_flwr import wire
from syft_flwr.addresses import same_address
from syft_flwr.drive.pacing import held
from syft_flwr.drive.paging import Paging
from syft_flwr.drive.quota import METHOD_UNITS
from syft_flwr.errors import ConfigurationError, DriveError, PageTokenRejectedError, RateLimitedError
from syft_flwr.exchange.deletions import Deletions
from syft_flwr.exchange.parts import Parts
from syft_flwr.exchange.responses import Responses
from syft_flwr.exchange.routes import Routes
from syft_flwr.feed.peek import Peek
from syft_flwr.feed.schedule import Pace, SweepSchedule
from syft_flwr.models import Rejection, RejectionReason
from syft_flwr.resources import DriveFile
from syft_flwr.runtime.dispatch import Dispatch
from syft_flwr.runtime.intake import Intake
from syft_flwr.runtime.sweeps import Sweeps
from syft_flwr.runtime.wanted_inboxes import WantedInboxes

_log = logging.getLogger(__name__)

_ABANDONED = 86_400.0
"""Age in seconds of a body at which no one is at work on it any more: a handler may take hours."""
_LIST_UNITS = METHOD_UNITS["changes.list"] - METHOD_UNITS["changes.getStartPageToken"]
"""Quota units that a peek saves which is enough."""


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
        self._dispatch = dispatch
        self._responses = responses
        self._deletions = deletions
        self._url = url
        self._schedule = SweepSchedule(
            parts.settings.sweep_interval, feed_tells_of_others=parts.habits.feed_tells_of_others
        )
        self._intake = Intake(
            parts, dispatch=dispatch, responses=responses, deletions=deletions, schedule=self._schedule
        )
        self.sweeps = Sweeps(parts, routes=routes, intake=self._intake, deletions=deletions, schedule=self._schedule)
        self._peek = Peek(parts.me)
        self._lock = threading.RLock()
        self._identity = threading.Lock()
        self._identified = False
        self._begun = False
        self._is_new = False
        """Whether there was no state before."""
        self._token: str | None = None
        self._stored = ""
        self._inboxes = WantedInboxes(parts)
        self._cleaned_at = float("-inf")
        self.polled_at = float("-inf")
        """When the last poll ended, on the monotonic clock."""

    def want_inboxes(self, inboxes: Iterable[tuple[str, str, str]]) -> None:
        """Ask for this account's inboxes for (sender, app, endpoint); made before the next poll."""
        self._inboxes.want(inboxes)

    @property
    def brought_messages(self) -> bool:
        """Whether the last poll brought any."""
        return self._intake.brought_messages

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
            if not same_address(account.email, self._parts.me):
                raise ConfigurationError(
                    f"the credentials are for {account.email}, not for {self._parts.me}: use that account's token, or "
                    f"set SYFTBOX_EMAIL to {account.email}"
                )
            self._parts.ledger.bind(self._url, account.permission_id)
            self._parts.identities.pin(account.email, account.permission_id)
            self._identified = True
            if self._parts.ledger.position.token() is None:
                with suppress(DriveError):  # the first poll asks again; folders found from here on it need not look for
                    self._restart()

    def poll(self) -> int:
        """Poll once and do what has come due; return the number of changes.

        The first call begins: start token first, then what is unfinished. The feed and the sweep beside it don't need
        each other: each goes on while the other fails.

        Raises:
            DriveError: Nothing is lost; the next poll goes on from the same token.
        """
        with held(self._lock, self._parts.clock):
            self._begin()
            self._inboxes.make()
            self._schedule.polled()
            if self._is_new and not self.sweeps.has_begun:  # what waits comes before what the feed brings
                self._sweep_if_due()
            changes, failure = 0, None
            try:
                changes = self._follow_or_restart()
                if not (self._intake.remembers or self._intake.lists_replies):
                    self._intake.remember()
            except DriveError as error:
                failure = error
            self._sweep_if_due(wanted=failure is not None)  # it brings what the feed can't
            self._clean_up()
            if failure is not None:
                raise failure
            return changes

    def _follow_or_restart(self) -> int:
        if self._token is None:
            self._restart()
        try:
            return self.follow(peek=True)
        except PageTokenRejectedError as error:
            _log.warning("%s: %s; starting over with a new token and a sweep", self._parts.me, error)
            self._restart()
            return 0

    def follow(self, *, peek: bool = False) -> int:
        """Follow the feed to its end; return the number of changes. No sweep, no clean-up.

        Args:
            peek: Whether the start token may tell that there is nothing new.

        Raises:
            DriveError: As :meth:`poll`.
        """
        with self._lock:
            assert self._token is not None  # noqa: S101 - it has begun
            self._intake.brought_messages = False
            count = 0
            times: list[float] = []
            paging = Paging("changes.list")
            paging.advance(self._token, is_empty=False)
            try:
                asked = peek and self._peek.is_enough(self._now(), self._parts.clock.time())
                try:
                    if asked and (known := self._peek_at_drive()) is not None:
                        return known
                except RateLimitedError:
                    raise
                except DriveError as error:
                    _log.info("this poll lists, since it can't peek: %s", error)
                    asked = False
                while True:
                    page = self._parts.gateway.list_changes(self._token)
                    self._stored = self._intake.take_page(page, self._stored)
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
                self._intake.look_around()

    def _peek_at_drive(self) -> int | None:
        """Ask for the start token; return how many messages came, if there is nothing else, and ``None`` for a list.

        What is new may be this process's own writes, and messages that peers have announced.
        """
        assert self._token is not None  # noqa: S101 - it has begun
        start_token = self._parts.gateway.peek()
        if self._peek.denies(self._token, start_token, self._parts.clock.time()) or self._parts.own_writes.explain(
            start_token
        ):
            self._parts.gateway.note_saving("peeks", units=_LIST_UNITS)
            return 0
        found, is_complete = self._parts.announced.look()
        self._intake.take(found)
        if not found or not self._parts.own_writes.explain_partly(
            start_token, len(found), others_may_be_new=not is_complete
        ):
            return None
        self._parts.gateway.note_saving("peeks", units=_LIST_UNITS)
        return len(found)

    def _listed(self, times: list[float], *, asked: bool) -> None:
        if self._peek.listed(self._now(), self._parts.clock.time(), times, asked=asked):
            self._parts.ledger.position.distrust_start_token(self._peek.distrusted_until)
        trusted = self._peek.is_enough(self._now(), self._parts.clock.time())
        self._parts.own_writes.read_up_to(self._token if trusted else None)

    def follow_from(self, token: str) -> None:
        """Count as begun, with the feed at this token: a replay has no Drive to ask."""
        with self._lock:
            self._token = self._stored = token
            self._begun = True

    def take(self, files: Iterable[DriveFile]) -> list[str]:
        """Journal what a sweep found; return when those that are new were created."""
        with self._lock:
            return self._intake.take(files)

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
                    self._parts.ledger.position.store(self._token, stored=self._stored)

    def _sweep_if_due(self, *, wanted: bool = False) -> None:
        if self.sweeps.run_if_due(wanted=wanted):
            self._keep_rhythm()

    def _keep_rhythm(self) -> None:
        listed_ago = self._now() - self._peek.listed_at
        self._parts.ledger.position.keep_rhythm(
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
        ledger = self._parts.ledger
        self._token = ledger.position.token()
        self._stored = self._token or ""
        self._is_new = ledger.swept_at() == 0.0
        self._intake.begin(wire.timestamp(self._parts.clock.time()), is_new=self._is_new)
        rhythm = {} if self._is_new else ledger.position.rhythm()
        listed_at = rhythm.get("listed_at", 0.0) - self._parts.clock.time() + self._now()
        self._peek = Peek(
            self._parts.me,
            ledger.position.start_token_distrusted_until(),
            listed_at,
            rhythm.get("peeks", 0),
            tells=self._parts.habits.token_tells,
            delay=self._parts.habits.feed_delay,
        )
        pace = Pace(*rhythm["sweeps"]) if rhythm else None
        if not self._is_new:
            self.sweeps.resume(ledger.swept_at())
        roots = self._parts.folders.inbox_roots() if pace else ()
        self._schedule.begin(self._now(), ledger.swept_at() - self._parts.clock.time(), pace, roots)
        self._responses.resume()
        last = ledger.last_number()
        self._intake.must_remember = self._intake.lists_replies and last > 0
        self._dispatch.journaled(last)
        kept = self._dispatch.placement.responder.kept_bodies() | self._responses.bodies.kept()
        self._parts.bodies.sweep(kept, min_age=_ABANDONED)
        self._deletions.run_soon()
        self._begun = True

    def _restart(self) -> None:
        """Obtain a new start token. A sweep follows, and only then is nothing lost."""
        token = self._parts.gateway.get_start_page_token()
        self.sweeps.token_restarted()
        self._intake.feed_begins_anew()
        self._parts.ledger.position.restart(token)
        self._token = self._stored = token
        _log.info("following the change feed from a new start token")

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
        detail = f"no handler took it within {expiry:g} seconds"

        def expired(file: DriveFile) -> Rejection:
            owner = ", ".join(file.owners)
            return Rejection(RejectionReason.EXPIRED, file.id, detail, file_name=file.name, owner=owner)

        rows = self._parts.ledger.journal.stale(self._parts.clock.time() - expiry)
        stale = [(row.number, next(iter(row.file.parents), ""), expired(row.file)) for row in rows]
        for (_, _, why), is_news in zip(stale, self._parts.ledger.refuse(stale), strict=True):
            if is_news:
                self._parts.streams.reject(why)

    def _now(self) -> float:
        return self._parts.clock.monotonic()
