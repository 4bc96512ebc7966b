"""Dataclasses that are quickly made are what dataclasses are."""

from __future__ import annotations

import inspect
from dataclasses import FrozenInstanceError, asdict, dataclass, field, replace

import pytest

from syft_flwr.frozen import quickly_made


@dataclass(frozen=True, slots=True)
class Slow:
    a: int
    b: str = "b"
    c: dict[str, int] = field(default_factory=dict, hash=False)


@quickly_made
@dataclass(frozen=True, slots=True)
class Fast:
    a: int
    b: str = "b"
    c: dict[str, int] = field(default_factory=dict, hash=False)


def test_they_take_the_same_arguments() -> None:
    assert list(inspect.signature(Fast).parameters) == list(inspect.signature(Slow).parameters)
    assert asdict(Fast(1)) == asdict(Slow(1))
    assert asdict(Fast(1, "x", {"y": 2})) == asdict(Slow(1, "x", {"y": 2}))
    assert asdict(Fast(a=1, c={})) == asdict(Slow(a=1, c={}))
    with pytest.raises(TypeError):
        Fast()  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Fast(1, d=2)  # type: ignore[call-arg]


def test_each_gets_a_default_of_its_own() -> None:
    assert Fast(1).c is not Fast(1).c


def test_they_stay_frozen_equal_hashable_and_replaceable() -> None:
    with pytest.raises(FrozenInstanceError):
        Fast(1).a = 2  # type: ignore[misc]
    assert Fast(1) == Fast(1)
    assert hash(Fast(1)) == hash(Fast(1))
    assert replace(Fast(1), b="z") == Fast(1, "z")
    assert repr(Fast(1)) == "Fast(a=1, b='b', c={})"
