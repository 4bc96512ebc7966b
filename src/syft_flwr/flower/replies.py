"""What a reply must fulfil, and the Error replies that stand in for replies that did not come: pure decisions."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from syft_flwr.errors import FlowerError
from syft_flwr.flower._compat import AGGREGATOR_NODE_ID, Error, ErrorCode, Message
from syft_flwr.flower.array_forms import Outline
from syft_flwr.flower.codec import Stamp, decode, decode_file
from syft_flwr.flower.file_array import LARGE, SharedFile
from syft_flwr.flower.screening import INITIAL_PARAMETERS, flaw_in, flaw_in_initial
from syft_flwr.printable import printable

_LONGEST_REASON = 4_000
"""Characters of an owner's reason: one that shares its errors sends a traceback."""


@dataclass(frozen=True, slots=True)
class Pending:
    """An instruction under way.

    ``instruction`` is without content. ``sent_at`` is Unix seconds of this machine's clock, for the record;
    ``expires_at`` is by the transport's, which for all participants is Drive's. ``future_id`` is empty when sending
    failed; ``failure`` then says why, and ``outage`` whether it was for want of Drive. ``asked`` is what replies are
    compared with.
    """

    message_id: str
    instruction: Message
    email: str
    group: str
    size: int
    sent_at: float
    expires_at: float
    future_id: str = ""
    failure: str = ""
    outage: bool = False
    asked: Outline = field(default_factory=dict)

    @property
    def node(self) -> int:
        return self.instruction.metadata.dst_node_id


def read_reply(pending: Pending, body: bytes, now: float, spool: Path | None = None) -> tuple[Message, Stamp]:
    """Turn the answer to an instruction into a reply; the arrays of a large one stay in a file until they are used.

    The transport has checked that Drive names the addressed owner as the answer's author. What the message claims
    of itself must fit to that; if it does not, the reply is an Error that says so, and nothing waits in vain.
    """
    try:
        reply, stamp = _decode(body, spool)
    except FlowerError as error:
        reason = _handler_failure(body) or f"{pending.email} sent no Flower message: {error}"
        return error_reply(pending, ErrorCode.UNKNOWN, reason, now), Stamp()
    if flaw := _flaw(pending, reply):
        reason = f"the reply of {pending.email} was refused: {flaw}"
        return error_reply(pending, ErrorCode.UNKNOWN, reason, now), stamp
    if reply.has_error():
        return error_reply(pending, reply.error.code, printable(reply.error.reason, _LONGEST_REASON), now), stamp
    return reply, stamp


def _decode(body: bytes, spool: Path | None) -> tuple[Message, Stamp]:
    if len(body) < LARGE:
        return decode(body)
    file = SharedFile(spool)
    file.write(body)
    return decode_file(file)


def error_reply(pending: Pending, code: int, reason: str, now: float) -> Message:
    """Build the Error reply that stands in for a node's own."""
    reply = Message(Error(code=code, reason=reason), reply_to=pending.instruction)
    # Derived from the instruction's, a ttl would be negative after expiry; a SuperLink says 0 then, too.
    reply.metadata.ttl = max(0.0, pending.expires_at - now)
    return reply


def expired_reply(pending: Pending, now: float) -> Message:
    return error_reply(
        pending,
        ErrorCode.MESSAGE_UNAVAILABLE,
        f"no reply of {pending.email} within the message's ttl of {pending.instruction.metadata.ttl:g} s",
        now,
    )


def reply_event(pending: Pending, reply: Message, stamp: Stamp, received: int, now: float) -> dict[str, Any]:
    """Return the fields of a ``reply`` event: whose, of how many bytes, and when each thing happened."""
    return {
        "owner": pending.email,
        "type": pending.instruction.metadata.message_type,
        "group": pending.group,
        "bytes": received,
        "error": (reply.error.reason or "unknown error") if reply.has_error() else "",
        "sent": pending.sent_at,
        "seen": stamp.seen,
        "started": stamp.started,
        "finished": stamp.finished,
        "received": now,
    }


def _flaw(pending: Pending, reply: Message) -> str:
    sent, got = pending.instruction.metadata, reply.metadata
    if got.run_id != sent.run_id:
        return f"it belongs to run {got.run_id}, this is run {sent.run_id}"
    if got.reply_to_message_id != pending.message_id:
        return f"it answers message {got.reply_to_message_id[:16]!r}, not {pending.message_id[:16]!r}"
    if got.src_node_id != pending.node:
        return f"it claims to come from node {got.src_node_id}, but this address is node {pending.node}"
    if got.dst_node_id != AGGREGATOR_NODE_ID:
        return f"it is addressed to node {got.dst_node_id}"
    if reply.has_content() == reply.has_error():
        return "it has neither content nor error"
    if reply.has_error():
        return ""
    flaw = flaw_in(reply.content, pending.asked)
    return flaw or (flaw_in_initial(reply.content) if sent.message_type == INITIAL_PARAMETERS else "")


def _handler_failure(body: bytes) -> str:
    """Return the text of a transport's own error reply, a JSON object, or ``""``."""
    try:
        raw = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    return printable(raw["error"], _LONGEST_REASON) if isinstance(raw, dict) and "error" in raw else ""
