"""Data owners that answer what waits and end: by cron, in batch jobs, or when nothing comes any more."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from flower_fakes import Events
from flower_federation import zoo_project
from flower_parties import AGGREGATOR, parties

from syft_flwr.flower.roles import Activity, Serving, limited
from syft_flwr.testing import DriveEmulator

OWNERS = ["do1@example.com", "do2@example.com"]


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_owners_that_come_now_and_then_complete_a_federation(tmp_path: Path) -> None:
    project = zoo_project(tmp_path, "fedavg", "plain", rounds=1)
    with DriveEmulator() as drive, parties(project, OWNERS, drive.host, tmp_path / "state") as start:
        aggregator = start(AGGREGATOR)
        for _ in range(30):
            if aggregator.process.poll() is not None:
                break
            codes = [visit.finish()[0] for visit in [start(owner, "--once") for owner in OWNERS]]
            assert codes == [0, 0], aggregator.story()
        code, result = aggregator.finish()
    assert code == 0
    assert [row["round"] for row in result["rounds"]] == [1]
    assert not result["failures"]


@pytest.mark.parametrize("serving", [Serving(idle=0.05), Serving(at_most=0.05), Serving(idle=60.0, at_most=0.05)])
def test_an_owner_stops_when_it_is_idle_or_time_is_up(serving: Serving) -> None:
    stopped = threading.Event()
    with limited(serving, Activity(Events()), stopped.set):
        assert stopped.wait(10)


def test_an_owner_is_not_idle_while_its_app_runs() -> None:
    activity = Activity(Events())
    activity("working", owner="a")
    assert activity.idle() == 0.0
    activity("done", owner="a")
    assert activity.idle() >= 0.0


def test_without_limits_nothing_watches() -> None:
    before = threading.active_count()
    with limited(Serving(), Activity(Events()), lambda: None):
        assert threading.active_count() == before
