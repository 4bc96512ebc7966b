"""A federation whose data owners come by cron every five minutes, all with little quota, in virtual time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import pytest
from flower_fakes import Events
from flower_federation import zoo_project
from process_tree import Others

from syft_flwr.drive.spending import read_spending
from syft_flwr.flower.aggregator import RunPlan
from syft_flwr.flower.parties import Parties
from syft_flwr.flower.project import FlowerProject
from syft_flwr.flower.roles import OwnerPlan, Serving, account_directory, run_aggregator, run_owner
from syft_flwr.runtime import sharing
from syft_flwr.testing import DriveEmulator, ManualClock

T = TypeVar("T")

PARTIES = Parties("agg@example.com", ("do1@example.com", "do2@example.com"))
PER_DAY = 50_000
EVERY = 300.0
STEP = 5.0


def begin(work: Callable[..., T], *arguments: Any) -> Future[T]:
    """Do it on a thread that a test which fails leaves behind."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work(*arguments))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


@pytest.fixture
def others() -> Others:
    """What was here before the test, and is none of it; before the emulator, which is."""
    return Others()


@pytest.mark.timeout(180)
@pytest.mark.usefixtures("plain_environment")
@pytest.mark.parametrize(
    ("rounds", "per_minute"),
    [(1, 500), pytest.param(3, 1_000, marks=pytest.mark.slow)],
    ids=["1 round, 500 units a minute", "3 rounds, 1,000 units a minute"],
)
def test_owners_that_come_every_five_minutes_complete_a_federation_within_their_budgets(
    *,
    others: Others,
    drive_emulator: DriveEmulator,
    tmp_path: Path,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    rounds: int,
    per_minute: int,
) -> None:
    monkeypatch.setenv("DRIVE_EMULATOR_HOST", drive_emulator.host)
    monkeypatch.setenv("SYFT_FLWR_QUOTA_PER_MINUTE", str(per_minute))
    monkeypatch.setenv("SYFT_FLWR_QUOTA_PER_DAY", str(PER_DAY))
    monkeypatch.setattr(sharing, "SystemClock", lambda: clock)
    project = FlowerProject.load(zoo_project(tmp_path, "fedavg", "plain", rounds=rounds))

    def aggregate() -> dict[str, Any]:
        plan = RunPlan(PARTIES.datasites, {}, tmp_path / "out", farewell=2 * EVERY)
        return run_aggregator(project, PARTIES, plan, Events())

    def visit(place: int) -> bool:
        config = {"partition-id": place, "num-partitions": len(PARTIES.datasites)}
        plan = OwnerPlan(node_config=config, serving=Serving(once=True, at_most=EVERY))
        return run_owner(project, PARTIES, PARTIES.datasites[place], plan, Events())

    def let_pass(until: Callable[[], bool]) -> None:
        while not until() and not aggregator.done():
            others.await_rest()
            clock.advance(STEP)
            drive_emulator.advance(STEP)

    aggregator, visits = begin(aggregate), 0
    while not aggregator.done():
        visits += 1
        assert visits <= 10 + 4 * rounds, "greeting, rounds of training and evaluation, the end; and waits for quota"
        for place in range(len(PARTIES.datasites)):
            visitor = begin(visit, place)
            let_pass(visitor.done)
            assert visitor.result(60), "all that waited is answered"
        let_pass(lambda: clock.monotonic() >= visits * EVERY)  # noqa: B023 - it is called in this turn only
    result = aggregator.result()
    assert [row["round"] for row in result["rounds"]] == list(range(1, rounds + 1))
    assert not result["failures"]
    spent = {email: sum(row["units"] for row in rows.values()) for email, rows in drive_emulator.stats().items()}
    for email in (PARTIES.aggregator, *PARTIES.datasites):
        spending = read_spending(account_directory(email) / "budget")
        assert 0 < spent[email] <= PER_DAY / 2, "there is room for another federation"
        assert (spending.per_minute, spending.per_day) == (per_minute, PER_DAY)
