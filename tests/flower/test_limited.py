"""A federation whose participants all have little quota."""

from __future__ import annotations

from pathlib import Path

import pytest
from flower_federation import zoo_project
from flower_parties import AGGREGATOR, parties

from syft_flwr.drive.spending import read_spending
from syft_flwr.runtime.sharing import state_directory
from syft_flwr.testing import DriveEmulator

OWNERS = ["do1@example.com", "do2@example.com"]
PER_MINUTE, PER_DAY = 5_000, 50_000


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_three_rounds_of_two_owners_complete_at_fifty_thousand_units_a_day(tmp_path: Path) -> None:
    project = zoo_project(tmp_path, "fedavg", "plain", rounds=3)
    limits = ("--quota-per-minute", str(PER_MINUTE), "--quota-per-day", str(PER_DAY))
    state = tmp_path / "state"
    with DriveEmulator() as drive, parties(project, OWNERS, drive.host, state) as start:
        aggregator = start(AGGREGATOR, *limits)
        owners = [start(owner, *limits) for owner in OWNERS]
        code, result = aggregator.finish(200)
        assert code == 0, aggregator.story()
        for owner in owners:
            assert owner.finish(60)[0] == 0, owner.story()
        spent = {email: sum(row["units"] for row in rows.values()) for email, rows in drive.stats().items()}
    assert [row["round"] for row in result["rounds"]] == [1, 2, 3]
    assert not result["failures"]
    for email in (AGGREGATOR, *OWNERS):
        spending = read_spending(state_directory(state, email, f"http://{drive.host}") / "budget")
        assert (spending.per_minute, spending.per_day) == (PER_MINUTE, PER_DAY)
        counted = spending.today + sum(spending.days.values())  # it may have run across midnight
        assert spent[email] == counted <= 20_000, "the account's own count is Drive's, and leaves a day for more"
