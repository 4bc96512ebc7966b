"""What of a strategy goes from one process to another."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord
from flwr.serverapp.strategy import (
    DifferentialPrivacyServerSideAdaptiveClipping,
    FedAdam,
    FedAvg,
    FedAvgM,
    Strategy,
)

from syft_flwr.flower.plain_state import StrategyState, freeze, thaw

VALUES = [
    None,
    True,
    3,
    0.1 + 0.2,
    "text",
    b"\x00\xff",
    [1, (2.5, "a")],
    {1: "one", "two": [2]},
    np.float32(0.1),
    np.arange(6, dtype=np.int16).reshape(2, 3),
    MetricRecord({"loss": 0.1, "all": [1, 2]}),
    ConfigRecord({"lr": 0.1, "names": ["a"], "raw": b"\x01"}),
]


def moved(state: StrategyState, other: StrategyState) -> None:
    arrays: list[np.ndarray[Any, Any]] = []
    other.restore(json.loads(json.dumps(state.save(arrays))), arrays)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_plain_data_comes_back_as_it_was(value: Any) -> None:
    arrays: list[np.ndarray[Any, Any]] = []
    back = thaw(json.loads(json.dumps(freeze(value, arrays))), arrays)
    assert type(back) is type(value)
    assert np.array_equal(back, value) if isinstance(value, np.ndarray) else back == value


def test_records_of_arrays_come_back_with_the_same_bytes() -> None:
    arrays: list[np.ndarray[Any, Any]] = []
    record = ArrayRecord({"w": Array(np.linspace(0, 1, 7, dtype=np.float32)), "b": Array(np.zeros(()))})
    back = thaw(json.loads(json.dumps(freeze(record, arrays))), arrays)
    assert [(name, array.data) for name, array in back.items()] == [(n, a.data) for n, a in record.items()]


@pytest.mark.parametrize("value", [object(), {1, 2}, np.array([object()]), lambda: None, [object()]])
def test_what_is_not_plain_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        freeze(value, [])


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda: FedAdam(eta=0.1), ["m_t", "v_t", "current_arrays"]),
        (lambda: FedAvgM(server_momentum=0.9), ["momentum_vector", "current_arrays"]),
    ],
)
def test_moments_of_flowers_strategies_are_moved(make: Callable[[], Strategy], names: list[str]) -> None:
    strategy, other = make(), make()
    state, others = StrategyState(strategy), StrategyState(other)
    for place, name in enumerate(names):
        setattr(strategy, name, {"w": np.full(3, place + 0.1)})
    moved(state, others)
    for name in names:
        np.testing.assert_array_equal(getattr(other, name)["w"], getattr(strategy, name)["w"])
    assert others.beyond() == []


def test_strategies_in_strategies_are_moved_too() -> None:
    def make() -> DifferentialPrivacyServerSideAdaptiveClipping:
        return DifferentialPrivacyServerSideAdaptiveClipping(FedAdam(), noise_multiplier=0.1, num_sampled_clients=2)

    strategy, other = make(), make()
    state, others = StrategyState(strategy), StrategyState(other)
    strategy.clipping_norm = 0.7
    strategy.strategy.m_t = {"w": np.ones(2)}
    moved(state, others)
    assert other.clipping_norm == 0.7
    np.testing.assert_array_equal(other.strategy.m_t["w"], np.ones(2))


def test_only_what_has_changed_and_is_not_plain_is_named() -> None:
    strategy = FedAvg()
    strategy.rare = {1}
    state = StrategyState(strategy)
    strategy.rounds = 3
    assert state.beyond() == []
    strategy.rare.add(2)
    assert state.beyond() == ["rare"]
