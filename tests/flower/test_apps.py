from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flower_fakes import Events
from flower_federation import Federation, zoo_project

from syft_flwr.errors import FlowerError

Federate = Callable[..., Federation]


@pytest.fixture(autouse=True)
def forget_apps() -> Iterator[None]:
    """The aggregator runs in this process, and Flower's loader takes what is imported already."""
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "zoo"]:
        del sys.modules[name]


def run(federate: Federate, tmp_path: Path, progress: Events, server: str, client: str, **options: Any) -> list[Any]:
    owners = federate(zoo_project(tmp_path, server, client, rounds=options.pop("rounds", 2)), options.pop("count", 2))
    aggregation = owners.aggregate(tmp_path / "out", progress, **options)
    rounds: list[Any] = aggregation.result()["rounds"]
    return rounds


@pytest.mark.parametrize("server", ["fedavg", "fedprox", "fedadam"])
def test_strategies_of_the_new_api_run_unchanged(
    federation: Federate, tmp_path: Path, progress: Events, server: str
) -> None:
    rounds = run(federation, tmp_path, progress, server, "plain")
    assert [row["round"] for row in rounds] == [1, 2]
    assert rounds[1]["evaluate"]["distance"] < rounds[0]["evaluate"]["distance"]


def test_evaluation_on_the_aggregator_is_recorded_from_before_the_first_round(
    federation: Federate, tmp_path: Path, progress: Events
) -> None:
    rounds = run(federation, tmp_path, progress, "central", "plain")
    assert rounds[0]["server"]["norm"] == 0.0
    assert [row["round"] for row in rounds] == [0, 1, 2]


def test_a_legacy_server_fn_with_numpy_clients_runs_unchanged(
    federation: Federate, tmp_path: Path, progress: Events
) -> None:
    rounds = run(federation, tmp_path, progress, "legacy", "legacy", count=3)
    assert [row["round"] for row in rounds] == [1, 2]
    assert rounds[1]["evaluate"]["loss"] < rounds[0]["evaluate"]["loss"]
    assert rounds[1]["train"]["distance"] < rounds[0]["train"]["distance"]


def test_secure_aggregation_with_three_clients_runs_unchanged(
    federation: Federate, tmp_path: Path, progress: Events
) -> None:
    rounds = run(federation, tmp_path, progress, "secret", "secret", count=3)
    assert [row["round"] for row in rounds] == [1, 2]
    assert rounds[1]["evaluate"]["loss"] < rounds[0]["evaluate"]["loss"]
    assert {event["error"] for event in progress.named("reply")} == {""}


def test_differential_privacy_with_client_side_clipping_runs_unchanged(
    federation: Federate, tmp_path: Path, progress: Events
) -> None:
    rounds = run(federation, tmp_path, progress, "private", "clipping", count=3)
    assert rounds[1]["evaluate"]["distance"] < rounds[0]["evaluate"]["distance"]


def test_query_messages_run_without_any_strategy(
    federation: Federate, tmp_path: Path, progress: Events, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(federation, tmp_path, progress, "asking", "asked") == []
    assert "TOTAL 40" in capsys.readouterr().out


def test_a_counter_in_the_context_survives_and_a_module_global_does_not(
    federation: Federate, tmp_path: Path, progress: Events
) -> None:
    rounds = run(federation, tmp_path, progress, "train_only", "counting", rounds=3)
    assert [row["train"]["count"] for row in rounds] == [1.0, 2.0, 3.0]
    assert [row["train"]["calls"] for row in rounds] == [1.0, 1.0, 1.0]


def test_every_message_gets_random_numbers_of_its_own(federation: Federate, tmp_path: Path, progress: Events) -> None:
    rounds = run(federation, tmp_path, progress, "train_only", "rolling", rounds=3)
    assert len({row["train"]["numpy"] for row in rounds}) == 3
    assert len({row["train"]["python"] for row in rounds}) == 3


def test_a_client_that_raises_costs_one_failure_and_takes_part_again(
    federation: Federate, tmp_path: Path, progress: Events
) -> None:
    rounds = run(federation, tmp_path, progress, "fedavg", "raises_in_round_2", rounds=3)
    assert [row["round"] for row in rounds] == [1, 2, 3]
    errors = [(e["owner"], e["type"], e["group"], e["error"]) for e in progress.named("reply") if e["error"]]
    assert errors == [("do1@example.com", "train", "2", "<class 'ValueError'>:<'round 2 is too much'>")]


def test_a_crash_of_the_app_is_an_error_reply_and_the_owner_goes_on(
    federation: Federate, tmp_path: Path, progress: Events
) -> None:
    rounds = run(federation, tmp_path, progress, "fedavg", "crashing", rounds=3)
    assert [row["round"] for row in rounds] == [1, 2, 3]
    errors = [(e["owner"], e["group"], e["error"]) for e in progress.named("reply") if e["error"]]
    assert errors == [("do1@example.com", "2", "the ClientApp's process was killed by SIGSEGV")]


@pytest.mark.parametrize(
    ("client", "word"),
    [
        ("raising", "no data in partition 0"),
        ("exiting", "SystemExit"),
        ("odd", "returned a str instead of a Message"),
        ("missing", "LoadClientAppError"),
    ],
)
def test_an_app_that_fails_everywhere_is_told_with_its_reason_and_the_run_ends_as_the_server_app_does(
    federation: Federate, tmp_path: Path, progress: Events, client: str, word: str
) -> None:
    run(federation, tmp_path, progress, "train_only", client, rounds=1)
    (failed,) = progress.named("failed")
    assert failed["type"] == "train"
    assert word in failed["reasons"]["do1@example.com"]
    assert "second line" not in failed["reasons"]["do1@example.com"]


@pytest.mark.parametrize("server", ["twice", "again"], ids=["two strategies", "one strategy twice"])
def test_strategies_that_one_app_starts_one_after_the_other_are_kept_apart(
    federation: Federate, tmp_path: Path, progress: Events, server: str
) -> None:
    rounds = run(federation, tmp_path, progress, server, "plain")
    assert [(row.get("start", 1), row["round"]) for row in rounds] == [(1, 1), (2, 1)]
    kept = sorted(path.name for path in (tmp_path / "out" / "checkpoints").glob("*.npz"))
    assert kept == ["round-1.npz", "start-2-round-1.npz"]
    assert len(progress.named("checkpoint")) == 2


def test_only_the_last_three_checkpoints_are_kept(federation: Federate, tmp_path: Path, progress: Events) -> None:
    run(federation, tmp_path, progress, "train_only", "plain", rounds=5)
    kept = sorted(path.name for path in (tmp_path / "out" / "checkpoints").iterdir())
    assert kept == [f"round-{number}.{suffix}" for number in (3, 4, 5) for suffix in ("npz", "state")]


def test_a_server_app_that_raises_fails_the_run_and_the_owners_leave(
    federation: Federate, tmp_path: Path, progress: Events
) -> None:
    owners = federation(zoo_project(tmp_path, "broken", "plain"))
    with pytest.raises(FlowerError, match="the server forgot its keys"):
        owners.aggregate(tmp_path / "out", progress)
    for thread in owners.owners:
        thread.join(10)
        assert not thread.is_alive()
    reason = owners.progress["do1@example.com"].named("stopped")[0]["reason"]
    assert reason == "the run failed; its aggregator knows why"


def test_a_server_app_that_exits_without_an_error_has_come_to_its_end(
    federation: Federate, tmp_path: Path, progress: Events
) -> None:
    rounds = run(federation, tmp_path, progress, "exits_well", "plain")
    assert [row["round"] for row in rounds] == [1]
    assert progress.named("dismissed")[0]["reason"] == "the run is complete"


def test_a_server_app_that_exits_with_an_error_fails_the_run(
    federation: Federate, tmp_path: Path, progress: Events
) -> None:
    owners = federation(zoo_project(tmp_path, "exits_badly", "plain"))
    with pytest.raises(FlowerError, match="the ServerApp raised SystemExit: 3"):
        owners.aggregate(tmp_path / "out", progress)


def test_the_aggregators_overrides_of_the_run_config_reach_the_owners(
    federation: Federate, tmp_path: Path, progress: Events
) -> None:
    rounds = run(federation, tmp_path, progress, "train_only", "counting", rounds=3, **{"num-server-rounds": 1})
    assert [row["round"] for row in rounds] == [1]
