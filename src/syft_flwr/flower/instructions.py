"""The instructions of a run that are under way, and their requests in Drive."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace

from syft_flwr.errors import SyftFlwrError
from syft_flwr.flower._compat import SYSTEM_MESSAGE
from syft_flwr.flower.outage import PatientRpc
from syft_flwr.flower.replies import Pending

logger = logging.getLogger(__name__)


class Instructions:
    """Knows each instruction until it has its reply, and deletes its request then. Thread-safe."""

    def __init__(self, rpc: PatientRpc, earlier: Mapping[str, str]) -> None:
        """Begin with the futures of messages that an earlier process of this run sent, by message ID."""
        self._rpc = rpc
        self._earlier = dict(earlier)
        self._pending: dict[str, Pending] = {}
        self._answered: list[str] = []
        self._lock = threading.Lock()

    def add(self, sent: Iterable[Pending]) -> None:
        """Note what was sent; an instruction that was sent again replaces the one before."""
        with self._lock:
            self._pending |= {pending.message_id: pending for pending in sent}

    def get(self, message_id: str) -> Pending | None:
        with self._lock:
            return self._pending.get(message_id)

    def latest(self, some: Iterable[Pending]) -> list[Pending]:
        """Return instructions as they were sent last: some may have been sent again."""
        with self._lock:
            return [self._pending.get(pending.message_id, pending) for pending in some]

    def nodes_at_work(self) -> set[int]:
        """Return the nodes whose apps are to reply to something."""
        with self._lock:
            pending = list(self._pending.values())
        return {p.node for p in pending if p.future_id and p.instruction.metadata.message_type != SYSTEM_MESSAGE}

    def take_over(self, pending: Pending) -> Pending:
        """Let the answer stand for a message that it got before this process went on with the run."""
        with self._lock:
            future_id = self._earlier.pop(pending.message_id, "")
        if not future_id:
            return pending
        if self._rpc.answered([future_id], 0.0):
            return replace(pending, future_id=future_id)
        self.delete(future_id)  # it names objects that may be gone; its owner knows it when it comes again
        return pending

    def forget(self, pending: Pending, *, keep: bool = False) -> None:
        """Note that a message is over; its answer may be kept until the next batch, should this process be killed."""
        with self._lock:
            self._pending.pop(pending.message_id, None)
            if keep and pending.future_id:
                self._answered.append(pending.future_id)
        if pending.future_id and not keep:
            self.delete(pending.future_id)

    def leave(self, pending: Pending) -> None:
        """Forget a message, and let it wait for its owner in Drive."""
        with self._lock:
            self._pending.pop(pending.message_id, None)

    def delete_answered(self) -> None:
        """Delete the answers that were kept."""
        with self._lock:
            answered, self._answered = self._answered, []
        for future_id in answered:
            self.delete(future_id)

    def withdraw(self, others: Iterable[str]) -> None:
        """Delete all requests in Drive, and other futures; idempotent."""
        with self._lock:
            futures = [*others, *(pending.future_id for pending in self._pending.values() if pending.future_id)]
            futures += [*self._answered, *self._earlier.values()]
            self._pending.clear()
            self._answered.clear()
            self._earlier.clear()
        for future_id in futures:
            self.delete(future_id)

    def delete(self, future_id: str) -> None:
        """Delete a request and its answer; one that can't be is left to the next sweep."""
        try:
            self._rpc.delete_future(future_id)
        except SyftFlwrError as error:
            logger.warning("request %s could not be deleted: %s", future_id, error)
