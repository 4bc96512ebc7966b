"""What an aggregator's message claims can't stop an owner, and can't keep the aggregator's next run away."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from flower_fakes import Letter
from test_owner import ME, Owner, message

from syft_flwr.errors import FlowerError, StateError
from syft_flwr.flower._compat import Message, RecordDict
from syft_flwr.flower.codec import ObjectReference, Stamp, encode, encode_stamp
from syft_flwr.flower.node import node_id
from syft_flwr.flower.run_store import RunStore, RunTag

NOW = 1_800_000_000.0
DAY = 86_400.0


def claiming(**metadata: Any) -> Message:
    made = message(run=6)
    for name, value in metadata.items():
        made.metadata.__dict__[f"_{name}"] = value
    return made


@pytest.fixture
def owner(tmp_path: Path) -> Owner:
    return Owner(tmp_path, NOW)


def next_run_works(owner: Owner) -> bool:
    owner.now = NOW + 60
    honest = claiming(run_id=7, created_at=NOW + 50)
    reply = owner.send(honest, Stamp(run_started=NOW + 50))
    return reply is not None and reply.has_content()


@pytest.mark.parametrize(
    "metadata",
    [
        {"ttl": math.inf},
        {"ttl": math.nan},
        {"ttl": -math.inf},
        {"ttl": -1.0},
        {"ttl": 0.0},
        {"ttl": 1e12},
        {"created_at": math.inf},
        {"created_at": math.nan},
        {"created_at": -1e300},
        {"run_id": 0},
        {"message_id": "x" * 100_000},
        {"message_id": "../../current\n"},
        {"message_id": "\x1b[2J"},
    ],
    ids=repr,
)
def test_a_message_of_absurd_claims_is_refused_and_the_next_run_works(metadata: dict[str, Any], owner: Owner) -> None:
    reply = owner.send(claiming(**{"created_at": NOW, **metadata}))
    assert reply is None or reply.has_error()
    assert owner.apps.messages == []
    assert next_run_works(owner)


@pytest.mark.parametrize("started", [NOW + 400 * DAY, 9e10, -5.0])
def test_a_run_from_the_far_future_is_refused_and_the_next_run_works(started: float, owner: Owner) -> None:
    reply = owner.send(claiming(created_at=NOW), Stamp(run_started=started))
    assert reply is None or reply.has_error()
    assert owner.apps.messages == []
    assert next_run_works(owner)


@pytest.mark.parametrize("started", [math.inf, math.nan, -math.inf, 1e300])
def test_a_start_that_is_no_time_is_no_message(started: float, owner: Owner) -> None:
    with pytest.raises(FlowerError):
        owner.send(claiming(created_at=NOW), Stamp(run_started=started))
    assert next_run_works(owner)


def test_a_clock_that_is_ahead_keeps_no_later_run_away(owner: Owner) -> None:
    ahead = owner.send(claiming(created_at=NOW), Stamp(run_started=NOW + DAY / 2))
    assert ahead is not None
    assert ahead.has_content()
    assert next_run_works(owner)


def test_a_start_in_the_future_that_was_stored_keeps_no_later_run_away(tmp_path: Path) -> None:
    RunStore(tmp_path / "runs").set_current(RunTag(99, 1e18))
    assert next_run_works(Owner(tmp_path, NOW))


@pytest.mark.parametrize("run_id", ["../../etc", 2**64, -1, True])
def test_the_store_takes_run_ids_only(run_id: Any, tmp_path: Path) -> None:
    store = RunStore(tmp_path / "runs")
    for use in (
        lambda: store.save(run_id, "m", b"c", b"r"),
        lambda: store.forget(run_id),
        lambda: store.context(run_id),
    ):
        with pytest.raises(StateError, match="no run ID"):
            use()
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


@pytest.mark.parametrize("value", [[1], None, {"a": 1}, math.nan, "x" * 20_000], ids=lambda value: type(value).__name__)
def test_a_run_config_of_anything_but_plain_values_is_no_message(value: Any, owner: Owner) -> None:
    with pytest.raises(FlowerError):
        owner.send(claiming(created_at=NOW), Stamp(run_started=NOW, run_config={"lr": value}))
    assert next_run_works(owner)


@pytest.mark.parametrize(
    "objects",
    [
        [ObjectReference(0, "ab" * 32, 2**40 + 1, "f" * 33)],
        [ObjectReference(0, "ab" * 32, 9, "f" * 33)] * 2,
        [ObjectReference(10**9, "ab" * 32, 9, "f" * 33)],
        [ObjectReference(0, "../../../x", 9, "f" * 33)],
        [ObjectReference(0, "ab" * 32, -9, "f" * 33)],
        [ObjectReference(0, "ab" * 32, 9, "../../about?x=")],
    ],
    ids=["beyond reason", "one place", "far away", "a path", "less than nothing", "another request"],
)
def test_references_to_arrays_that_make_no_sense_are_no_message(objects: list[ObjectReference], owner: Owner) -> None:
    with pytest.raises(FlowerError):
        owner.send(claiming(created_at=NOW), Stamp(run_started=NOW, objects=objects))
    assert next_run_works(owner)


def test_arrays_that_the_disk_has_no_room_for_are_not_fetched(owner: Owner) -> None:
    objects = [ObjectReference(place, f"{place:064x}", 2**40, "f" * 33) for place in range(8)]
    reply = owner.send(claiming(created_at=NOW), Stamp(run_started=NOW, objects=objects))
    assert reply is not None
    assert "they take 8,796,093,022,208 bytes, and" in reply.error.reason
    assert next_run_works(owner)


def test_a_stop_without_content_ends_nothing_of_a_run_that_is_not_served(owner: Owner) -> None:
    made = Message(RecordDict(), node_id(ME), "system", group_id="final", ttl=60)
    made.metadata.__dict__["_run_id"] = 6
    assert owner.send(made) is None
    assert next_run_works(owner)


@pytest.mark.parametrize("spoil", [lambda b: b + encode_stamp(Stamp(seen=math.nan)), lambda b: b[:-3], lambda b: b * 2])
def test_a_spoiled_message_is_told_to_its_sender_and_the_next_run_works(
    spoil: Callable[[bytes], bytes], owner: Owner
) -> None:
    body = spoil(encode(claiming(created_at=NOW), Stamp(run_started=NOW)))
    wire = Letter("agg@example.com", ME, "flwr/x", "messages", "f", body).wire()
    with suppress(FlowerError):
        owner.owner.handle(body, wire)
    assert next_run_works(owner)
