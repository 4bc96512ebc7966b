"""One request on its way through this process: the row of the journal, and what has become of it here."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING

from syft_flwr.errors import DriveError
from syft_flwr.models import Message
from syft_flwr.state.journal import Spooled

if TYPE_CHECKING:
    from syft_flwr.exchange.routes import Route

_LONGEST_PAUSE = 300.0


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
        body: Its downloaded body, once PREPARED.
        reply_id: Reserved file ID of the reply.
        answer: What the handler gave back, once HANDLED.
        spooled: The answer as it is on disk, once SPOOLED.
        failures: Failed attempts at the present step.
    """

    number: int
    message: Message
    route: Route | None = None
    step: Step = Step.QUEUED
    body: Path | None = None
    reply_id: str = ""
    answer: Answer | None = None
    spooled: Spooled | None = field(default=None, repr=False)
    failures: int = 0

    def failed(self, error: BaseException) -> float:
        """Note a failed attempt; return the seconds until the next one."""
        self.failures += 1
        return pause_after(self.failures, error)

    def advance(self, step: Step) -> None:
        """Note a step that is done."""
        self.step, self.failures = step, 0


def pause_after(failures: int, error: BaseException | None = None) -> float:
    """Return the seconds to wait after so many failures: 1, 2, 4 … up to five minutes, or as long as Drive asks.

    The gateway has retried already what a moment's patience mends; here are a full account, a refused share, an
    outage.
    """
    asked = error.retry_after if isinstance(error, DriveError) else None
    return max(min(2.0 ** (failures - 1), _LONGEST_PAUSE), asked or 0.0)
