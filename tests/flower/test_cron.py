"""A federation whose data owners come by cron every five minutes, all with little quota, in virtual time."""

from __future__ import annotations

from pathlib import Path

import pytest
from flower_federation import zoo_project
from flower_virtual import PARTIES, VirtualFederation

from syft_flwr.drive.spending import read_spending
from syft_flwr.flower.roles import account_directory
from syft_flwr.flower.serving import Serving

PER_DAY = 50_000
EVERY = 300.0


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("rounds", "per_minute"),
    [(1, 500), pytest.param(3, 1_000, marks=pytest.mark.slow)],
    ids=["1 round, 500 units a minute", "3 rounds, 1,000 units a minute"],
)
def test_owners_that_come_every_five_minutes_complete_a_federation_within_their_budgets(
    virtual: VirtualFederation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rounds: int, per_minute: int
) -> None:
    monkeypatch.setenv("SYFT_FLWR_QUOTA_PER_MINUTE", str(per_minute))
    monkeypatch.setenv("SYFT_FLWR_QUOTA_PER_DAY", str(PER_DAY))
    aggregator = virtual.aggregate(zoo_project(tmp_path, "fedavg", "plain", rounds=rounds), farewell=2 * EVERY)
    visits = 0
    while not aggregator.done():
        visits += 1
        assert visits <= 10 + 4 * rounds, "greeting, rounds of training and evaluation, the end; and waits for quota"
        for place in range(len(PARTIES.datasites)):
            visitor = virtual.serve(place, Serving(once=True, at_most=EVERY))
            virtual.let_pass(lambda: visitor.done() or aggregator.done())  # noqa: B023 - called in this turn only
            assert visitor.result(60), "all that waited is answered"
        virtual.let_pass(lambda: virtual.clock.monotonic() >= visits * EVERY or aggregator.done())  # noqa: B023
    result = aggregator.result()
    assert [row["round"] for row in result["rounds"]] == list(range(1, rounds + 1))
    assert not result["failures"]
    stats = virtual.drive.stats()
    spent = {email: sum(row["units"] for row in rows.values()) for email, rows in stats.items()}
    for email in (PARTIES.aggregator, *PARTIES.datasites):
        spending = read_spending(account_directory(email) / "budget")
        assert 0 < spent[email] <= PER_DAY / 2, "there is room for another federation"
        assert (spending.per_minute, spending.per_day) == (per_minute, PER_DAY)
