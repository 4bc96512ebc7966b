"""What home connections and laptops do, with every participant in a process of its own over Drive's HTTP."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from flower_fakes import until
from flower_federation import zoo_project
from flower_parties import AGGREGATOR, Party, parties

from syft_flwr.testing import DriveEmulator

OWNERS = ["do1@example.com", "do2@example.com"]
Start = Callable[..., Party]


@pytest.fixture
def hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """While this file is there, the app that counts waits in round 2."""
    path = tmp_path / "hold"
    path.touch()
    monkeypatch.setenv("ZOO_HOLD", str(path))
    return path


@pytest.fixture
def start(drive_emulator: DriveEmulator, tmp_path: Path, hold: Path) -> Iterator[Start]:
    project = zoo_project(tmp_path, "train_only", "counting", rounds=3)
    with parties(project, OWNERS, drive_emulator.host, tmp_path / "state") as start:
        yield start


def test_an_owner_killed_in_mid_round_and_restarted_goes_on_with_its_context(
    start: Start, tmp_path: Path, hold: Path
) -> None:
    aggregator = start(AGGREGATOR, "--out", str(tmp_path / "out"))
    first, second = start(OWNERS[0]), start(OWNERS[1])
    first.wait_for("working", group="2")
    app = psutil.Process(first.process.pid).children(recursive=True)
    first.kill()
    until(lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in app))
    hold.unlink()
    restarted = start(OWNERS[0])
    code, result = aggregator.finish()
    assert code == 0, aggregator.story()
    assert [row["train"]["count"] for row in result["rounds"]] == [1.0, 2.0, 3.0]
    assert all(traffic["replies"] == 2 and not traffic["errors"] for traffic in result["traffic"].values())
    assert [restarted.finish()[0], second.finish()[0]] == [0, 0]


@pytest.mark.slow
def test_an_owner_whose_laptop_sleeps_is_waited_for(start: Start, tmp_path: Path, hold: Path) -> None:
    aggregator = start(AGGREGATOR, "--out", str(tmp_path / "out"))
    first, second = start(OWNERS[0]), start(OWNERS[1])
    first.wait_for("working", group="2")
    os.kill(first.process.pid, signal.SIGSTOP)
    hold.unlink()
    aggregator.wait_for("reply", owner=OWNERS[1], group="2")
    assert aggregator.process.poll() is None
    os.kill(first.process.pid, signal.SIGCONT)
    code, result = aggregator.finish()
    assert code == 0, aggregator.story()
    assert [row["train"]["count"] for row in result["rounds"]] == [1.0, 2.0, 3.0]
    assert [first.finish()[0], second.finish()[0]] == [0, 0]


@pytest.mark.slow
def test_an_outage_in_mid_round_costs_a_line_when_it_begins_and_one_when_it_ends(
    start: Start, drive_emulator: DriveEmulator, tmp_path: Path, hold: Path
) -> None:
    aggregator = start(AGGREGATOR, "--out", str(tmp_path / "out"))
    everybody = [aggregator, *(start(owner) for owner in OWNERS)]
    everybody[1].wait_for("working", group="2")
    with drive_emulator.fault("error", status=503):
        hold.unlink()
        for party in everybody:
            assert "503" in party.wait_for("outage")["reason"]
    for party in everybody:
        assert party.wait_for("outage_over")["seconds"] > 0
    code, result = aggregator.finish()
    assert code == 0, aggregator.story()
    assert [row["train"]["count"] for row in result["rounds"]] == [1.0, 2.0, 3.0]
    for party in everybody:
        assert party is aggregator or party.finish()[0] == 0
        assert [event["event"] for event in party.events if "outage" in event["event"]] == ["outage", "outage_over"]
        assert not [line for line in party.log if "Traceback" in line], party.story()


def test_an_owner_is_ready_only_when_drive_has_answered(start: Start, drive_emulator: DriveEmulator) -> None:
    with drive_emulator.fault("error", status=503):
        owner = start(OWNERS[0])
        owner.wait_for("outage")
        assert "ready" not in {event["event"] for event in owner.events}
    owner.wait_for("outage_over")
    owner.wait_for("ready")


@pytest.mark.slow
def test_an_aggregator_killed_between_rounds_says_that_it_starts_anew_and_the_owners_follow(
    start: Start, tmp_path: Path, hold: Path
) -> None:
    aggregator = start(AGGREGATOR, "--out", str(tmp_path / "out1"))
    first, second = start(OWNERS[0]), start(OWNERS[1])
    first.wait_for("working", group="2")
    aggregator.kill()
    hold.unlink()
    again = start(AGGREGATOR, "--out", str(tmp_path / "out2"))
    code, result = again.finish()
    assert code == 0, again.story()
    interrupted = again.wait_for("interrupted")
    assert interrupted["round"] == 2
    assert (Path(interrupted["out"]) / "checkpoints" / "round-1.npz").exists()
    assert [row["train"]["count"] for row in result["rounds"]] == [1.0, 2.0, 3.0]
    assert [first.finish()[0], second.finish()[0]] == [0, 0]


@pytest.mark.slow
def test_owners_that_never_come_are_done_without_if_fewer_may_start(
    drive_emulator: DriveEmulator, tmp_path: Path
) -> None:
    owners = [*OWNERS, "never@example.com"]
    project = zoo_project(tmp_path, "fedavg", "plain", rounds=1)
    with parties(project, owners, drive_emulator.host, tmp_path / "state") as start:
        aggregator = start(AGGREGATOR, "--out", str(tmp_path / "out"), "--min-available", "2")
        here = [start(owner) for owner in OWNERS]
        code, result = aggregator.finish()
        assert code == 0, aggregator.story()
        assert result["traffic"]["1"]["replies"] == 4
        assert [party.finish()[0] for party in here] == [0, 0]


def test_too_few_owners_end_the_run_with_their_names(drive_emulator: DriveEmulator, tmp_path: Path) -> None:
    project = zoo_project(tmp_path, "fedavg", "plain", rounds=1)
    with parties(project, OWNERS, drive_emulator.host, tmp_path / "state") as start:
        aggregator = start(AGGREGATOR, "--out", str(tmp_path / "out"), "--wait", "0.5")
        code, _ = aggregator.finish()
        assert code == 1
        (error,) = [line for line in aggregator.log if line.startswith("error: ")]
        assert "only 0 of 2 data owners came" in error
        assert "missing: do1@example.com (has not answered the greeting), do2@example.com (has" in error


@pytest.mark.slow
def test_a_stop_that_found_nobody_does_not_end_the_owners_of_the_next_run(
    drive_emulator: DriveEmulator, tmp_path: Path, hold: Path
) -> None:
    project = zoo_project(tmp_path, "impatient", "counting", rounds=2)
    with parties(project, OWNERS, drive_emulator.host, tmp_path / "state") as start:
        aggregator = start(AGGREGATOR, "--out", str(tmp_path / "out1"))
        first, second = start(OWNERS[0]), start(OWNERS[1])
        first.wait_for("working", group="2", type="train")
        first.kill()
        hold.unlink()
        aggregator.wait_for("late", owner=OWNERS[0], group="2")
        assert aggregator.finish()[0] == 0, aggregator.story()
        assert second.finish()[0] == 0
        others = [start(owner) for owner in OWNERS]
        for other in others:
            other.wait_for("ready")
        again = start(AGGREGATOR, "--out", str(tmp_path / "out2"))
        code, result = again.finish()
        assert code == 0, again.story()
        assert [traffic["replies"] for traffic in result["traffic"].values()] == [4, 4]
        assert [other.finish()[0] for other in others] == [0, 0]
