"""One request on its way through this process: the row of the journal, and what has become of it here."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING

from syft_flwr.feed.schedule import pause_after
from syft_flwr.models import Message
from syft_flwr.state.journal_rows import Spooled

if TYPE_CHECKING:
    from syft_flwr.exchange.routes import Route


PATIENCE_WITH_DAMAGE = 120.0
"""Seconds for which downloads must give the same wrong bytes, or be refused, until a message is given up."""


class Step(Enum):
    """How far a request is. QUEUED, SPOOLED and OVER are on disk; the other two end with this process."""

    QUEUED = auto()
    PREPARED = auto()
    """Its body is here."""
    HANDLED = auto()
    """Its handler has answered; the answer is on no disk yet."""
    SPOOLED = auto()
    """The answer is on disk; its upload is to come."""
    OVER = auto()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a handler gave back: no body, no reply."""

    body: bytes | None
    is_error: bool = False


@dataclass(slots=True, eq=False)
class Work:
    """A request that this process has claimed; one thread at a time takes it a step further.

    Attributes:
        number: Its row in the journal.
        route: Its handler; ``None`` when only the upload of its answer is left.
        body: Its body, once PREPARED: a file, or some kilobytes that came without a download.
        shares_body: Whether a pipeline wants the body, too, and it is kept until it is taken from there.
        reply_id: Reserved file ID of the reply.
        announcement: Properties of the reply that announce the one after it.
        answer: What the handler gave back, once HANDLED.
        spooled: The answer as it is on disk, once SPOOLED.
        failures: Failed attempts at the present step.
        hopeless_since: What downloads have come to, the SHA-256 of wrong bytes or a refusal, and since when.
    """

    number: int
    message: Message
    route: Route | None = None
    step: Step = Step.QUEUED
    body: bytes | Path | None = None
    shares_body: bool = False
    reply_id: str = ""
    announcement: Mapping[str, str] = field(default_factory=dict, repr=False)
    answer: Answer | None = None
    spooled: Spooled | None = field(default=None, repr=False)
    failures: int = 0
    hopeless_since: tuple[str, float] = ("", 0.0)

    def is_hopeless(self, what: str, now: float) -> bool:
        """Note what is wrong with a download; tell whether it is no fault on the way.

        That is so when downloads over minutes (``now`` is monotonic, seconds) came to the same.
        """
        if self.hopeless_since[0] != what:
            self.hopeless_since = what, now
        return now - self.hopeless_since[1] >= PATIENCE_WITH_DAMAGE

    def drop_body(self) -> None:
        """Remove the file of its body, if there is one; what can't be removed goes with a sweep of bodies."""
        if isinstance(self.body, Path):
            with suppress(OSError):
                self.body.unlink()
        self.body = None

    def failed(self, error: BaseException) -> float:
        """Note a failed attempt; return the seconds until the next one."""
        self.failures += 1
        return pause_after(self.failures, error)

    def advance(self, step: Step) -> None:
        """Note a step that is done."""
        self.step, self.failures = step, 0
