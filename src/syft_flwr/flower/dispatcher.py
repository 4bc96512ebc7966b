"""What becomes of a ServerApp's messages until they are in Drive: checked, identified, encoded, sent."""

from __future__ import annotations

import functools
import hashlib
import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from syft_flwr.flower._compat import (
    AGGREGATOR_NODE_ID,
    SYSTEM_MESSAGE,
    Array,
    ArrayRecord,
    Message,
    RecordDict,
    message_without_content,
    recorddict_to_proto,
    set_message_id,
)
from syft_flwr.flower.array_forms import outline, size_of
from syft_flwr.flower.codec import ObjectReference, Stamp, encode, encode_stamp, round_of
from syft_flwr.flower.instructions import Instructions
from syft_flwr.flower.node import Nodes
from syft_flwr.flower.outbox import Batch, Outbox
from syft_flwr.flower.progress import Progress
from syft_flwr.flower.replies import Pending
from syft_flwr.flower.shared_arrays import Digests, SharedArrays
from syft_flwr.flower.transport import OBJECTS

logger = logging.getLogger(__name__)


class Dispatcher:
    """Sends batches of messages; arrays that several of them have in common go up once, if there is a spool."""

    def __init__(
        self,
        outbox: Outbox,
        nodes: Nodes,
        instructions: Instructions,
        stamp: Stamp,
        progress: Progress,
        *,
        run_id: Callable[[], int],
        spool: Path | None,
    ) -> None:
        self._outbox = outbox
        self._nodes = nodes
        self._instructions = instructions
        self._stamp = stamp
        self._progress = progress
        self._run_id = run_id
        self._digests = Digests()
        self._shared = (
            None if spool is None else SharedArrays(spool, [nodes.email(node) for node in nodes], self._digests)
        )
        self._alike = Counter[bytes]()
        self._lock = threading.Lock()

    def send(self, messages: Iterable[Message], until: float) -> list[Pending]:
        """Send instructions, several at once, and wait until they are in Drive, no longer than until ``until``."""
        self._instructions.delete_answered()
        self._digests.clear()
        batch = Batch(self._outbox, until)
        if self._shared is not None:
            self._shared.begin_batch(lambda: self._outbox.disposable(self._run_id()))
        try:
            self._fill(batch, messages)
        finally:
            # Also when a later message is refused: what is on its way must be known, to be withdrawn at the end.
            sent = batch.sent()
            self._instructions.add(sent)
        for pending in sent:
            if (kind := pending.instruction.metadata.message_type) != SYSTEM_MESSAGE:
                self._progress(
                    "sent",
                    owner=pending.email,
                    type=kind,
                    group=pending.group,
                    bytes=pending.size,
                    error=pending.failure,
                    message=pending.message_id,
                    future=pending.future_id,
                )
        return sent

    def send_greetings(self, messages: Iterable[Message]) -> list[Pending]:
        """Send messages that belong to no batch and whose answers somebody else awaits; try once."""
        batch = Batch(self._outbox, 0.0)
        self._fill(batch, messages)
        return batch.sent()

    def send_whole(self, pending: Pending) -> bool:
        """Send a message again whose owner could not get the objects, now with all in it; once."""
        body = None if self._shared is None else self._shared.whole(pending.message_id)
        if body is None:
            return False
        logger.warning("%s could not get the arrays that all share; it is sent its own", pending.email)
        again = self._outbox.send(pending, body + encode_stamp(self._stamp), math.inf)
        self._instructions.delete(pending.future_id)
        self._instructions.add([again])
        return True

    def release(self, pending: Pending) -> None:
        """Note that a message is over: it needs no shared arrays any more."""
        if self._shared is not None:
            self._shared.release(pending.message_id)

    def close(self) -> None:
        """Delete what was written for this run alone."""
        self._outbox.dispose()
        if self._shared is not None:
            self._shared.close()

    def _fill(self, batch: Batch, messages: Iterable[Message]) -> None:
        with batch:
            for message, following in _with_next(messages):
                self._check(message)
                pending = self._instructions.take_over(self._prepare(message))
                references = self._share(pending, message, following)
                weight = _size(message) - sum(reference.size for reference in references)
                batch.add(pending, functools.partial(self._encode, message, references), max(0, weight))

    def _check(self, message: Message) -> None:
        metadata, run_id = message.metadata, self._run_id()
        if metadata.run_id != run_id:
            raise ValueError(f"the message belongs to run {metadata.run_id}; this Grid is in run {run_id}")
        if metadata.src_node_id != AGGREGATOR_NODE_ID or metadata.reply_to_message_id:
            raise ValueError("the message is no instruction of the aggregator")
        if metadata.ttl <= 0:
            raise ValueError(f"the message's ttl must be positive; it is {metadata.ttl:g} s")
        if not message.has_content():
            raise ValueError("an instruction must have content")

    def _prepare(self, message: Message) -> Pending:
        message_id = self._identify(message)
        set_message_id(message, message_id)
        node = message.metadata.dst_node_id
        asked = outline(message.content)
        head = message_without_content(message)
        expires_at = self._outbox.rpc.clock.time() + message.metadata.ttl
        pending = Pending(message_id, head, "", round_of(message), 0, time.time(), expires_at, asked=asked)
        if node in self._nodes:
            return replace(pending, email=self._nodes.email(node))
        return replace(pending, email=f"node {node}", failure=f"no data owner of this run has the node ID {node}")

    def _identify(self, message: Message) -> str:
        """Return a message's ID, which is the same when a process that goes on with the run sends it again.

        An owner that has answered it then says the same again, and its Context counts it once.
        """
        metadata, others = message.metadata, RecordDict()
        digest = hashlib.sha256(
            repr((metadata.run_id, metadata.dst_node_id, metadata.message_type, metadata.group_id)).encode()
        )
        for name, record in message.content.items():
            if isinstance(record, ArrayRecord):
                digest.update(self._digests.of(name, record)[0].encode())
            else:
                others[name] = record
        digest.update(recorddict_to_proto(others).SerializeToString(deterministic=True))
        with self._lock:
            self._alike[digest.digest()] += 1
            digest.update(str(self._alike[digest.digest()]).encode())
        return digest.hexdigest()

    def _share(self, pending: Pending, message: Message, following: Message | None) -> list[ObjectReference]:
        """Put the records that a message shares with others into Drive, if its owner fetches such."""
        if self._shared is None or pending.failure or pending.future_id or not self._nodes.can(pending.node, OBJECTS):
            return []
        return self._shared.leave_out(message, following, self._outbox.disposable(message.metadata.run_id))

    def _encode(self, message: Message, references: list[ObjectReference]) -> bytes:
        body = encode(message, replace(self._stamp, objects=references))
        if references and self._shared is not None:
            self._shared.sent(message.metadata.message_id, body, references)
        return body


def _with_next(messages: Iterable[Message]) -> Iterator[tuple[Message, Message | None]]:
    """Yield each message with the one after it; one that can't be had takes nothing from those before."""
    iterator = iter(messages)
    message = next(iterator, None)
    while message is not None:
        try:
            following = next(iterator, None)
        except BaseException:
            yield message, None
            raise
        yield message, following
        message = following


def _size(message: Message) -> int:
    return sum(
        size_of(value) for record in message.content.values() for value in record.values() if isinstance(value, Array)
    )
