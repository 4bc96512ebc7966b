"""What a data owner does with a message: a pure decision."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from syft_flwr.flower._compat import AGGREGATOR_NODE_ID, SYSTEM_MESSAGE, Message
from syft_flwr.flower.codec import Stamp
from syft_flwr.flower.run_store import RunTag

LONGEST_TTL = 30 * 86_400.0
"""Seconds; Flower's own default is 12 hours."""
_SKEW = 86_400.0
"""Seconds by which an aggregator's clock may be ahead of Drive's."""
_LONGEST_ID = 256


class Action(StrEnum):
    RUN = "run"
    """Run the app."""
    GREET = "greet"
    """Answer the aggregator's hello."""
    STOP = "stop"
    """Answer, and end the loop."""
    REFUSE = "refuse"
    """Answer with an Error that has the reason."""
    IGNORE = "ignore"
    """No answer: nobody waits for one."""


@dataclass(frozen=True, slots=True)
class Verdict:
    action: Action
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Situation:
    """What the decision depends on beside the message.

    ``run`` is the run being served, ``age`` the seconds since the message was written and ``uptime`` those since this
    process started, both by Drive's clock, which says ``now`` (Unix seconds).
    """

    node: int
    run: RunTag | None
    age: float
    uptime: float
    now: float

    @property
    def written(self) -> float:
        """When the message was written, by Drive's clock."""
        return self.now - self.age


def decide(message: Message, stamp: Stamp, situation: Situation) -> Verdict:
    """Decide about a message whose sender is known to be the aggregator.

    A stop counts only for the run that is served: one that an earlier run left behind must not end this one's loop.
    For the same reason a process follows a stop only if it was written since it started: an interrupted run leaves
    greetings and stops behind, which are found in any order.
    A run that started later replaces the one that is served; messages of the older one are refused from then on.
    """
    metadata = message.metadata
    if absurdity := _absurdity(message, stamp, situation):
        return Verdict(Action.REFUSE, absurdity)
    if metadata.dst_node_id != situation.node:
        return Verdict(Action.REFUSE, f"it is addressed to node {metadata.dst_node_id}, this is node {situation.node}")
    if metadata.src_node_id != AGGREGATOR_NODE_ID or metadata.reply_to_message_id:
        return Verdict(Action.REFUSE, "it is no instruction of an aggregator")
    system = _system_action(message)
    run = situation.run
    if system == "stop":
        return _stop(metadata.run_id, situation)
    if situation.age > metadata.ttl:
        late = situation.age - metadata.ttl
        return Verdict(Action.IGNORE, f"its ttl of {metadata.ttl:g} s was over {late:.0f} s ago")
    if run is not None and metadata.run_id != run.run_id and run_tag(message, stamp, situation).started <= run.started:
        return Verdict(Action.REFUSE, f"it belongs to run {metadata.run_id}; a later run {run.run_id} has begun")
    if not message.has_content():
        return Verdict(Action.REFUSE, "it has no content")
    if system == "hello":
        return Verdict(Action.GREET)
    if system:
        return Verdict(Action.REFUSE, f"unknown action {system!r}")
    return Verdict(Action.RUN)


def run_tag(message: Message, stamp: Stamp, situation: Situation) -> RunTag:
    """Tell a message's run; other participants' messages do not say when it began, so the message stands for it.

    No run began after a message of it was written, whatever the aggregator's clock says: else one that is ahead would
    keep the aggregator's next run away.
    """
    return RunTag(message.metadata.run_id, min(_claimed_start(message, stamp), situation.written))


def _claimed_start(message: Message, stamp: Stamp) -> float:
    return stamp.run_started or message.metadata.created_at


def _absurdity(message: Message, stamp: Stamp, situation: Situation) -> str:
    """Say which of a message's claims no honest aggregator makes."""
    metadata = message.metadata
    if not 0 < metadata.ttl <= LONGEST_TTL:
        return f"its ttl is {metadata.ttl:g} s; from above 0 to {LONGEST_TTL:.0f} s is taken"
    if not 0 < metadata.run_id < 2**64:
        return f"{metadata.run_id} is no run ID"
    if len(metadata.message_id) > _LONGEST_ID or not metadata.message_id.isprintable():
        return "its message ID is none"
    if not 0 <= metadata.created_at <= situation.now + _SKEW:
        return f"it claims to be of the time {metadata.created_at:g}, which is none of the past; check the clock"
    if not 0 <= (started := _claimed_start(message, stamp)) <= situation.written + _SKEW:
        return f"it claims that its run began at the time {started:g}, which is none of the past; check the clock"
    return ""


def _stop(run_id: int, situation: Situation) -> Verdict:
    run = situation.run
    if run is None or run.run_id != run_id:
        return Verdict(Action.IGNORE, f"it ends run {run_id}, which is not served here")
    if situation.age > situation.uptime:
        return Verdict(Action.IGNORE, f"it ended run {run_id} before this process started")
    return Verdict(Action.STOP)


def _system_action(message: Message) -> str:
    """Return the action of a message that controls the run, ``""`` for messages to the app."""
    metadata = message.metadata
    if metadata.message_type != SYSTEM_MESSAGE:
        return ""
    config = message.content.config_records.get("config") if message.has_content() else None
    if config is not None and "action" in config:
        return str(config["action"])
    return "stop" if metadata.group_id == "final" else "?"
