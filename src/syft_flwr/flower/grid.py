"""The aggregator's Grid: Flower's messages over files in Drive."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from syft_flwr.errors import DriveError
from syft_flwr.flower._compat import (
    FLWR_VERSION,
    SYSTEM_MESSAGE,
    ConfigRecord,
    ErrorCode,
    Grid,
    Message,
    RecordDict,
    Run,
    unknown_message_reply,
)
from syft_flwr.flower.codec import Stamp
from syft_flwr.flower.dispatcher import Dispatcher
from syft_flwr.flower.greeter import Greeter
from syft_flwr.flower.instructions import Instructions
from syft_flwr.flower.node import Nodes
from syft_flwr.flower.outage import Journal, PatientRpc
from syft_flwr.flower.outbox import Outbox
from syft_flwr.flower.presence import Presence, Reminder
from syft_flwr.flower.progress import Progress, silent
from syft_flwr.flower.project import Config
from syft_flwr.flower.pulse import SILENCE, Pulse
from syft_flwr.flower.replies import Pending, error_reply, expired_reply, read_reply, reply_event
from syft_flwr.flower.transport import Rpc
from syft_flwr.printable import printable_error

_LONGEST_WAIT = 5.0  # seconds; every wait looks at ttl and timeout again after this
_FIRST_REMINDER = 30.0  # seconds


class FlowerGrid(Grid):
    """Sends a ServerApp's messages to data owners and brings their replies.

    Thread-safe: several threads may call :meth:`send_and_receive` at once, and each gets the replies to its own
    messages only. Replies come in the order in which the data owners were named, whatever the order of arrival, so
    a strategy that adds them up gets the same floating-point sum in every run.
    """

    def __init__(
        self,
        rpc: Rpc,
        app_name: str,
        datasites: Sequence[str],
        *,
        project_hash: str = "",
        run_config: Config | None = None,
        run_started: float | None = None,
        earlier: Mapping[str, str] | None = None,
        silence: float = SILENCE,
        progress: Progress = silent,
        spool: Path | None = None,
        journal: Journal | None = None,
    ) -> None:
        """Connect a transport and the data owners.

        Args:
            rpc: The aggregator's transport; closed by whoever opened it.
            app_name: The project's name, without the ``flwr/`` of the wire.
            datasites: Addresses of the data owners.
            project_hash: Tells owners which state of the project the aggregator runs.
            run_config: The aggregator's overrides of the run config, for the owners.
            run_started: Unix seconds, if the run goes on that another process started.
            earlier: Futures of messages that were under way then, by message ID.
            silence: Seconds without a word from an owner whose reply is awaited, after which it is asked for one.
            spool: Directory for the arrays of large replies, while a strategy keeps them; by default the system's.
            journal: Is told of each request that is sent or deleted.
            progress: Gets ``sent``, ``reply``, ``late``, ``owner``, ``short``, ``waiting``, ``awaiting``, ``outage``
                and ``outage_over`` events.
        """
        self.nodes = Nodes(datasites)
        self.presence = Presence(self.nodes, rpc.clock, progress)
        self._clock = rpc.clock
        self._rpc = PatientRpc(rpc, progress, journal)
        self._progress = progress
        self._spool = spool
        self._required: int | None = None
        self._asking: Reminder | None = None
        self._run: Run | None = None
        stamp = Stamp(
            flwr=FLWR_VERSION,
            project=project_hash,
            run_started=time.time() if run_started is None else run_started,
            run_config=dict(run_config or {}),
        )
        self._instructions = Instructions(self._rpc, earlier or {})
        self._dispatcher = Dispatcher(
            Outbox(self._rpc, app_name, self.nodes),
            self.nodes,
            self._instructions,
            stamp,
            progress,
            run_id=lambda: self.run.run_id,
            datasites=datasites,
            spool=spool,
        )
        self._greeter = Greeter(
            self._rpc,
            self.nodes,
            self.presence,
            self._dispatcher.send_greetings,
            progress,
            project_hash=project_hash,
        )
        self._longest_wait = min(_LONGEST_WAIT, silence)
        self._pulse = Pulse(self._rpc, app_name, self.nodes, self.presence, self._lose, silence=silence)

    def set_run(self, run: Run) -> None:
        if not isinstance(run, Run):
            raise TypeError(f"`run` must be an instance of Run, got {type(run).__name__}")
        self._run = run

    @property
    def run(self) -> Run:
        """Return a copy of the run's data.

        Raises:
            RuntimeError: No run was set.
        """
        if self._run is None:
            raise RuntimeError("no run is set; call set_run() first")
        return Run(**vars(self._run))

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        """Return the nodes that are there, from memory: strategies ask every second while they wait."""
        nodes = self.presence.node_ids()
        self._asking = asking = self._asking or Reminder(_LONGEST_WAIT, self._clock)
        if (waited := asking.due()) is not None and (self._required is None or len(nodes) < self._required):
            self.presence.remind(waited, self._required, "the ServerApp waits for them")
        return nodes

    def refused(self, node: int, flaw: str) -> None:
        """Note that a node's reply did not reach the strategy although it could be read."""
        self._progress("refused", owner=self.nodes.email(node), reason=flaw)

    def require(self, nodes: int) -> None:
        """Note how many nodes a strategy that starts waits for; warn if there can never be so many."""
        self._required = nodes or None
        if nodes > len(self.nodes):
            self._progress("short", required=nodes, owners=len(self.nodes))

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Send messages, several at once, and return their IDs in the same order.

        A message that can't be sent (an unknown node, an address that Drive refuses) gets an ID, too: its reply is an
        Error that says why.

        Raises:
            ValueError: A message is not of this run, not from the aggregator, or has no positive ttl. Those before it
                were sent.
        """
        return [pending.message_id for pending in self._push(messages)]

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Return the replies that are there; an unknown, expired or unsent message has an Error reply at once."""
        replies: list[Message] = []
        self._look_after_owners()
        for message_id in dict.fromkeys(message_ids):
            if (pending := self._instructions.get(message_id)) is None:
                replies.append(unknown_message_reply(self.run.run_id, message_id))
                continue
            if (reply := self._fetch(pending) if pending.future_id else self._settle(pending, None)) is not None:
                replies.append(reply)
        return replies

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Send messages and wait for their replies.

        Args:
            messages: What to send; a generator is consumed as its messages are sent.
            timeout: Seconds to wait. What is missing then is absent, and the owners are spared the work.
                ``None`` waits until every message has a reply, which its ttl bounds.

        Returns:
            Replies and Error replies, in the order in which the data owners were named.
        """
        end = None if timeout is None else self._clock.monotonic() + timeout
        sent = self._push(messages, math.inf if timeout is None else self._clock.time() + timeout)
        waiting = {pending.message_id: pending for pending in sent}
        replies: dict[str, Message] = {}
        reminder = Reminder(_FIRST_REMINDER, self._clock)
        while waiting:
            left = None if end is None else end - self._clock.monotonic()
            for message_id, reply in self._collect(waiting, left):
                replies[message_id] = reply
                del waiting[message_id]
            if left is not None and left <= 0:
                break
            self._look_after_owners()
            if (waited := reminder.due()) is not None:
                self._remind(waiting.values(), waited, end)
        for pending in waiting.values():
            self._give_up(pending)
        # Sorting is stable: several messages to one node keep their order.
        answered = sorted((p for p in sent if p.message_id in replies), key=lambda p: self.nodes.position(p.node))
        return [replies[pending.message_id] for pending in answered]

    def greet(self) -> None:
        """Ask every data owner whether it is there; their answers are awaited by a thread until :meth:`close`."""
        self._greeter.greet(list(self.nodes))

    def stop_owners(self, reason: str, timeout: float = 10.0) -> list[str]:
        """Tell every data owner that the run is over.

        Args:
            reason: For the owners' logs.
            timeout: Seconds to wait for their answers.

        Returns:
            Owners that were there but have not answered; the stop message waits for them in Drive.
        """
        there = set(self.presence.node_ids())
        content = RecordDict({"config": ConfigRecord({"action": "stop", "reason": reason})})
        waiting = {
            p.future_id: p
            for p in self._push(
                (Message(content, node, SYSTEM_MESSAGE, group_id="final") for node in self.nodes),
                self._clock.time() + timeout,
            )
            if p.future_id
        }
        awaited = {future for future, pending in waiting.items() if pending.node in there}
        end = self._clock.monotonic() + timeout
        while awaited and (left := end - self._clock.monotonic()) > 0:
            for future_id in self._rpc.answered(awaited, min(left, _LONGEST_WAIT)):
                awaited.discard(future_id)
                self._forget(waiting.pop(future_id))
        for pending in waiting.values():
            self._instructions.leave(pending)
        return [waiting[future_id].email for future_id in awaited]

    def close(self) -> None:
        """End the thread and withdraw what nobody has answered; idempotent."""
        self._instructions.withdraw(self.leave())
        self._dispatcher.close()

    def leave(self) -> list[str]:
        """End the thread, and leave all in Drive to a process that goes on; return futures that nobody needs."""
        self._rpc.close()
        return self._greeter.close() + self._pulse.close()

    def _remind(self, waiting: Collection[Pending], waited: float, end: float | None) -> None:
        """Tell whose replies are awaited."""
        if not waiting:
            return
        some = next(iter(waiting))
        left = min(pending.expires_at for pending in waiting) - self._clock.time()
        self._progress(
            "awaiting",
            owners={pending.email: self.presence.last_seen(pending.node) for pending in waiting},
            type=some.instruction.metadata.message_type,
            group=some.group,
            seconds=waited,
            left=left if end is None else min(left, end - self._clock.monotonic()),
        )

    def _push(self, messages: Iterable[Message], until: float = math.inf) -> list[Pending]:
        self._asking = None
        return self._dispatcher.send(messages, until)

    def _collect(self, waiting: Mapping[str, Pending], left: float | None) -> list[tuple[str, Message]]:
        """Wait a while for the first replies; return them, and the Error replies of what expired meanwhile."""
        current = self._instructions.latest(waiting.values())
        futures = [p.future_id for p in current if p.future_id]
        answered: set[str] = set()
        if len(futures) == len(waiting):
            patience = min(self._longest_wait, min(p.expires_at for p in current) - self._clock.time())
            answered = self._rpc.answered(futures, max(0.0, patience if left is None else min(patience, left)))
        found: list[tuple[str, Message]] = []
        for pending in current:
            # One by one: of several large replies, only one is in memory as bytes and as a message at once.
            reply = self._fetch(pending) if pending.future_id in answered else self._settle(pending, None)
            if reply is not None:
                found.append((pending.message_id, reply))
        return found

    def _fetch(self, pending: Pending) -> Message | None:
        """Return the reply to an instruction if there is one; one that can't be had is an Error reply of its owner."""
        try:
            body = self._rpc.get_response(pending.future_id)
        except DriveError as error:
            reason = f"the reply of {pending.email} can't be had: {printable_error(error)}"
            return self._settle(replace(pending, failure=reason), None)
        return self._settle(pending, body)

    def _settle(self, pending: Pending, body: bytes | None) -> Message | None:
        """Return the reply to an instruction, if it has one by now, and forget the instruction."""
        now = self._clock.time()
        stamp = Stamp()
        if body is not None:
            received = len(body)
            reply, stamp = read_reply(pending, body, now, self._spool)
            self.presence.arrived(pending.node)
            if stamp.lacks_objects and reply.has_error() and self._dispatcher.send_whole(pending):
                return None
        elif pending.failure:
            received, reply = 0, error_reply(pending, ErrorCode.NODE_UNAVAILABLE, pending.failure, now)
        elif now >= pending.expires_at:
            received, reply = 0, expired_reply(pending, now)
            self._lose(pending.node)
        else:
            return None
        self._forget(pending, keep=body is not None)
        self._progress("reply", **reply_event(pending, reply, stamp, received, time.time()))
        return reply

    def _give_up(self, pending: Pending) -> None:
        kind = pending.instruction.metadata.message_type
        self._progress("late", owner=pending.email, type=kind, group=pending.group)
        self._forget(pending)
        self._lose(pending.node)

    def _lose(self, node: int, reason: str = "did not answer in time") -> None:
        if node in self.nodes and self.presence.lost(node, reason):
            self._greeter.greet([node])

    def _look_after_owners(self) -> None:
        self._pulse.look(self._instructions.nodes_at_work(), str(self.run.run_id))

    def _forget(self, pending: Pending, *, keep: bool = False) -> None:
        self._dispatcher.release(pending)
        self._instructions.forget(pending, keep=keep)
