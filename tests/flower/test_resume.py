"""An aggregator that was killed goes on with its run."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flower_federation import zoo_project
from flower_parties import AGGREGATOR, Party, parties
from flwr.app import Array, ArrayRecord, Message
from flwr.serverapp.strategy import FedAvg
from typer.testing import CliRunner

from syft_flwr.cli.main import app
from syft_flwr.errors import ConfigurationError
from syft_flwr.flower._compat import set_task_identity
from syft_flwr.flower.checkpoints import Checkpoints, RoundState, save_arrays
from syft_flwr.flower.plain_state import StrategyState
from syft_flwr.flower.recorder import Recorder
from syft_flwr.flower.resumption import CONFIGS, Playback
from syft_flwr.testing import DriveEmulator

OWNERS = ["do1@example.com", "do2@example.com"]
Start = Callable[..., Party]
Begin = Callable[..., Start]


@pytest.fixture
def hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "hold"
    monkeypatch.setenv("ZOO_HOLD", str(path))
    return path


@pytest.fixture
def begin(drive_emulator: DriveEmulator, tmp_path: Path) -> Iterator[Begin]:
    """Let participants of a project of the zoo start."""
    stack: list[Any] = []

    def make(server: str, *, rounds: int = 3) -> Start:
        stack.append(
            parties(
                zoo_project(tmp_path, server, "counting", rounds=rounds),
                OWNERS,
                drive_emulator.host,
                tmp_path / "state",
            )
        )
        return stack[-1].__enter__()

    yield make
    for each in stack:
        each.__exit__(None, None, None)


def outcome(out: Path) -> tuple[Any, dict[str, bytes]]:
    rounds = json.loads((out / "result.json").read_text())["rounds"]
    with np.load(out / "arrays.npz") as arrays:
        return rounds, {name: arrays[name].tobytes() for name in arrays.files}


@pytest.mark.parametrize(
    "server",
    ["central", pytest.param("fedadam", marks=pytest.mark.slow), pytest.param("decaying", marks=pytest.mark.slow)],
)
def test_a_run_killed_in_mid_round_and_resumed_ends_as_one_that_was_not(
    begin: Begin, tmp_path: Path, hold: Path, server: str
) -> None:
    start = begin(server)
    undisturbed = start(AGGREGATOR, "--out", str(tmp_path / "whole"))
    owners = [start(owner) for owner in OWNERS]
    assert undisturbed.finish()[0] == 0, undisturbed.story()
    assert [owner.finish()[0] for owner in owners] == [0, 0]
    hold.touch()
    killed = start(AGGREGATOR, "--out", str(tmp_path / "out"))
    owners = [start(owner) for owner in OWNERS]
    for owner in owners:
        owner.wait_for("working", group="2", type="train")
    killed.kill()
    hold.unlink()
    resumed = start(AGGREGATOR, "--resume")
    assert resumed.finish()[0] == 0, resumed.story()
    assert resumed.wait_for("resumed")["round"] == 1
    assert [e["round"] for e in resumed.events if e["event"] == "round"] == [2, 3]
    assert outcome(tmp_path / "out") == outcome(tmp_path / "whole")
    for owner in owners:
        assert owner.finish()[0] == 0
        assert [e["group"] for e in owner.events if e["event"] == "done" and e["type"] == "train"] == ["1", "2", "3"]


@pytest.mark.slow
def test_a_run_whose_machine_went_down_in_good_order_is_resumed(begin: Begin, tmp_path: Path, hold: Path) -> None:
    hold.touch()
    start = begin("train_only")
    stopped = start(AGGREGATOR, "--out", str(tmp_path / "out"))
    owners = [start(owner) for owner in OWNERS]
    for owner in owners:
        owner.wait_for("working", group="2")
    stopped.process.terminate()
    assert stopped.finish()[0] == 130
    listed = CliRunner().invoke(app, ["runs", "list", "--dir", str(tmp_path), "--json"])
    assert [run["state"] for run in json.loads(listed.stdout)] == ["interrupted"]
    hold.unlink()
    code, result = start(AGGREGATOR, "--resume").finish()
    assert code == 0
    assert [row["train"]["count"] for row in result["rounds"]] == [1.0, 2.0, 3.0]
    assert [owner.finish()[0] for owner in owners] == [0, 0]


@pytest.mark.slow
def test_answers_that_came_meanwhile_are_taken(begin: Begin, tmp_path: Path, hold: Path) -> None:
    hold.touch()
    start = begin("train_only")
    killed = start(AGGREGATOR, "--out", str(tmp_path / "out"))
    owners = [start(owner) for owner in OWNERS]
    for owner in owners:
        owner.wait_for("working", group="2")
    killed.kill()
    hold.unlink()
    for owner in owners:
        owner.wait_for("done", group="2")
    resumed = start(AGGREGATOR, "--resume")
    code, result = resumed.finish()
    assert code == 0, resumed.story()
    assert [row["train"]["count"] for row in result["rounds"]] == [1.0, 2.0, 3.0]
    assert [e["bytes"] for e in resumed.events if e["event"] == "sent" and e["group"] == "2"] == [0, 0]
    assert [traffic["replies"] for traffic in result["traffic"].values()] == [2, 2, 2], "also those before"
    shown = CliRunner().invoke(app, ["runs", "show", str(tmp_path / "out"), "--json"])
    assert json.loads(shown.stdout)["state"] == "complete"
    assert [owner.finish()[0] for owner in owners] == [0, 0]


@pytest.mark.parametrize(
    ("server", "options", "reason"),
    [
        ("hoarding", [], "its strategy keeps a state of its own that can't be saved: hoard"),
        pytest.param(
            "train_only",
            ["--rounds", "5"],
            "the run config that is overridden was {} when run",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_what_cannot_be_resumed_says_why(
    begin: Begin, hold: Path, server: str, options: list[str], reason: str
) -> None:
    hold.touch()
    start = begin(server)
    killed = start(AGGREGATOR, "--out", str(hold.parent / "out"))
    owners = [start(owner) for owner in OWNERS]
    owners[0].wait_for("working", group="2")
    killed.kill()
    refused = start(AGGREGATOR, "--resume", *options)
    assert refused.finish()[0] == 1
    (error,) = [line for line in refused.log if line.startswith("error: ")]
    assert error.startswith("error: there is no run to go on with: ")
    assert reason in error


def test_a_second_strategy_of_one_app_is_not_resumed_and_a_first_one_is(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.keep(1, 1, [("a", np.ones(2))], RoundState(1, True, {}))
    state, path = Checkpoints(tmp_path).last()
    assert (state.round, path.name) == (1, "round-1.npz")
    checkpoints.keep(2, 1, [("a", np.ones(2))], None)
    with pytest.raises(ConfigurationError, match="starts several strategies"):
        Checkpoints(tmp_path).last()


def test_strategies_of_the_legacy_api_are_not_resumed(tmp_path: Path) -> None:
    Checkpoints(tmp_path).keep(1, 1, [("a", np.ones(2))], None)
    with pytest.raises(ConfigurationError, match="legacy API"):
        Checkpoints(tmp_path).last()


@pytest.mark.slow
def test_a_run_that_ended_was_stopped_or_never_began_is_not_resumed(begin: Begin, tmp_path: Path, hold: Path) -> None:
    start = begin("train_only")

    def refusal() -> str:
        refused = start(AGGREGATOR, "--resume")
        assert refused.finish()[0] == 1
        return "".join(refused.log)

    assert "has not run the project here" in refusal()
    early = start(AGGREGATOR, "--out", str(tmp_path / "early"))
    early.wait_for("waiting")
    early.kill()
    assert "no round of it was completed" in refusal()
    aggregator = start(AGGREGATOR, "--out", str(tmp_path / "out"))
    owners = [start(owner) for owner in OWNERS]
    assert aggregator.finish()[0] == 0
    assert [owner.finish()[0] for owner in owners] == [0, 0]
    assert "came to its end" in refusal()
    hold.touch()
    stopped = start(AGGREGATOR, "--out", str(tmp_path / "out2"))
    owners = [start(owner) for owner in OWNERS]
    owners[0].wait_for("working", group="2")
    os.kill(stopped.process.pid, 2)
    stopped.finish()
    assert "its data owners have dropped its state" in refusal()
    hold.unlink()
    assert [owner.finish()[0] for owner in owners] == [0, 0]


class SilentGrid:
    """A Grid whose owners never reply; it counts the messages to them."""

    def __init__(self) -> None:
        self.sent = 0

    def get_node_ids(self) -> list[int]:
        return [5, 6]

    def send_and_receive(self, messages: Iterable[Message], **_: object) -> list[Message]:
        self.sent += len(list(messages))
        return []


def test_a_strategy_that_is_started_again_passes_rounds_in_its_first_start_only(tmp_path: Path) -> None:
    set_task_identity(7, 1)
    strategy, grid, sent = FedAvg(), SilentGrid(), []
    content = {"strategy": StrategyState(strategy).save([]), **{name: {"dict": []} for name in CONFIGS}}
    save_arrays(tmp_path / "round-1.npz", iter([("mean", np.zeros(4))]))
    state = RoundState(1, evaluated=True, metrics={}, content=content)
    recorder = Recorder(playback=Playback(state, tmp_path / "round-1.npz"))
    with recorder.watching():
        for _ in range(2):
            strategy.start(grid=grid, initial_arrays=ArrayRecord({"mean": Array(np.zeros(4))}), num_rounds=1)
            sent.append(grid.sent)
    assert sent[0] == 0
    assert sent[1] > 0
