"""What a replay brings: its newest events, all replies, and the first errors."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from syft_flwr.errors import RecordingError
from syft_flwr.feed.event_text import Event
from syft_flwr.models import Message, Rejection, RejectionReason, Replied
from syft_flwr.runtime.handle import DriveRuntime

_KEPT = 1_000


@dataclass(frozen=True, slots=True)
class ReplayEvent:
    """Something that a replay brought.

    Attributes:
        line: Line of the recording.
        at: Seconds since its beginning.
        event: A message, rejection, contained error or reply.
    """

    line: int
    at: float
    event: Event


class Happenings:
    """Listens to a replay's runtime.

    Args:
        runtime: Whose streams.
        where: Returns the line that is being played, and its seconds since the beginning.

    Attributes:
        replies: What handlers answered, in order.
        is_served: Whether handlers are to answer.
        idle: That requests came and all of them wait, if so.
    """

    def __init__(self, runtime: DriveRuntime, *, where: Callable[[], tuple[int, float]]) -> None:
        self.replies: list[Replied] = []
        self.is_served = False
        self.idle: RecordingError | None = None
        self._is_observed = False
        self._unplayed: RecordingError | None = None
        self._first_error: BaseException | None = None
        self._first_assertion: AssertionError | None = None
        self._requests = 0
        self._is_judged = False
        """Whether any of them was answered, or came from whom a handler does not answer."""
        self._where = where
        self._newest: deque[tuple[int, float, Event]] = deque(maxlen=_KEPT)
        for stream in (runtime.messages, runtime.rejected, runtime.errors):
            stream.subscribe(self._note)
        runtime.replied.subscribe(self._note_reply)

    def contained(self, error: BaseException) -> None:
        """Take an error that was contained."""
        self._first_error = self._first_error or error
        if isinstance(error, AssertionError):
            self._first_assertion = self._first_assertion or error

    def subscribed(self, stream: str, is_late: bool) -> None:
        """Take a subscription; one that comes too late sees nothing, which a test would take for silence."""
        self._is_observed = True
        if is_late:
            self.contained(
                RecordingError(f"{stream} was subscribed to after the feed had ended: subscribe before it is played")
            )

    def left_unplayed(self, path: Path) -> None:
        """Note that the recording was closed before it was played, which matters if anybody was to see it."""
        if self._is_observed or self.is_served:
            self._unplayed = RecordingError(f"{path} was opened, observed and never played: call run()")

    def ended(self, waiting: Iterable[Message]) -> None:
        """Note, once, whether all requests wait: then the handlers that are served are for another endpoint."""
        if not self.is_served:
            return
        self.is_served = False
        places = [f"{each.app}/{each.endpoint}" for each in waiting]
        if places and len(places) == self._requests and not self._is_judged:
            where = ", ".join(sorted(set(places)))
            self.idle = RecordingError(f"no handler that is served was called: requests wait for {where}")

    def worst(self, *, strict: bool) -> BaseException | None:
        """Return the first failed assertion, however long ago, or else, if ``strict``, the first error at all."""
        return self._unplayed or self._first_assertion or (self._first_error if strict else None)

    def events(self) -> list[ReplayEvent]:
        """Return the newest thousand, oldest first."""
        return [ReplayEvent(*event) for event in self._newest]

    def _note(self, event: Event) -> None:
        self._newest.append((*self._where(), event))
        self._requests += isinstance(event, Message) and event.kind == "request"
        is_refused = isinstance(event, Rejection) and event.reason is RejectionReason.SENDER_NOT_ALLOWED
        self._is_judged = self._is_judged or is_refused or isinstance(event, Replied)

    def _note_reply(self, reply: Replied) -> None:
        self.replies.append(reply)
        self._note(reply)
