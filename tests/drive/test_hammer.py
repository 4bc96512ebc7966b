"""Many processes of one account at its limits, killed at any moment, on machines whose time of day is wrong."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hammer import CALLS, PER_DAY, PER_MINUTE, PROCESSES, SPENT, START

from syft_flwr.drive.budget import PACIFIC
from syft_flwr.drive.budget_file import read_budget

DAY = 86_400.0
DEAREST = max(units for _, units in CALLS)
PATIENCE = 240.0
"""Seconds that a call waits at most while its day has units left: two minutes' worth of calls are in front of it."""


def date(now: float) -> str:
    return datetime.fromtimestamp(START + now, UTC).astimezone(PACIFIC).date().isoformat()


def hammer(directory: Path, *arguments: float) -> tuple[int, list[list[tuple[float, float, float]]]]:
    """Return how many processes were killed, and each one's calls: when it asked, when it might, and the units."""
    program = [sys.executable, str(Path(__file__).with_name("hammer.py")), str(directory), *map(str, arguments)]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    logs = [(directory / f"log-{number}").read_text().splitlines() for number in range(PROCESSES)]
    return int(done.stdout), [[tuple(map(float, line.split())) for line in log] for log in logs]


def units_by_day(calls: list[list[tuple[float, float, float]]]) -> Counter[str]:
    """Return what each day was spent, when no minute had more than its units."""
    by_day = Counter[str]()
    made = sorted((at, units) for process in calls for _, at, units in process)
    first, spent = 0, 0.0
    for at, units in made:
        by_day[date(at)] += int(units)
        spent += units
        while made[first][0] <= at - 60:
            spent -= made[first][1]
            first += 1
        assert spent <= PER_MINUTE, f"the minute that ends at {at}"
    return by_day


@pytest.mark.parametrize("days", [2, pytest.param(15, marks=pytest.mark.slow)], ids="{} days".format)
def test_eight_processes_at_the_limit_overspend_no_minute_and_no_day_and_none_starves(
    tmp_path: Path, days: int
) -> None:
    kills, calls = hammer(tmp_path, days * DAY, 1)
    assert kills >= 10 * days
    for number, process in enumerate(calls):
        for asked, at, _ in process:
            assert date(asked) != date(at) or at - asked <= PATIENCE, f"process {number} waited from {asked} to {at}"
    made, booked = units_by_day(calls), read_budget(tmp_path / "budget")["days"]
    assert all(made[day] <= booked[day] <= PER_DAY for day in booked), "what the killed had booked was not made"
    whole = sorted(booked)[1:]
    assert len(whole) >= days - 1
    assert min(booked[day] for day in whole) > PER_DAY - DEAREST, "none is left unspent that a call would have taken"


@pytest.mark.parametrize("speed", [60, pytest.param(8, marks=pytest.mark.slow)], ids="{} times as fast".format)
def test_eight_processes_at_once_keep_five_minutes_and_the_end_of_a_day_and_each_has_its_turn(
    tmp_path: Path, speed: int
) -> None:
    kills, calls = hammer(tmp_path, 300, 1, speed)
    assert kills > 0
    by_day = units_by_day(calls)
    yesterday, today = sorted(by_day)
    assert PER_DAY - 200 <= by_day[yesterday] + SPENT <= PER_DAY
    assert by_day[today] <= PER_DAY
