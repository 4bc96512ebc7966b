"""What becomes of the replies to a ServerApp's messages: awaited, fetched, checked, told."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from syft_flwr.errors import DriveError
from syft_flwr.flower._compat import ErrorCode, Message
from syft_flwr.flower.codec import Stamp
from syft_flwr.flower.dispatcher import Dispatcher
from syft_flwr.flower.instructions import Instructions
from syft_flwr.flower.outage import PatientRpc
from syft_flwr.flower.presence import Presence
from syft_flwr.flower.progress import Progress
from syft_flwr.flower.replies import Pending, error_reply, expired_reply, read_reply, reply_event
from syft_flwr.printable import printable_error

_LONGEST_WAIT = 5.0  # seconds; every wait looks at ttl and timeout again after this


@dataclass(frozen=True, slots=True)
class Collector:
    """Brings replies, and Error replies in place of those that can't be had. Thread-safe."""

    rpc: PatientRpc
    instructions: Instructions
    dispatcher: Dispatcher
    presence: Presence
    lose: Callable[[int], None]
    progress: Progress
    spool: Path | None
    """Where the arrays of large replies go; ``None`` for the system's directory."""

    def collect(self, waiting: Mapping[str, Pending], left: float) -> list[tuple[str, Message]]:
        """Wait a while for the first replies; return them, and the Error replies of what expired meanwhile."""
        current = self.instructions.latest(waiting.values())
        futures = [p.future_id for p in current if p.future_id]
        answered: set[str] = set()
        if len(futures) == len(waiting):
            patience = min(_LONGEST_WAIT, min(p.expires_at for p in current) - self.rpc.clock.time())
            answered = self.rpc.answered(futures, max(0.0, min(patience, left)))
        found: list[tuple[str, Message]] = []
        for pending in current:
            # One by one: of several large replies, only one is in memory as bytes and as a message at once.
            reply = self.fetch(pending) if pending.future_id in answered else self._settle(pending, None)
            if reply is not None:
                found.append((pending.message_id, reply))
        return found

    def fetch(self, pending: Pending) -> Message | None:
        """Return the reply to an instruction if there is one; one that can't be had is an Error reply of its owner."""
        if not pending.future_id:
            return self._settle(pending, None)
        try:
            body = self.rpc.get_response(pending.future_id)
        except DriveError as error:
            reason = f"the reply of {pending.email} can't be had: {printable_error(error)}"
            return self._settle(replace(pending, failure=reason), None)
        return self._settle(pending, body)

    def _settle(self, pending: Pending, body: bytes | None) -> Message | None:
        """Return the reply to an instruction, if it has one by now, and forget the instruction."""
        now = self.rpc.clock.time()
        stamp = Stamp()
        if body is not None:
            received = len(body)
            reply, stamp = read_reply(pending, body, now, self.spool)
            self.presence.arrived(pending.node)
            if stamp.lacks_objects and reply.has_error() and self.dispatcher.send_whole(pending):
                return None
        elif pending.failure:
            received, reply = 0, error_reply(pending, ErrorCode.NODE_UNAVAILABLE, pending.failure, now)
        elif now >= pending.expires_at:
            received, reply = 0, expired_reply(pending, now)
            self.lose(pending.node)
        else:
            return None
        self.forget(pending, keep=body is not None)
        self.progress("reply", **reply_event(pending, reply, stamp, received, time.time()))
        return reply

    def remind(self, waiting: Collection[Pending], waited: float, left: float) -> None:
        """Tell whose replies are awaited, for how many seconds so far, and how many are left."""
        if not waiting:
            return
        some = next(iter(waiting))
        until_expiry = min(pending.expires_at for pending in waiting) - self.rpc.clock.time()
        self.progress(
            "awaiting",
            owners={pending.email: self.presence.last_seen(pending.node) for pending in waiting},
            type=some.instruction.metadata.message_type,
            group=some.group,
            seconds=waited,
            left=min(left, until_expiry),
        )

    def give_up(self, pending: Pending) -> None:
        """Withdraw an instruction whose reply is of no use any more."""
        kind = pending.instruction.metadata.message_type
        self.progress("late", owner=pending.email, type=kind, group=pending.group)
        self.forget(pending)
        self.lose(pending.node)

    def forget(self, pending: Pending, *, keep: bool = False) -> None:
        """Note that a message is over; see :meth:`Instructions.forget`."""
        self.dispatcher.release(pending)
        self.instructions.forget(pending, keep=keep)
