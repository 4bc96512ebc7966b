"""The observables of one runtime."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

from syft_flwr.errors import DriveUnavailableError, RateLimitedError
from syft_flwr.feed.router import MessageRouter, ShowWaiting
from syft_flwr.feed.subject import IsolatedSubject
from syft_flwr.models import FeedError, Message, Rejection, RejectionReason, Replied
from syft_flwr.printable import printable_error, printable_traceback
from syft_flwr.resources import Change

_log = logging.getLogger(__name__)

_EACH = 16
"""Rejections of one reason and owner that are logged one by one."""
_KINDS = 1_000
"""Reasons and owners that are told apart."""


class Streams:
    """Hot streams: what is emitted before a subscription is not repeated to it, unless asked for (``from_start``).

    All are emitted on the dispatch thread, one value at a time. An observer that raises is reported on ``errors`` and
    goes on receiving.

    Attributes:
        contained: Hears of every error that was contained, its own observers' errors included.
        subscribed: Hears of each subscription: to which stream, and whether it comes after the end.
    """

    def __init__(self) -> None:
        self._to_thread: Callable[[Callable[[], None]], None] = lambda action: action()
        self.contained: Callable[[BaseException], None] = lambda _: None
        self.subscribed: Callable[[str, bool], None] = lambda _stream, _is_late: None
        self.errors: IsolatedSubject[FeedError] = IsolatedSubject(
            self._observer_of_errors_raised, self._post, partial(self._subscribed_to, "errors")
        )
        self.changes: IsolatedSubject[Change] = IsolatedSubject(*self._calls("changes"))
        self.messages = MessageRouter(*self._calls("messages"))
        self.responses: IsolatedSubject[Message] = IsolatedSubject(*self._calls("responses"))
        self.replied: IsolatedSubject[Replied] = IsolatedSubject(*self._calls("replied"))
        self._rejections: Counter[tuple[RejectionReason, str]] = Counter()
        self.rejected: IsolatedSubject[Rejection] = IsolatedSubject(*self._calls("rejected"))

    def emit_with(self, post: Callable[[Callable[[], None]], None], show_waiting: ShowWaiting) -> None:
        """Emit by way of the dispatch thread from now on.

        Args:
            post: Runs a function on that thread.
            show_waiting: See :attr:`MessageRouter.show_waiting`.
        """
        self._to_thread = post
        self.messages.show_waiting = show_waiting

    def reject(self, rejection: Rejection) -> None:
        """Emit a rejection, and log it; of many of one kind, ever fewer are logged, with how many there were."""
        kind = rejection.reason, rejection.owner or rejection.claimed_sender
        if len(self._rejections) >= _KINDS and kind not in self._rejections:
            self._rejections.clear()
        self._rejections[kind] += 1
        count = self._rejections[kind]
        if count <= _EACH or not count & (count - 1):
            _log.warning(
                "rejected %s (%s): %s: %s%s",
                rejection.file_id,
                rejection.file_name,
                rejection.reason,
                rejection.detail,
                f" ({count} of {kind[1]} so far, of which ever fewer are logged)" if count > _EACH else "",
            )
        self.rejected.tell(rejection)

    def report(self, where: str, error: BaseException, message: Message | None = None) -> None:
        """Log and emit an error that was contained.

        An outage is no defect, and the poll loop tells of it once; so does the gateway of limits.
        """
        self.contained(error)
        subject = "" if message is None else f" (future {message.future_id}, file {message.file_id})"
        if isinstance(error, DriveUnavailableError):
            _log.info("%s: %s%s", where, printable_error(error, 1_000), subject)
            self.errors.tell(FeedError(where, error, message))
            return
        if isinstance(error, RateLimitedError):
            _log.info("%s: %s%s", where, printable_error(error, 1_000), subject)
            return
        # The traceback is text here, not exc_info: an exception may quote what a peer sent.
        _log.error("%s: %s%s\n%s", where, printable_error(error, 1_000), subject, printable_traceback(error))
        self.errors.tell(FeedError(where, error, message))

    def limit(self, error: RateLimitedError) -> None:
        """Emit that calls wait for a limit; the gateway has logged it."""
        self.errors.tell(FeedError("quota", error))

    def fail(self, error: Exception) -> None:
        """End all streams with an error, since polling has ended by itself."""
        _log.error("polling ended: %s", printable_error(error, 1_000))

        def end() -> None:
            self.errors.on_next(FeedError("polling", error))
            for subject in (self.changes, self.messages, self.responses, self.replied, self.rejected, self.errors):
                subject.on_error(error)

        self._post(end)

    def complete(self) -> None:
        """End all streams; further emissions are ignored."""
        for subject in (self.changes, self.messages, self.responses, self.replied, self.rejected, self.errors):
            subject.on_completed()

    def _post(self, action: Callable[[], None]) -> None:
        self._to_thread(action)

    def _calls(
        self, stream: str
    ) -> tuple[Callable[[Exception, Any], None], Callable[..., None], Callable[[bool], None]]:
        return partial(self._observer_raised, stream), self._post, partial(self._subscribed_to, stream)

    def _subscribed_to(self, stream: str, is_late: bool) -> None:
        self.subscribed(stream, is_late)

    def _observer_of_errors_raised(self, error: Exception, _: FeedError | None) -> None:
        self.contained(error)
        _log.error("an observer of errors raised\n%s", printable_traceback(error))

    def _observer_raised(self, stream: str, error: Exception, value: Any) -> None:
        message = value if isinstance(value, Message) else getattr(value, "message", None)
        self.report(f"observer of {stream}", error, message)
