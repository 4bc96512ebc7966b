"""Which data owners take part: who has answered the aggregator's hello, or a message since.

Over Drive there are no connections, so the aggregator greets every owner once, and again when it lost one.
An owner that comes late, or returns, answers the greeting that waits for it and is there from the next round on,
as a SuperNode that connects to a SuperLink.
"""

from __future__ import annotations

import threading
import time

from syft_flwr.flower.node import Nodes
from syft_flwr.flower.progress import Progress, silent
from syft_flwr.ports import Clock

_FIRST_WORD = 5.0  # seconds before a wait is told; the pauses between further words grow
_LONGEST_SILENCE = 300.0


class Reminder:
    """Says when a wait is worth a word: after ``first`` seconds, then after pauses that double, at most 5 minutes."""

    def __init__(self, first: float, clock: Clock) -> None:
        self._clock = clock
        self._since = clock.monotonic()
        self._pause = first
        self._due = self._since + first

    def due(self) -> float | None:
        """Return the seconds waited so far if it is time for a word."""
        now = self._clock.monotonic()
        if now < self._due:
            return None
        self._pause = min(2 * self._pause, _LONGEST_SILENCE)
        self._due = now + self._pause
        return now - self._since


class Presence:
    """Who is there. Thread-safe; answers from memory."""

    def __init__(self, nodes: Nodes, clock: Clock, progress: Progress = silent) -> None:
        self._nodes = nodes
        self._progress = progress
        self._clock = clock
        self._present: set[int] = set()
        self._seen: dict[int, float] = {}
        self._reasons: dict[int, str] = {}
        self._lock = threading.Lock()
        self._changed = threading.Event()

    def node_ids(self) -> list[int]:
        """Return the nodes that are there, in the order in which the owners were named."""
        with self._lock:
            return [node for node in self._nodes if node in self._present]

    def missing(self) -> dict[str, str]:
        """Return the addresses of the owners that are not there, each with why."""
        with self._lock:
            absent = [node for node in self._nodes if node not in self._present]
            return {self._nodes.email(n): self._reasons.get(n, "has not answered the greeting") for n in absent}

    def last_seen(self, node: int) -> float | None:
        """Return the seconds since a node's last sign of life; ``None`` if it has given none."""
        with self._lock:
            return self._clock.monotonic() - self._seen[node] if node in self._seen else None

    def arrived(self, node: int) -> None:
        """Note that a node gave a sign of life."""
        with self._lock:
            self._seen[node] = self._clock.monotonic()
            self._reasons.pop(node, None)
            if node in self._present:
                return
            self._present.add(node)
            self._changed.set()
        self._progress("owner", owner=self._nodes.email(node), state="present")

    def unreachable(self, node: int, reason: str) -> None:
        """Note that a node could not be greeted; told once for each reason."""
        reason = f"can't be reached: {reason}"
        with self._lock:
            known, self._reasons[node] = self._reasons.get(node), reason
        if known != reason:
            self._progress("owner", owner=self._nodes.email(node), state="unreachable", reason=reason)

    def last_seen_at(self) -> dict[str, float | None]:
        """Return the times (Unix seconds) of all owners' last signs of life; ``None`` of those that have given none."""
        now = time.time()
        ago = {self._nodes.email(node): self.last_seen(node) for node in self._nodes}
        return {email: None if seconds is None else now - seconds for email, seconds in ago.items()}

    def lost(self, node: int, reason: str) -> bool:
        """Note that a node is not there any more; return whether it was before."""
        with self._lock:
            if node not in self._present:
                return False
            self._present.remove(node)
            self._reasons[node] = reason
            self._changed.set()
        self._progress("owner", owner=self._nodes.email(node), state="away", reason=reason)
        return True

    def wait_for(self, count: int, timeout: float) -> bool:
        """Wait until ``count`` nodes are there.

        Args:
            count: How many nodes must be there.
            timeout: Seconds to wait at most.

        Returns:
            Whether they came.
        """
        end = self._clock.monotonic() + timeout
        reminder = Reminder(_FIRST_WORD, self._clock)
        while True:
            self._changed.clear()
            if len(self.node_ids()) >= count:
                return True
            if (left := end - self._clock.monotonic()) <= 0:
                return False
            self._clock.wait(self._changed, min(left, _FIRST_WORD))
            if (waited := reminder.due()) is not None:
                self.remind(waited, count, "the run starts when they are here")

    def remind(self, waited: float, needed: int | None, why: str) -> None:
        """Tell who is awaited, for how many seconds so far, how many there must be if that is known, and why."""
        missing = self.missing()
        seen = [(self._nodes.email(node), self.last_seen(node)) for node in self._nodes]
        self._progress(
            "waiting",
            present=[self._nodes.email(n) for n in self.node_ids()],
            missing=missing,
            last_seen={email: ago for email, ago in seen if email in missing and ago is not None},
            needed=needed,
            seconds=waited,
            why=why,
        )
