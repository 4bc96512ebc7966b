"""The account's budget: no minute and no day over its limit, whoever spends and however processes end."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syft_flwr.drive.budget import LEAST, AccountBudget
from syft_flwr.errors import ConfigurationError

NOON = datetime(2026, 11, 26, 20, tzinfo=UTC).timestamp()  # in California


def reserve(budget: AccountBudget, units: int, now: float, *, resting: bool = False, drive_time: float = NOON) -> float:
    return budget.reserve(units, resting=resting, clock=lambda: now, drive_time=drive_time)


@given(st.lists(st.tuples(st.sampled_from([5, 50, 100, 200]), st.integers(0, 400), st.booleans()), max_size=80))
def test_no_minute_holds_more_than_the_limit_and_no_call_waits_for_ever(
    calls: list[tuple[int, int, bool]],
) -> None:
    budget, now, made = AccountBudget(per_minute=500), 0.0, []
    for units, eighths, resting in calls:
        now += eighths / 8
        for _ in range(200):
            delay = reserve(budget, units, now, resting=resting)
            if delay == 0:
                break
            now += delay
        else:
            raise AssertionError("it never fits")
        made.append((now, units))
    for start, _ in made:
        assert sum(units for at, units in made if start <= at < start + 60) <= 500


def test_polls_leave_a_third_to_messages_and_are_spread() -> None:
    budget, spent = AccountBudget(per_minute=900), 0
    for second in range(60):
        if reserve(budget, 100, float(second), resting=True) == 0:
            spent += 100
    assert 600 <= spent <= 900
    assert reserve(AccountBudget(per_minute=900), 900, 0.0) == 0, "a message may take all"


def test_processes_share_one_budget(tmp_path: Path) -> None:
    one, other = (AccountBudget(per_minute=500, path=tmp_path / "budget") for _ in range(2))
    assert reserve(one, 300, 10.0) == 0
    assert reserve(other, 300, 11.0) == pytest.approx(60.0)
    assert reserve(other, 200, 11.0) == 0
    assert (tmp_path / "budget").stat().st_mode & 0o777 == 0o600


def test_a_day_ends_at_midnight_pacific_time(tmp_path: Path) -> None:
    budget = AccountBudget(per_day=1_000, path=tmp_path / "budget")
    assert reserve(budget, 1_000, 0.0) == 0
    assert reserve(budget, 5, 100.0) == 12 * 3600
    assert reserve(budget, 5, 100.0, drive_time=NOON - 7 * 86_400) > 0, "a clock that goes back gives nothing back"
    assert reserve(budget, 1_000, 200.0, drive_time=NOON + 12 * 3600 + 1) == 0


@pytest.mark.parametrize("content", ["", "{", "[]", '{"minute": {"x": 1}, "day": ["a", 1], "rest": [0, 0]}', "\0" * 64])
def test_a_damaged_file_counts_as_spent_and_an_empty_one_as_new(tmp_path: Path, content: str, caplog) -> None:
    path = tmp_path / "budget"
    path.write_text(content)
    delay = reserve(AccountBudget(per_minute=500, path=path), 5, 10.0)
    assert (delay > 0, "is damaged" in caplog.text) == (bool(content), bool(content))
    assert reserve(AccountBudget(per_minute=500, path=path), 5, 75.0) == 0


def test_a_clock_that_was_set_back_by_a_boot_gives_nothing_back(tmp_path: Path) -> None:
    path = tmp_path / "budget"
    assert reserve(AccountBudget(per_minute=500, path=path), 500, 1_000_000.0) == 0
    assert reserve(AccountBudget(per_minute=500, path=path), 5, 3.0) > 0
    assert reserve(AccountBudget(per_minute=500, path=path), 5, 65.0) == 0


@pytest.mark.parametrize("limits", [{"per_minute": LEAST - 1}, {"per_day": 1}])
def test_a_budget_with_which_nothing_works_is_refused_with_the_least_that_does(limits: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError, match=f"at least {LEAST}"):
        AccountBudget(**limits)


def spend(path: Path, log: Path, started: float) -> None:
    """Spend as fast as the budget allows, a second of real time being a minute of the budget's."""
    budget = AccountBudget(per_minute=1_000, per_day=6_000, path=path)
    with log.open("a", buffering=1) as file:
        times: list[float] = []

        def clock() -> float:
            times.append((time.monotonic() - started) * 60)
            return times[-1]

        while True:
            if budget.reserve(50, resting=False, clock=clock, drive_time=NOON) == 0:
                file.write(f"{times[-1]} 50\n")
            else:
                time.sleep(0.002)


def test_eight_processes_with_kills_keep_to_the_unit(tmp_path: Path) -> None:
    context, started = multiprocessing.get_context("spawn"), time.monotonic()
    logs = [tmp_path / f"log-{number}" for number in range(8)]
    children = [context.Process(target=spend, args=(tmp_path / "budget", log, started), daemon=True) for log in logs]
    for child in children:
        child.start()
    while not all(log.exists() and log.stat().st_size for log in logs) and time.monotonic() - started < 60:
        if sum(log.stat().st_size for log in logs if log.exists()) > 800:
            os.kill(children[0].pid, signal.SIGKILL)
            break
        time.sleep(0.01)
    while (time.monotonic() - started) < 8:
        time.sleep(0.05)
    for child in children:
        child.kill()
        child.join()
    lines = [line.split() for log in logs if log.exists() for line in log.read_text().splitlines()]
    spends = sorted((float(at), int(units)) for at, units in lines)
    for start, _ in spends:
        assert sum(units for at, units in spends if start <= at < start + 60) <= 1_000
    assert 1_000 <= sum(units for _, units in spends) <= 6_000
