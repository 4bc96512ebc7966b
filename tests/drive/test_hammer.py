"""Many processes of one account at its limits, killed at any moment, on machines whose time of day is wrong."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hammer import PER_DAY, PER_MINUTE, PROCESSES, START

from syft_flwr.drive.budget import PACIFIC

DAY = 86_400.0
PATIENCE = 240.0
"""Seconds that a call waits at most while its day has units left: two minutes' worth of calls are in front of it."""


def date(now: float) -> str:
    return datetime.fromtimestamp(START + now, UTC).astimezone(PACIFIC).date().isoformat()


@pytest.mark.parametrize(
    "days", [2, pytest.param(100, marks=[pytest.mark.slow, pytest.mark.timeout(1_200)])], ids="{} days".format
)
def test_eight_processes_at_the_limit_overspend_no_minute_and_no_day_and_none_starves(
    tmp_path: Path, days: int
) -> None:
    program = [sys.executable, str(Path(__file__).with_name("hammer.py")), str(tmp_path), str(days * DAY), "1"]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 10 * days, "processes were killed"
    calls, by_day = [], Counter[str]()
    for number in range(PROCESSES):
        for line in (tmp_path / f"log-{number}").read_text().splitlines():
            asked, at, units = map(float, line.split())
            calls.append((at, units))
            by_day[date(at)] += int(units)
            assert date(asked) != date(at) or at - asked <= PATIENCE, f"process {number} waited from {asked} to {at}"
    calls.sort()
    first, spent = 0, 0.0
    for at, units in calls:
        spent += units
        while calls[first][0] <= at - 60:
            spent -= calls[first][1]
            first += 1
        assert spent <= PER_MINUTE, f"the minute that ends at {at}"
    assert max(by_day.values()) <= PER_DAY
    assert sorted(by_day.values())[-days] >= PER_DAY * 0.95, "but for what the killed had booked"
