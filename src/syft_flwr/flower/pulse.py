"""Asks data owners that are silent over their work whether they are still there."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from syft_flwr.errors import SyftFlwrError
from syft_flwr.flower.node import Nodes
from syft_flwr.flower.outage import PatientRpc
from syft_flwr.flower.presence import Presence
from syft_flwr.flower.transport import DISPOSABLE, PRESENCE, PRESENCE_ENDPOINT, wire_app_name

logger = logging.getLogger(__name__)

_SILENCE = 300.0
"""Seconds without a word from an owner whose reply is awaited, after which it is asked."""


@dataclass(slots=True)
class _Question:
    future_id: str
    asked: float
    told: bool = False


class Pulse:
    """Notes signs of life of owners at work, and those that give none. Thread-safe.

    An owner answers on an endpoint of its own, while its app works. A question costs two small files, some 150 units of
    each side. There is one at a time for each owner that is awaited and silent; a run in which replies come has none.
    Owners of other versions, and those that come now and then only, are not asked.

    After five minutes without a word an owner is asked; after twice as long without an answer, ``lose`` is told
    its node, and why it counts as away.
    """

    def __init__(
        self,
        rpc: PatientRpc,
        app_name: str,
        nodes: Nodes,
        presence: Presence,
        lose: Callable[[int, str], None],
    ) -> None:
        self._rpc = rpc
        self._app = wire_app_name(app_name)
        self._nodes = nodes
        self._presence = presence
        self._lose = lose
        self._lock = threading.Lock()
        self._awaited: dict[int, float] = {}
        self._questions: dict[int, _Question] = {}

    def look(self, awaited: Iterable[int], disposable: str) -> None:
        """Ask those of the nodes, whose replies are awaited, that have been silent; take the answers of others.

        Does nothing while another thread looks.
        """
        if not self._lock.acquire(blocking=False):
            return
        try:
            now = self._rpc.clock.monotonic()
            self._awaited = {node: self._awaited.get(node, now) for node in awaited}
            self._take_answers(now)
            for node, since in self._awaited.items():
                seen = self._presence.last_seen(node)
                silent = min(now - since, float("inf") if seen is None else seen)
                if silent >= _SILENCE and node not in self._questions and self._nodes.can(node, PRESENCE):
                    self._ask(node, now, disposable)
        finally:
            self._lock.release()

    def close(self) -> list[str]:
        """Return the futures of questions that nobody answered; idempotent."""
        with self._lock:
            left, self._questions = [question.future_id for question in self._questions.values()], {}
        return left

    def _ask(self, node: int, now: float, disposable: str) -> None:
        can_dispose = disposable if self._nodes.can(node, DISPOSABLE) else ""
        try:
            future_id = self._rpc.send(
                self._nodes.email(node), self._app, PRESENCE_ENDPOINT, b"?", 0.0, disposable=can_dispose
            )
        except SyftFlwrError as error:
            logger.debug("%s can't be asked: %s", self._nodes.email(node), error)
        else:
            self._questions[node] = _Question(future_id, now)

    def _take_answers(self, now: float) -> None:
        asked = {question.future_id: node for node, question in self._questions.items()}
        for future_id in self._rpc.answered(list(asked), 0.0) if asked else ():
            node = asked[future_id]
            del self._questions[node]
            self._rpc.delete_future(future_id)
            self._presence.arrived(node)
        for node, question in self._questions.items():
            if self._rpc.is_down:
                question.asked = now  # its answer could not come
            elif not question.told and now - question.asked >= 2 * _SILENCE:
                question.told = True
                self._lose(node, "gives no sign of life")
