"""Runs that meet: two aggregators, two projects on the same accounts, runs that were left half open."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flower_federation import zoo_project
from flower_parties import AGGREGATOR, parties

from syft_flwr.testing import DriveEmulator

OWNERS = ["do1@example.com", "do2@example.com"]


@pytest.fixture
def hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """While this file is there, the app that counts waits in round 2."""
    path = tmp_path / "hold"
    monkeypatch.setenv("ZOO_HOLD", str(path))
    yield path
    path.unlink(missing_ok=True)


def counts(result: dict[str, object]) -> list[float]:
    return [row["train"]["count"] for row in result["rounds"]]  # type: ignore[attr-defined]


@pytest.mark.slow
def test_a_second_aggregator_of_an_account_takes_the_owners_over_and_the_first_learns_why(
    drive_emulator: DriveEmulator, tmp_path: Path, hold: Path
) -> None:
    project = zoo_project(tmp_path, "train_only", "counting", rounds=3)
    hold.touch()
    with (
        parties(project, OWNERS, drive_emulator.host, tmp_path / "state") as start,
        parties(project, OWNERS, drive_emulator.host, tmp_path / "another machine") as start_elsewhere,
    ):
        first = start(AGGREGATOR, "--out", str(tmp_path / "first"))
        owners = [start(owner) for owner in OWNERS]
        for owner in owners:
            owner.wait_for("working", group="2")
        second = start_elsewhere(AGGREGATOR, "--out", str(tmp_path / "second"))
        second.wait_for("waiting")
        hold.unlink()  # now its greeting is the next that the owners see
        code, result = second.finish()
        assert code == 0, second.story()
        assert counts(result) == [1.0, 2.0, 3.0]
        assert [owner.finish()[0] for owner in owners] == [0, 0]
        refused = first.wait_for("reply", group="3")
        assert "belongs to run" in refused["error"]
        assert "a later run" in refused["error"]


def test_a_second_aggregator_process_on_one_machine_is_refused(drive_emulator: DriveEmulator, tmp_path: Path) -> None:
    project = zoo_project(tmp_path, "train_only", "counting", rounds=1)
    with parties(project, OWNERS, drive_emulator.host, tmp_path / "state") as start:
        start(AGGREGATOR, "--out", str(tmp_path / "first")).wait_for("project")
        second = start(AGGREGATOR, "--out", str(tmp_path / "second"))
        assert second.finish()[0] == 1
        assert any("another process serves agg@example.com and the project zoo already" in line for line in second.log)


@pytest.mark.slow
def test_two_projects_on_the_same_accounts_run_at_the_same_time(
    drive_emulator: DriveEmulator, tmp_path: Path, hold: Path
) -> None:
    projects = [zoo_project(tmp_path / name, "train_only", "counting", rounds=3) for name in ("one", "two")]
    settings = projects[1] / "pyproject.toml"
    settings.write_text(settings.read_text().replace('name = "zoo"', 'name = "menagerie"'))
    hold.touch()
    with (
        parties(projects[0], OWNERS, drive_emulator.host, tmp_path / "state") as start_one,
        parties(projects[1], OWNERS, drive_emulator.host, tmp_path / "state") as start_two,
    ):
        aggregators, owners = [], []
        for number, start in enumerate((start_one, start_two)):
            aggregators.append(start(AGGREGATOR, "--out", str(tmp_path / f"out{number}")))
            owners += [start(owner) for owner in OWNERS]
        for owner in owners:
            owner.wait_for("working", group="2")
        hold.unlink()
        for aggregator in aggregators:
            code, result = aggregator.finish()
            assert code == 0, aggregator.story()
            assert counts(result) == [1.0, 2.0, 3.0]
        assert [owner.finish()[0] for owner in owners] == [0] * 4


@pytest.mark.slow
def test_a_run_that_was_greeted_and_never_begun_keeps_nobody_from_the_next(
    drive_emulator: DriveEmulator, tmp_path: Path
) -> None:
    project = zoo_project(tmp_path, "train_only", "counting", rounds=2)
    with parties(project, OWNERS, drive_emulator.host, tmp_path / "state") as start:
        half_open = start(AGGREGATOR, "--out", str(tmp_path / "half"))
        first = start(OWNERS[0])
        half_open.wait_for("owner", owner=OWNERS[0], state="present")
        half_open.kill()
        first.kill()
        owners = [start(owner) for owner in OWNERS]
        aggregator = start(AGGREGATOR, "--out", str(tmp_path / "out"))
        code, result = aggregator.finish()
        assert code == 0, aggregator.story()
        assert counts(result) == [1.0, 2.0]
        assert [owner.finish()[0] for owner in owners] == [0, 0]


@pytest.mark.slow
def test_why_a_run_stopped_tells_an_owner_nothing_of_another(drive_emulator: DriveEmulator, tmp_path: Path) -> None:
    project = zoo_project(tmp_path, "train_only", "counting", rounds=1)
    with parties(project, OWNERS, drive_emulator.host, tmp_path / "state") as start:
        here = start(OWNERS[0])
        here.wait_for("ready")
        aggregator = start(AGGREGATOR, "--out", str(tmp_path / "out"), "--wait", "4")
        assert aggregator.finish()[0] == 1
        assert any(OWNERS[1] in line for line in aggregator.log), "the aggregator is told who was missing"
        assert here.finish()[0] == 0
        assert here.wait_for("stopped")["reason"] == "the run failed; its aggregator knows why"
        assert "do2" not in here.story()
