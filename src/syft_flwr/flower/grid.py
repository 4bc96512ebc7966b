"""The aggregator's Grid: Flower's messages over files in Drive."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from syft_flwr.flower._compat import (
    FLWR_VERSION,
    SYSTEM_MESSAGE,
    ConfigRecord,
    Grid,
    Message,
    RecordDict,
    Run,
    unknown_message_reply,
)
from syft_flwr.flower.codec import Stamp
from syft_flwr.flower.collector import Collector
from syft_flwr.flower.dispatcher import Dispatcher
from syft_flwr.flower.greeter import Greeter
from syft_flwr.flower.instructions import Instructions
from syft_flwr.flower.journal import RunJournal
from syft_flwr.flower.node import Nodes
from syft_flwr.flower.outage import PatientRpc
from syft_flwr.flower.outbox import Outbox
from syft_flwr.flower.presence import Presence, Reminder
from syft_flwr.flower.progress import Progress, silent
from syft_flwr.flower.pulse import Pulse
from syft_flwr.flower.replies import Pending
from syft_flwr.flower.transport import Rpc

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
        stamp: Stamp | None = None,
        *,
        earlier: Mapping[str, str] | None = None,
        progress: Progress = silent,
        spool: Path | None = None,
        journal: RunJournal | None = None,
    ) -> None:
        """Connect a transport and the data owners.

        Args:
            rpc: The aggregator's transport; closed by whoever opened it.
            app_name: The project's name, without the ``flwr/`` of the wire.
            datasites: Addresses of the data owners.
            stamp: What the owners are told beside the messages; by default of a run that starts now.
            earlier: Futures of messages that were under way then, by message ID.
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
        self._required: int | None = None
        self._asking: Reminder | None = None
        self._run: Run | None = None
        stamp = stamp or Stamp(FLWR_VERSION, run_started=time.time())
        self._instructions = Instructions(self._rpc, earlier or {})
        self._dispatcher = Dispatcher(
            Outbox(self._rpc, app_name, self.nodes),
            self.nodes,
            self._instructions,
            stamp,
            progress,
            run_id=lambda: self.run.run_id,
            spool=spool,
        )
        send = self._dispatcher.send_greetings
        self._greeter = Greeter(self._rpc, self.nodes, self.presence, send, progress, project_hash=stamp.project)
        self._collector = Collector(
            self._rpc, self._instructions, self._dispatcher, self.presence, self._greeter.lose, progress, spool
        )
        self._pulse = Pulse(self._rpc, app_name, self.nodes, self.presence, self._greeter.lose)

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
        self._look_after_owners()
        found = {message_id: self._instructions.get(message_id) for message_id in message_ids}
        replies = [
            unknown_message_reply(self.run.run_id, message_id) if pending is None else self._collector.fetch(pending)
            for message_id, pending in found.items()
        ]
        return [reply for reply in replies if reply is not None]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Send messages and wait for their replies.

        Args:
            messages: What to send; a generator is consumed as its messages are sent.
            timeout: Seconds to wait. What is missing then is absent, and the owners are spared the work.
                ``None`` waits until every message has a reply, which its ttl bounds.

        Returns:
            Replies and Error replies, in the order in which the data owners were named.
        """
        patience = math.inf if timeout is None else timeout
        end = self._clock.monotonic() + patience
        sent = self._push(messages, self._clock.time() + patience)
        waiting = {pending.message_id: pending for pending in sent}
        replies: dict[str, Message] = {}
        reminder = Reminder(_FIRST_REMINDER, self._clock)
        while waiting:
            left = end - self._clock.monotonic()
            for message_id, reply in self._collector.collect(waiting, left):
                replies[message_id] = reply
                del waiting[message_id]
            if left <= 0:
                break
            self._look_after_owners()
            if (waited := reminder.due()) is not None:
                self._collector.remind(waiting.values(), waited, end - self._clock.monotonic())
        for pending in waiting.values():
            self._collector.give_up(pending)
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
                self._collector.forget(waiting.pop(future_id))
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

    def _push(self, messages: Iterable[Message], until: float = math.inf) -> list[Pending]:
        self._asking = None
        return self._dispatcher.send(messages, until)

    def _look_after_owners(self) -> None:
        self._pulse.look(self._instructions.nodes_at_work(), str(self.run.run_id))
