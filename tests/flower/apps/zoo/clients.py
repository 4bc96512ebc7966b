"""ClientApps, one per behaviour."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.client import NumPyClient
from flwr.client.mod import secaggplus_mod
from flwr.clientapp import ClientApp
from flwr.clientapp.mod import fixedclipping_mod, message_size_mod

CALLS = {"count": 0}


def _data(context: Context) -> np.ndarray:
    return np.random.default_rng(int(context.node_config["partition-id"])).normal(1.0, 0.1, size=(20, 4))


def _reply(message: Message, arrays: np.ndarray, **metrics: float) -> Message:
    content = RecordDict(
        {
            "arrays": ArrayRecord({"mean": Array(arrays)}),
            "metrics": MetricRecord({"num-examples": 20, **metrics}),
        }
    )
    return Message(content, reply_to=message)


def _train(message: Message, context: Context) -> Message:
    mean = message.content["arrays"]["mean"].numpy()
    data = _data(context)
    return _reply(message, mean + 0.5 * (data.mean(axis=0) - mean), distance=float(np.abs(data - mean).mean()))


def _evaluate(message: Message, context: Context) -> Message:
    mean = message.content["arrays"]["mean"].numpy()
    metrics = MetricRecord({"num-examples": 20, "distance": float(np.abs(_data(context) - mean).mean())})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)


def _round(message: Message) -> int:
    return int(message.content["config"]["server-round"])


plain = ClientApp()
plain.train()(_train)
plain.evaluate()(_evaluate)

raising = ClientApp()


@raising.train()
def _raise(message: Message, context: Context) -> Message:
    raise ValueError(f"no data in partition {context.node_config['partition-id']}\nand a second line")


raising.evaluate()(_evaluate)

raises_in_round_2 = ClientApp()


@raises_in_round_2.train()
def _raise_in_round_2(message: Message, context: Context) -> Message:
    context.state["seen"] = ConfigRecord({"round": _round(message)})
    if _round(message) == 2 and context.node_config["partition-id"] == 0:
        raise ValueError("round 2 is too much")
    return _train(message, context)


raises_in_round_2.evaluate()(_evaluate)

crashing = ClientApp()


@crashing.train()
def _crash(message: Message, context: Context) -> Message:
    if _round(message) == 2 and context.node_config["partition-id"] == 0:
        os.kill(os.getpid(), signal.SIGSEGV)
    return _train(message, context)


crashing.evaluate()(_evaluate)

exiting = ClientApp()


@exiting.train()
def _exit(message: Message, context: Context) -> Message:
    sys.exit(3)


hanging = ClientApp()


@hanging.train()
def _hang(message: Message, context: Context) -> Message:
    threading.Event().wait()
    return _train(message, context)


odd = ClientApp()


@odd.train()
def _odd(message: Message, context: Context) -> Message:
    return "no message"  # type: ignore[return-value]


counting = ClientApp()


@counting.train()
def _count(message: Message, context: Context) -> Message:
    """Count in the context, which survives, and in a module global, which does not; a file holds up round 2."""
    before = int(context.state["counter"]["count"]) if "counter" in context.state else 0
    context.state["counter"] = ConfigRecord({"count": before + 1})
    CALLS["count"] += 1
    hold = str(context.node_config.get("hold", os.environ.get("ZOO_HOLD", "")))
    while hold and _round(message) == 2 and Path(hold).exists():
        threading.Event().wait(0.02)
    reply = _train(message, context)
    reply.content["metrics"]["count"] = before + 1
    reply.content["metrics"]["calls"] = CALLS["count"]
    return reply


counting.evaluate()(_evaluate)

rolling = ClientApp()


@rolling.train()
def _roll(message: Message, context: Context) -> Message:
    return _reply(message, np.zeros(4), numpy=float(np.random.normal()), python=random.random())  # noqa: NPY002


clipping = ClientApp(mods=[message_size_mod])
clipping.train(mods=[fixedclipping_mod])(_train)
clipping.evaluate()(_evaluate)

asked = ClientApp()


@asked.query()
def _histogram(message: Message, context: Context) -> Message:
    counts, _ = np.histogram(_data(context), bins=[0.0, 0.9, 1.0, 1.1, 2.0])
    return Message(RecordDict({"counts": MetricRecord({"values": [int(n) for n in counts]})}), reply_to=message)


@asked.query("size")
def _size(message: Message, context: Context) -> Message:
    return Message(RecordDict({"size": MetricRecord({"value": len(_data(context))})}), reply_to=message)


class _Legacy(NumPyClient):
    def __init__(self, context: Context) -> None:
        self._context = context

    def get_parameters(self, config):
        return [np.zeros(4)]

    def fit(self, parameters, config):
        np.random.seed(0)  # noqa: NPY002 - SecAgg+ rounds by chance what is returned
        data = _data(self._context)
        mean = parameters[0] + 0.5 * (data.mean(axis=0) - parameters[0])
        return [mean], len(data), {"distance": float(np.abs(data - mean).mean())}

    def evaluate(self, parameters, config):
        data = _data(self._context)
        return float(np.abs(data - parameters[0]).mean()), len(data), {"top": float(data.max())}


def _client_fn(context: Context):
    return _Legacy(context).to_client()


legacy = ClientApp(client_fn=_client_fn)
secret = ClientApp(client_fn=_client_fn, mods=[secaggplus_mod])
