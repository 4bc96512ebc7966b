"""An owner that breaks SecAgg+ is refused by name; the round goes on without it or is not used, and the run goes on."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flwr.client import NumPyClient
from flwr.client.mod import secaggplus_mod
from flwr.common import ndarray_to_bytes
from flwr.server import LegacyContext, SimpleClientManager
from flwr.server.compat.grid_client_proxy import GridClientProxy
from flwr.server.workflow import SecAggPlusWorkflow
from hostile import RUN, instruction

from syft_flwr.flower._compat import (
    SECAGG_RECORD,
    ArrayRecord,
    ClientApp,
    ConfigRecord,
    Context,
    Error,
    LegacyFedAvg,
    Message,
    RecordDict,
)
from syft_flwr.flower.secure_aggregation import guarded

HOSTILE = 10
Spoil = Callable[[dict[str, Any]], None]


class Trainer(NumPyClient):
    def get_parameters(self, config):
        return [np.zeros(4)]

    def fit(self, parameters, config):
        return [parameters[0] + 1.0], 20, {}


class Owners:
    """A Grid with data owners in this process; one of them spoils its answers in one stage."""

    def __init__(self, count: int, key: str, spoil: Spoil) -> None:
        instruction()  # says who the aggregator is
        self._app = ClientApp(client_fn=lambda _: Trainer().to_client(), mods=[secaggplus_mod])
        self._states = {node: Context(RUN, node, {}, RecordDict(), {}) for node in range(HOSTILE, HOSTILE + count)}
        self._key = key
        self._spoil = spoil
        self.refused: dict[int, str] = {}
        self.errors: set[int] = set()
        self.at_work = 0

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        return [self._answer(message) for message in messages]

    def _answer(self, message: Message) -> Message:
        node = self.at_work = message.metadata.dst_node_id
        sent = copy.deepcopy(message)  # the mod changes what it gets
        try:
            reply = self._app(sent, self._states[node])
        except (ValueError, KeyError) as error:
            self.errors.add(node)
            return Message(Error(1, str(error)), reply_to=message)
        answer = dict(reply.content[SECAGG_RECORD])
        if node == HOSTILE and self._key in answer:
            self._spoil(answer)
            reply.content[SECAGG_RECORD] = ConfigRecord(answer)
        return reply

    def aggregate(self) -> np.ndarray:
        """Complete a round as far as can be; return the global parameters."""
        clients = SimpleClientManager()
        for node in self._states:
            clients.register(GridClientProxy(node, self, RUN))
        context = LegacyContext(
            Context(RUN, 1, {}, RecordDict(), {}),
            strategy=LegacyFedAvg(min_fit_clients=len(self._states)),
            client_manager=clients,
        )
        context.state["config"] = ConfigRecord({"current_round": 1})
        context.state["parameters"] = ArrayRecord([np.zeros(4)])
        workflow = SecAggPlusWorkflow(num_shares=len(self._states), reconstruction_threshold=2)
        guarded(SecAggPlusWorkflow.__call__, self.refused.__setitem__)(workflow, self, context)
        return next(iter(context.state["parameters"].values())).numpy()


def without(key: str) -> Spoil:
    return lambda answer: answer.pop(key)


def put(key: str, value: Any) -> Spoil:
    return lambda answer: answer.update({key: value})


def change(key: str, how: Callable[[Any], Any]) -> Spoil:
    return lambda answer: answer.update({key: how(answer[key])})


def other_key() -> bytes:
    key = rsa.generate_private_key(65537, 2048).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def first_only(how: Callable[[bytes], bytes]) -> Callable[[list[bytes]], list[bytes]]:
    return lambda items: [how(items[0]), *items[1:]]


def flipped(share: bytes) -> bytes:
    return share[:-1] + bytes([share[-1] ^ 1])


# What is spoilt in which stage, and whether the round can be completed without the owner's answer.
BREACHES: dict[str, tuple[str, Spoil, bool]] = {
    "no key": ("pk1", without("pk2"), False),
    "a key that is a number": ("pk1", put("pk1", 5), False),
    "a key that is rubbish": ("pk1", put("pk1", b"rubbish"), False),
    "a key of another kind": ("pk1", put("pk2", other_key()), False),
    "the same key twice": ("pk1", lambda answer: answer.update(pk2=answer["pk1"]), False),
    "no shares": ("ctxts", without("ctxts"), False),
    "fewer shares than destinations": ("ctxts", change("ctxts", lambda texts: texts[1:]), False),
    "shares for strangers": ("ctxts", change("dsts", lambda nodes: [n + 1 for n in nodes]), False),
    "shares that are not encrypted": ("ctxts", change("ctxts", lambda texts: [b"rubbish"] * len(texts)), False),
    "no vector": ("masked_params", without("masked_params"), True),
    "a vector of rubbish": ("masked_params", change("masked_params", first_only(lambda _: b"rubbish")), True),
    "a vector of another form": (
        "masked_params",
        change("masked_params", lambda parts: [parts[0], ndarray_to_bytes(np.zeros(9, int))]),
        True,
    ),
    "a vector of texts": (
        "masked_params",
        change("masked_params", lambda parts: [parts[0], ndarray_to_bytes(np.array(["a"] * 4))]),
        True,
    ),
    "fewer shares than it was asked for": ("shares", change("shares", lambda shares: shares[1:]), True),
    "shares of others": ("shares", change("nids", lambda nodes: [n + 1 for n in nodes]), True),
    "one share twice": ("shares", change("nids", lambda nodes: [nodes[0], *nodes[:-1]]), True),
    "shares that are numbers": ("shares", change("shares", lambda shares: [1] * len(shares)), True),
    "wrong shares": ("shares", change("shares", lambda shares: [flipped(share) for share in shares]), True),
    "one wrong share": ("shares", change("shares", first_only(flipped)), True),
    "shares of no length": ("shares", change("shares", first_only(lambda _: b"")), True),
    "shares cut short": ("shares", change("shares", first_only(lambda share: share[:9])), True),
    "the index of another share": ("shares", change("shares", first_only(lambda s: s[:3] + b"\x07" + s[4:])), True),
}


@pytest.mark.parametrize("breach", BREACHES)
def test_an_owner_that_breaks_secure_aggregation_is_refused_by_name(breach: str) -> None:
    key, spoil, is_completed = BREACHES[breach]
    owners = Owners(3, key, spoil)
    trained = owners.aggregate()
    assert set(owners.refused) == {HOSTILE}
    assert not owners.errors
    assert trained == pytest.approx(np.ones(4) if is_completed else np.zeros(4), abs=1e-2)


def test_without_a_breach_the_round_is_that_of_flower() -> None:
    owners = Owners(3, "none", lambda answer: None)
    assert owners.aggregate() == pytest.approx(np.ones(4), abs=1e-2)
    assert not owners.refused


@pytest.mark.parametrize("count", [3, 4])
def test_shares_of_one_secret_that_were_dealt_wrong_are_the_dealers_failure(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    owners = Owners(count, "none", lambda answer: None)
    module = importlib.import_module("flwr.client.mod.secure_aggregation.secaggplus_mod")
    deal = module.create_shares

    def deal_wrong(secret: bytes, threshold: int, number: int) -> list[bytes]:
        shares: list[bytes] = deal(secret, threshold, number)
        if owners.at_work != HOSTILE:
            return shares
        return [share[:4] + bytes([place]) * (len(share) - 4) for place, share in enumerate(shares)]

    monkeypatch.setattr(module, "create_shares", deal_wrong)
    assert owners.aggregate() == pytest.approx(np.zeros(4))
    assert set(owners.refused) == {HOSTILE}


def test_wrong_shares_that_could_be_of_any_owner_cost_the_round_and_accuse_nobody() -> None:
    """Of three points on a line, one of which is wrong, it can't be told which."""

    def spoil(answer: dict[str, Any]) -> None:
        answer["shares"] = [share[:4] + bytes([share[4] ^ 1]) + share[5:] for share in answer["shares"]]

    owners = Owners(3, "shares", spoil)
    assert owners.aggregate() == pytest.approx(np.zeros(4))
    assert not owners.refused


def test_of_four_owners_one_wrong_byte_in_a_seed_tells_its_sender() -> None:
    def spoil(answer: dict[str, Any]) -> None:
        answer["shares"] = [share[:4] + bytes([share[4] ^ 1]) + share[5:] for share in answer["shares"]]

    owners = Owners(4, "shares", spoil)
    assert owners.aggregate() == pytest.approx(np.ones(4), abs=1e-2)
    assert set(owners.refused) == {HOSTILE}
