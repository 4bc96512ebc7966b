"""Outages, spent budgets and silent data owners in the middle of a run, in virtual time."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from flower_federation import zoo_project
from flower_virtual import PARTIES, VirtualFederation

AGGREGATOR, (FIRST, SECOND) = PARTIES.aggregator, PARTIES.datasites
MINUTE = 60.0
pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def hold(tmp_path: Path) -> Path:
    """While this file is there, the app that counts waits in round 2."""
    path = tmp_path / "hold"
    path.touch()
    return path


@pytest.fixture
def run(virtual: VirtualFederation, tmp_path: Path, hold: Path) -> Future[dict[str, Any]]:
    """A run of three rounds whose owners are at work on the second."""
    run = virtual.aggregate(zoo_project(tmp_path, "train_only", "counting", rounds=3))
    for place, email in enumerate(PARTIES.datasites):
        virtual.serve(place, hold=str(hold))
        virtual.let_pass(virtual.happened(email, "ready"))
    for email in PARTIES.datasites:
        virtual.let_pass(virtual.happened(email, "working", group="2"))
    return run


def assert_complete(result: dict[str, Any]) -> None:
    assert [row["train"]["count"] for row in result["rounds"]] == [1.0, 2.0, 3.0]
    assert all(traffic["replies"] == 2 and not traffic["errors"] for traffic in result["traffic"].values())


@pytest.mark.parametrize("account", [AGGREGATOR, FIRST], ids=["the aggregator's", "an owner's"])
def test_an_outage_of_minutes_is_told_with_its_length_and_ends_with_the_run_complete(
    virtual: VirtualFederation, run: Future[dict[str, Any]], hold: Path, account: str
) -> None:
    with virtual.drive.fault("error", status=503, account=account):
        hold.unlink()
        virtual.let_pass(virtual.happened(account, "outage"), at_most=5 * MINUTE)
        virtual.wait(10 * MINUTE)
    virtual.let_pass(virtual.happened(account, "outage_over"), at_most=5 * MINUTE)
    assert virtual.let_pass(run.done) <= 10 * MINUTE
    assert_complete(run.result())
    told = [event for event, _ in virtual.events[account].events if event.startswith("outage")]
    assert told == ["outage", "outage_over"], virtual.story()
    (over,) = virtual.events[account].named("outage_over")
    assert 10 * MINUTE <= over["seconds"] <= 15 * MINUTE


def test_an_owner_that_is_silent_counts_as_away_and_as_there_when_it_is_back(
    virtual: VirtualFederation, run: Future[dict[str, Any]], hold: Path
) -> None:
    with virtual.drive.fault("error", status=503, account=FIRST):
        hold.unlink()
        away = virtual.happened(AGGREGATOR, "owner", owner=FIRST, state="away", reason="gives no sign of life")
        assert 14 * MINUTE <= virtual.let_pass(away) <= 18 * MINUTE, "it is asked after five, and has ten to answer"
    virtual.let_pass(run.done)
    assert_complete(run.result())
    states = [told["state"] for told in virtual.events[AGGREGATOR].named("owner") if told["owner"] == FIRST]
    assert states == ["present", "away", "present"]
    assert {told["state"] for told in virtual.events[AGGREGATOR].named("owner") if told["owner"] == SECOND} == {
        "present"
    }
    assert not virtual.events[AGGREGATOR].named("outage")


def test_a_greeting_that_nobody_answers_is_replaced_and_the_owner_that_comes_late_answers_the_last(
    virtual: VirtualFederation, tmp_path: Path
) -> None:
    def greetings() -> list[str]:
        requests = [file for file in virtual.drive.files(content=False) if file.name.endswith(".request")]
        return [file.id for file in requests if FIRST in file.path]

    run = virtual.aggregate(zoo_project(tmp_path, "train_only", "counting", rounds=3))
    virtual.let_pass(greetings)
    (greeting,) = greetings()
    virtual.wait(9 * MINUTE)
    assert greetings() == [greeting]
    virtual.let_pass(lambda: greetings() not in ([greeting], []), at_most=5 * MINUTE)
    virtual.let_pass(lambda: greeting not in greetings(), at_most=5 * MINUTE)
    assert len(greetings()) == 1
    for place in range(len(PARTIES.datasites)):
        virtual.serve(place)
        virtual.let_pass(virtual.happened(PARTIES.datasites[place], "ready"))
    virtual.let_pass(run.done)
    assert_complete(run.result())


@pytest.mark.parametrize("account", [AGGREGATOR, FIRST], ids=["the aggregator's", "an owner's"])
def test_a_limit_that_is_met_for_minutes_costs_the_run_nothing_but_time(
    virtual: VirtualFederation, run: Future[dict[str, Any]], hold: Path, account: str
) -> None:
    with virtual.drive.fault("error", status=403, reason="userRateLimitExceeded", account=account):
        hold.unlink()
        virtual.wait(10 * MINUTE)
    assert virtual.let_pass(run.done) <= 10 * MINUTE
    assert_complete(run.result())
    assert [told["state"] for told in virtual.events[AGGREGATOR].named("owner")] == ["present", "present"]


def test_a_budget_that_is_spent_in_the_middle_of_a_round_costs_the_run_nothing_but_time(
    virtual: VirtualFederation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYFT_FLWR_QUOTA_PER_MINUTE", "500")
    run = virtual.aggregate(zoo_project(tmp_path, "train_only", "counting", rounds=3))
    for place, email in enumerate(PARTIES.datasites):
        virtual.serve(place)
        virtual.let_pass(virtual.happened(email, "ready"))
    assert virtual.let_pass(run.done) > 4 * MINUTE
    assert_complete(run.result())
    assert {told["state"] for told in virtual.events[AGGREGATOR].named("owner")} == {"present"}


def test_a_limit_that_keeps_greetings_from_being_sent_is_not_told_as_the_owners(
    virtual: VirtualFederation, tmp_path: Path
) -> None:
    with virtual.drive.fault("error", status=403, reason="userRateLimitExceeded", account=AGGREGATOR):
        run = virtual.aggregate(zoo_project(tmp_path, "train_only", "counting", rounds=3))
        virtual.wait(10 * MINUTE)
    for place, email in enumerate(PARTIES.datasites):
        virtual.serve(place)
        virtual.let_pass(virtual.happened(email, "ready"))
    virtual.let_pass(run.done)
    assert_complete(run.result())
    assert {told["state"] for told in virtual.events[AGGREGATOR].named("owner")} == {"present"}
