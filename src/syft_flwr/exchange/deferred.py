"""Requests that a pipeline has taken and answers later, one by one or many at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Literal

from syft_flwr.errors import RuntimeClosedError
from syft_flwr.exchange.parts import Parts
from syft_flwr.exchange.responder import Responder, as_body
from syft_flwr.exchange.work import Answer, Step, Work
from syft_flwr.models import Message, RejectionReason
from syft_flwr.state.journal_rows import Claim

WhenLate = Literal["again", "reject"]
"""What becomes of a request that nobody has answered in time: it is handed out again, or rejected aloud."""


@dataclass(frozen=True, slots=True)
class _Taken:
    work: Work
    when_late: WhenLate
    deadline: float
    """Seconds that its pipeline has for an answer."""
    due: float
    """When they are over, on the clock's monotonic time."""


class DeferredReplies:
    """The requests of this process that wait for :meth:`reply`. Thread-safe.

    A request is claimed as a handler's is: no other process takes it, and when this one dies, another one does. Its
    answer is kept on disk and uploaded as a handler's.

    Args:
        parts: The account's parts.
        responder: Takes answers to their end.
        keep: Notes that this process is working on a request, until that is over or given back.
        later: Calls a function after some seconds.
        show_again: Shows a request to observers once more.
    """

    def __init__(
        self,
        parts: Parts,
        responder: Responder,
        *,
        keep: Callable[[Work], None],
        later: Callable[[float, Callable[[], None]], None],
        show_again: Callable[[int], None],
    ) -> None:
        self._parts = parts
        self._responder = responder
        self._keep = keep
        self._later = later
        self._show_again = show_again
        self._lock = threading.Lock()
        self._taken: dict[str, _Taken] = {}
        self._next_look = inf
        """When the next look for late ones is, so that what was answered leaves nothing behind until its deadline."""

    def take(self, number: int, message: Message, deadline: float, when_late: WhenLate) -> bool:
        """Claim a request for an answer within ``deadline`` seconds; ``False`` when it can't be had.

        One that could be had but for an outage or a full disk is shown again.
        """
        journal, limit = self._parts.ledger.journal, self._parts.settings.max_attempts
        work = Work(number, message, step=Step.PREPARED)
        try:
            if journal.claim([(number, message, True)])[0].claim is not Claim.TAKEN:
                return False
            self._keep(work)
            work.reply_id = self._parts.ids.take()
            attempts = journal.begin(number, message)
        except RuntimeClosedError:
            raise
        except Exception as error:
            self._later(self._responder.failed("taking a request", error, work), lambda: self._hand_out_again(work))
            return False
        if attempts > limit:
            self._finish(work, self._responder.give_up(work, limit))
            return False
        due = self._parts.clock.monotonic() + deadline
        with self._lock:
            self._taken[message.file_id] = _Taken(work, when_late, deadline, due)
            self._look_at(due)
        return True

    def reply(self, message: Message, body: bytes | str | None) -> bool:
        """Answer a request that was taken; ``False`` when it is not this process's to answer (any more).

        Raises:
            TypeError: The body is not ``bytes``, ``str`` or ``None``.
        """
        answer = Answer(as_body(body))
        with self._lock:
            taken = self._taken.pop(message.file_id, None)
        if taken is None:
            return False
        self._finish(taken.work, answer)
        return True

    def _look_at(self, due: float) -> None:
        if due < self._next_look:
            self._next_look = due
            self._later(due - self._parts.clock.monotonic(), self._look)

    def _look(self) -> None:
        now = self._parts.clock.monotonic()
        with self._lock:
            late = {file_id: taken for file_id, taken in self._taken.items() if taken.due <= now}
            for file_id in late:
                del self._taken[file_id]
            self._next_look = inf
            self._look_at(min((taken.due for taken in self._taken.values()), default=inf))
        for taken in late.values():
            self._give_up(taken)

    def _give_up(self, taken: _Taken) -> None:
        work = taken.work
        if taken.when_late == "again":
            self._hand_out_again(work, interrupted=True)
            return
        detail = f"its pipeline gave no answer within {taken.deadline:g} seconds"
        self._finish(work, self._responder.refuse(work, RejectionReason.EXPIRED, detail))

    def _hand_out_again(self, work: Work, *, interrupted: bool = False) -> None:
        self._responder.release(work, interrupted=interrupted)
        self._show_again(work.number)

    def _finish(self, work: Work, answer: Answer) -> None:
        work.answer = answer
        work.advance(Step.HANDLED)
        self._write(work)

    def _write(self, work: Work) -> None:
        """Put an answer on disk and have it uploaded; when the disk does not allow, again later."""
        pause = self._responder.handle(work)
        if pause:
            self._later(pause, lambda: self._write(work))
