"""What hostile participants send, and the instructions that they answer."""

from __future__ import annotations

import time

import numpy as np

from syft_flwr.flower._compat import Array, ArrayRecord, Message, MetricRecord, RecordDict, set_task_identity
from syft_flwr.flower.array_forms import outline
from syft_flwr.flower.node import node_id
from syft_flwr.flower.replies import Pending

OWNER = "do1@example.com"
OTHER = "do2@example.com"
AGGREGATOR = "agg@example.com"
RUN = 77


def arrays() -> RecordDict:
    """Return what an instruction to train carries."""
    return RecordDict({"arrays": ArrayRecord({"w": Array(np.arange(6, dtype=np.float32).reshape(2, 3))})})


def instruction(content: RecordDict | None = None, owner: str = OWNER, kind: str = "train") -> Message:
    """Return an instruction as the Grid sends it."""
    set_task_identity(RUN, 1)
    message = Message(arrays() if content is None else content, node_id(owner), kind, group_id="1")
    message.metadata.__dict__["_message_id"] = "ab" * 32
    return message


def pending(content: RecordDict | None = None) -> Pending:
    """Return an instruction that waits for its reply."""
    sent = instruction(content)
    now, asked = time.time(), outline(sent.content)
    return Pending(sent.metadata.message_id, sent, OWNER, "1", 0, now, now + sent.metadata.ttl, "future", asked=asked)


def trained(**metrics: float) -> RecordDict:
    """Return what an honest owner answers."""
    return RecordDict({**arrays(), "metrics": MetricRecord({"num-examples": 10, "loss": 0.5, **metrics})})
