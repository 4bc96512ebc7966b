"""Data owners that answer what waits and end: by cron, in batch jobs, or when nothing comes any more."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from flower_fakes import Events
from flower_federation import zoo_project
from flower_parties import AGGREGATOR, parties

from syft_flwr.flower.serving import Serving, ServingLimits
from syft_flwr.testing import DriveEmulator, ManualClock

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


@pytest.mark.parametrize("serving", [Serving(idle=50.0), Serving(at_most=50.0), Serving(idle=600.0, at_most=50.0)])
def test_an_owner_stops_when_it_is_idle_or_time_is_up(serving: Serving, clock: ManualClock) -> None:
    stopped = threading.Event()
    with ServingLimits(serving, Events(), clock).enforced(stopped.set):
        clock.await_waiters(1)
        clock.advance(49.0)
        assert not stopped.is_set()
        clock.advance(1.0)
        assert stopped.wait(10)


def test_an_owner_is_not_idle_while_its_app_runs(clock: ManualClock) -> None:
    limits = ServingLimits(Serving(idle=50.0), Events(), clock)
    limits("working", owner="a")
    clock.advance(1000.0)
    assert limits.left() == 50.0
    limits("done", owner="a")
    clock.advance(30.0)
    assert limits.left() == 20.0


def test_time_that_is_up_ends_an_owner_whose_app_runs(clock: ManualClock) -> None:
    limits = ServingLimits(Serving(idle=50.0, at_most=100.0), Events(), clock)
    limits("working", owner="a")
    clock.advance(80.0)
    assert limits.left() == 20.0


def test_without_limits_nothing_watches(clock: ManualClock) -> None:
    before = threading.active_count()
    with ServingLimits(Serving(), Events(), clock).enforced(lambda: None):
        assert threading.active_count() == before
