"""Asks data owners whether they are there, and waits for their answers."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence

from syft_flwr.errors import DriveError, SyftFlwrError
from syft_flwr.flower._compat import FLWR_VERSION, SYSTEM_MESSAGE, ConfigRecord, Message, RecordDict
from syft_flwr.flower.codec import Stamp, decode
from syft_flwr.flower.node import Nodes
from syft_flwr.flower.outage import PatientRpc
from syft_flwr.flower.presence import Presence
from syft_flwr.flower.progress import Progress
from syft_flwr.flower.replies import Pending
from syft_flwr.printable import printable, printable_error

logger = logging.getLogger(__name__)

_STEP = 0.5  # seconds of a wait for answers, after which the thread looks whether somebody is to be greeted
_PAUSE = 5.0  # seconds after a failure, at first
_LONGEST_PAUSE = 300.0
_PATIENCE = 600.0  # seconds until a greeting that nobody answers is replaced, at first
_LONGEST_PATIENCE = 6 * 3600.0  # within its ttl
_JOIN = 10.0


class Greeter:
    """Greets owners, and tells :class:`Presence` of those that answer. Thread-safe.

    A thread of its own sends greetings, again if they can't be sent, and waits for the answers; one that nobody answers
    is replaced after pauses that grow, without an end. When all have answered, it costs no calls.
    """

    def __init__(
        self,
        rpc: PatientRpc,
        nodes: Nodes,
        presence: Presence,
        send: Callable[[Iterable[Message]], list[Pending]],
        progress: Progress,
        *,
        project_hash: str = "",
    ) -> None:
        self._project_hash = project_hash
        self._clock = rpc.clock
        self._rpc = rpc
        self._nodes = nodes
        self._presence = presence
        self._send = send
        self._progress = progress
        self._lock = threading.Lock()
        self._due: dict[int, tuple[float, float]] = {}  # node -> when it is to be greeted, and the pause before
        self._waiting: dict[str, tuple[int, float]] = {}  # future ID -> node, and when the greeting is replaced
        self._patience: dict[int, float] = {}
        self._greeted = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def greet(self, nodes: Sequence[int]) -> None:
        """Ask nodes whether they are there; does not wait for their answers."""
        if self._closing.is_set():
            return
        with self._lock:
            self._due |= dict.fromkeys(nodes, (0.0, _PAUSE))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="flower-greeter", daemon=True)
                self._thread.start()
        self._greeted.set()

    def lose(self, node: int, reason: str = "did not answer in time") -> None:
        """Note that a node is not there any more, and ask it to come back."""
        if node in self._nodes and self._presence.lost(node, reason):
            self.greet([node])

    def close(self) -> list[str]:
        """End the thread; return the futures of greetings that nobody answered. Idempotent."""
        self._closing.set()
        self._greeted.set()
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(_JOIN)
        with self._lock:
            left, self._waiting = list(self._waiting), {}
        return left

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                pause = self._look()
            except SyftFlwrError as error:
                logger.warning("can't look for data owners at the moment: %s", error)
                pause = _PAUSE
            self._clock.wait(self._greeted, pause)
            self._greeted.clear()

    def _look(self) -> float | None:
        """Greet those who are due, and take the answers of others; return the seconds until there is more to do."""
        with self._lock:
            now = self._clock.monotonic()
            due = {node: pause for node, (at, pause) in self._due.items() if at <= now}
        if due:
            self._send_to(due)
        with self._lock:
            waiting = dict(self._waiting)
            times = [at for at, _ in self._due.values()]
        if not waiting:
            return max(0.0, min(times) - self._clock.monotonic()) if times else None
        for future_id in self._rpc.answered(list(waiting), _STEP):
            self._take(waiting[future_id][0], future_id)
        self._replace_stale()
        return 0.0

    def _send_to(self, due: Mapping[int, float]) -> None:
        """Greet nodes; those that can't be reached are greeted again after a pause, which grows."""
        content = RecordDict({"config": ConfigRecord({"action": "hello"})})
        sent = self._send(Message(content, node, SYSTEM_MESSAGE, group_id="hello") for node in due)
        now = self._clock.monotonic()
        with self._lock:
            for pending in sent:
                pause = due[pending.node]
                if pending.failure:
                    self._due[pending.node] = (now + pause, pause if pending.outage else min(2 * pause, _LONGEST_PAUSE))
                else:
                    self._due.pop(pending.node, None)
                    patience = self._patience.get(pending.node, _PATIENCE)
                    self._patience[pending.node] = min(2 * patience, _LONGEST_PATIENCE)
                    self._waiting[pending.future_id] = pending.node, now + patience
        for pending in sent:
            if pending.failure and not pending.outage:  # or it would be the owner's fault that we have no network
                self._presence.unreachable(pending.node, pending.failure)

    def _take(self, node: int, future_id: str) -> None:
        """Take an owner's answer; one that can't be had is this owner's failure, and the owner is greeted again."""
        try:
            body = self._rpc.get_response(future_id)
            if body is None:  # Drive can't be reached at the moment
                return
            self._welcome(node, body)
        except DriveError as error:
            failure = f"its answer can't be had: {printable_error(error)}"
            with self._lock:
                self._due[node] = (self._clock.monotonic() + _LONGEST_PAUSE, _LONGEST_PAUSE)
            self._presence.unreachable(node, failure)
        self._forget(future_id)

    def _replace_stale(self) -> None:
        """Withdraw greetings that nobody has answered for long, and greet anew."""
        now = self._clock.monotonic()
        with self._lock:
            stale = {future: node for future, (node, until) in self._waiting.items() if until <= now}
        for future_id in stale:
            self._forget(future_id)
        if stale:
            self.greet(list(stale.values()))

    def _forget(self, future_id: str) -> None:
        with self._lock:
            self._waiting.pop(future_id, None)
        self._rpc.delete_future(future_id)

    def _welcome(self, node: int, body: bytes) -> None:
        email, stamp = self._nodes.email(node), Stamp()
        try:
            reply, stamp = decode(body)
            if reply.has_error() and stamp.flwr:  # others' apps may not know the greeting
                reason = f"{email} is here, but {printable(reply.error.reason)}"
                self._progress("owner", owner=email, state="differs", reason=reason)
        except SyftFlwrError:
            logger.debug("%s answered the greeting in a way of its own", email)
        self._nodes.learn(node, stamp.can)
        reasons = []
        if stamp.flwr and stamp.flwr != FLWR_VERSION:
            reasons.append(
                f"{email} runs flwr {stamp.flwr}, the aggregator {FLWR_VERSION}; install the same if apps fail"
            )
        if stamp.project and self._project_hash and stamp.project != self._project_hash:
            reasons.append(
                f"{email} has another state of the project ({stamp.project[:12]}) than the aggregator "
                f"({self._project_hash[:12]}) and runs its own"
            )
        for reason in reasons:
            logger.warning("%s", reason)
            self._progress("owner", owner=email, state="differs", reason=reason, flwr=stamp.flwr, project=stamp.project)
        self._patience.pop(node, None)
        self._presence.arrived(node)
