"""Parallel sending within a bound of memory."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Self

from syft_flwr.errors import DriveUnavailableError, RateLimitedError, SyftFlwrError
from syft_flwr.exchange.disposables import LARGE
from syft_flwr.flower._compat import SYSTEM_MESSAGE
from syft_flwr.flower.node import Nodes
from syft_flwr.flower.outage import PatientRpc
from syft_flwr.flower.replies import Pending
from syft_flwr.flower.transport import DISPOSABLE, ENDPOINT, Disposable, wire_app_name

logger = logging.getLogger(__name__)

_PARALLEL = 8
_BYTES_IN_FLIGHT = 64 * 1024 * 1024


class Outbox:
    """Sends the messages of a batch in parallel. Thread-safe; batches are independent of each other."""

    def __init__(self, rpc: PatientRpc, app_name: str, nodes: Nodes) -> None:
        self.rpc = rpc
        self._app = wire_app_name(app_name)
        self._nodes = nodes
        self._lock = threading.Lock()
        self._disposables: dict[int, Disposable] = {}

    def disposable(self, run_id: int) -> Disposable:
        """Return what holds all that is written for one run alone."""
        with self._lock:
            if run_id not in self._disposables:
                self._disposables[run_id] = self.rpc.disposable(str(run_id))
            return self._disposables[run_id]

    def dispose(self) -> None:
        """Delete what was written for single runs; idempotent."""
        with self._lock:
            disposables, self._disposables = self._disposables, {}
        for disposable in disposables.values():
            disposable.dispose()

    def send(self, pending: Pending, body: bytes, until: float) -> Pending:
        """Send one message, waiting for Drive until ``until`` (see :meth:`PatientRpc.send`), but not beyond its ttl.

        What became of it is in the result.
        """
        disposable = self._disposable_for(pending, len(body))
        try:
            future_id = self.rpc.send(
                pending.email, self._app, ENDPOINT, body, min(until, pending.expires_at), disposable=disposable
            )
        except (SyftFlwrError, OSError) as error:
            logger.warning("message to %s could not be sent: %s", pending.email, error)
            reason = f"the message to {pending.email} could not be sent: {error}"
            is_outage = isinstance(error, DriveUnavailableError | RateLimitedError)
            return replace(pending, failure=reason, outage=is_outage)
        return replace(pending, future_id=future_id, size=len(body))

    def _disposable_for(self, pending: Pending, size: int) -> str:
        """Return with what a message is thrown away: small ones with the run, if the owner can do with that."""
        metadata = pending.instruction.metadata
        if metadata.message_type == SYSTEM_MESSAGE or size > LARGE or not self._nodes.can(pending.node, DISPOSABLE):
            return ""
        self.disposable(metadata.run_id)
        return str(metadata.run_id)


class Batch:
    """Messages that are being sent; leaving the context waits until they are.

    Bodies are built one by one, and only so many are in memory at once. See :meth:`Outbox.send` for ``until``.
    """

    def __init__(self, outbox: Outbox, until: float) -> None:
        self._pool = ThreadPoolExecutor(_PARALLEL, thread_name_prefix="flower-send")
        self._outbox = outbox
        self._until = until
        self._results: list[Future[Pending] | Pending] = []
        self._in_flight = 0
        self._changed = threading.Condition()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc_info: object) -> None:
        try:
            if kind is not None and not issubclass(kind, Exception):
                self._outbox.rpc.interrupt()
            self._pool.shutdown(wait=True)
        except BaseException:  # Ctrl-C: they could wait for as long as their messages live
            self._outbox.rpc.interrupt()
            raise

    def add(self, pending: Pending, encode: Callable[[], bytes], weight: int) -> None:
        """Send a message of about ``weight`` bytes, unless it has failed or is under way; wait for room in flight."""
        if pending.failure or pending.future_id:
            self._results.append(pending)
            return
        with self._changed:
            self._changed.wait_for(lambda: not self._in_flight or self._in_flight + weight <= _BYTES_IN_FLIGHT)
            self._in_flight += weight
        future = self._pool.submit(self._outbox.send, pending, encode(), self._until)
        future.add_done_callback(lambda _: self._landed(weight))
        self._results.append(future)

    def sent(self) -> list[Pending]:
        """Return what became of each message, in the order of :meth:`add`."""
        return [result.result() if isinstance(result, Future) else result for result in self._results]

    def _landed(self, weight: int) -> None:
        with self._changed:
            self._in_flight -= weight
            self._changed.notify_all()
