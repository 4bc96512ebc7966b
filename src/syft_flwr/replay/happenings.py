"""What a replay brings: its newest events, all replies, and the first errors."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

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
        first_error: The first error that was contained, however long ago.
        first_assertion: The first of them that is an ``AssertionError``.
        is_observed: Whether anybody else has subscribed.
        requests: How many requests came.
        is_judged: Whether any of them was answered, or came from whom a handler does not answer.
    """

    def __init__(self, runtime: DriveRuntime, *, where: Callable[[], tuple[int, float]]) -> None:
        self.replies: list[Replied] = []
        self.first_error: BaseException | None = None
        self.first_assertion: AssertionError | None = None
        self.is_observed = False
        self.requests = 0
        self.is_judged = False
        self._where = where
        self._newest: deque[tuple[int, float, Event]] = deque(maxlen=_KEPT)
        for stream in (runtime.messages, runtime.rejected, runtime.errors):
            stream.subscribe(self._note)
        runtime.replied.subscribe(self._note_reply)

    def contained(self, error: BaseException) -> None:
        """Take an error that was contained."""
        self.first_error = self.first_error or error
        if isinstance(error, AssertionError):
            self.first_assertion = self.first_assertion or error

    def subscribed(self, stream: str, is_late: bool) -> None:
        """Take a subscription; one that comes too late sees nothing, which a test would take for silence."""
        self.is_observed = True
        if is_late:
            self.contained(
                RecordingError(f"{stream} was subscribed to after the feed had ended: subscribe before it is played")
            )

    def events(self) -> list[ReplayEvent]:
        """Return the newest thousand, oldest first."""
        return [ReplayEvent(*event) for event in self._newest]

    def _note(self, event: Event) -> None:
        self._newest.append((*self._where(), event))
        self.requests += isinstance(event, Message) and event.kind == "request"
        is_refused = isinstance(event, Rejection) and event.reason is RejectionReason.SENDER_NOT_ALLOWED
        self.is_judged = self.is_judged or is_refused or isinstance(event, Replied)

    def _note_reply(self, reply: Replied) -> None:
        self.replies.append(reply)
        self._note(reply)
