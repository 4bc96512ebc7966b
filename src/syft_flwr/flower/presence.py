"""Which data owners take part: who has answered the aggregator's hello, or a message since.

Nobody keeps a connection over Drive, so the aggregator greets every owner once, and again when it lost one.
An owner that comes late, or returns, answers the greeting that waits for it and is there from the next round on,
as a SuperNode that connects to a SuperLink.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from syft_flwr.flower.node import Nodes
from syft_flwr.flower.progress import Progress, silent


class Presence:
    """Who is there. Thread-safe; answers from memory."""

    def __init__(self, nodes: Nodes, progress: Progress = silent, clock: Callable[[], float] = time.monotonic) -> None:
        self._nodes = nodes
        self._progress = progress
        self._clock = clock
        self._present: set[int] = set()
        self._changed = threading.Condition()

    def node_ids(self) -> list[int]:
        """Return the nodes that are there, in the order in which the owners were named."""
        with self._changed:
            return [node for node in self._nodes if node in self._present]

    def missing(self) -> list[int]:
        with self._changed:
            return [node for node in self._nodes if node not in self._present]

    def arrived(self, node: int) -> None:
        """Note that a node gave a sign of life."""
        with self._changed:
            if node in self._present:
                return
            self._present.add(node)
            self._changed.notify_all()
        self._progress("owner", owner=self._nodes.email(node), state="present")

    def lost(self, node: int) -> bool:
        """Note that a node did not answer in time; return whether it was there before."""
        with self._changed:
            if node not in self._present:
                return False
            self._present.remove(node)
            self._changed.notify_all()
        self._progress("owner", owner=self._nodes.email(node), state="away")
        return True

    def wait_for(self, count: int, timeout: float, *, step: float = 5.0) -> bool:
        """Wait until ``count`` nodes are there.

        Args:
            count: How many nodes must be there.
            timeout: Seconds to wait at most.
            step: Seconds between two ``waiting`` events.

        Returns:
            Whether they came.
        """
        end = self._clock() + timeout
        while True:
            with self._changed:
                if len(self._present) >= count:
                    return True
                left = end - self._clock()
                if left <= 0:
                    return False
                if self._changed.wait_for(lambda: len(self._present) >= count, min(left, step)):
                    return True
            self._progress(
                "waiting",
                present=[self._nodes.email(n) for n in self.node_ids()],
                missing=[self._nodes.email(n) for n in self.missing()],
                needed=count,
            )
