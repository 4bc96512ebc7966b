"""What messages and quiet hours cost in calls, units and bytes: figures that grow when a saving is lost.

``python -m benchmarks`` shows the same counts beside those of rivals.
"""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from benchmarks.digits import Federation, train
from benchmarks.idle import hour_of_rivals, ours
from benchmarks.parties import local_drive, parties
from benchmarks.roundtrip import steps
from benchmarks.waiting import wait_for
from syft_flwr.feed.schedule import SweepKind, SweepSchedule
from syft_flwr.feed.sweep import Sweeper

pytestmark = pytest.mark.usefixtures("plain_environment")

ROUND_TRIP = {
    "send": (1, 50, 600, 80),
    "look and answer": (3, 155, 600, 1_250),
    "look and take": (2, 105, 0, 2_100),
    "forget": (2, 55, 0, 80),
    "owner cleans up": (3, 155, 0, 1_200),
    "idle look of the owner": (1, 5, 0, 80),
}
"""At most: calls, units, bytes up and bytes down of each step."""


FEDERATION = {
    "aggregator": {
        "files.create": 40,
        "files.get_media": 0,
        "files.delete": 8,
        "changes.list": 12,
        "bytes up": 90_000,
        "units": 4_200,
    },
    "owners": {
        "files.create": 34,
        "files.get_media": 0,
        "files.delete": 8,
        "changes.list": 12,
        "bytes up": 115_000,
        "units": 4_000,
    },
}
"""At most, in three rounds of the digits: calls by method, and the sums."""
A_SECOND = {"changes.list": 0.5, "files.create": 0.3, "bytes up": 300, "units": 120}
"""What is added for each second that they take: peeks, lists of what was not awaited, greetings said again."""


@pytest.mark.parametrize(("senders", "endpoints"), [(1, 1), (1, 3), (20, 3), (200, 3)])
def test_an_idle_hour_costs_the_same_however_many_senders_and_endpoints(senders: int, endpoints: int) -> None:
    calls, units = ours(senders, endpoints)
    assert units <= 3_000
    assert 200 <= calls <= 300


def test_no_step_of_a_warm_round_trip_costs_more_than_it_did() -> None:
    with local_drive() as drive, parties("feed", drive) as pair:
        taken = steps(pair, drive)
    assert taken.keys() == ROUND_TRIP.keys()
    for step, (cost, _) in taken.items():
        counts = (cost.calls, cost.units, cost.up, cost.down)
        assert all(count <= most for count, most in zip(counts, ROUND_TRIP[step], strict=True)), (step, counts)


@pytest.mark.parametrize("futures", [1, 50])
def test_waiting_costs_the_same_for_many_futures_as_for_one(futures: int) -> None:
    with local_drive() as drive, parties("feed", drive) as pair:
        vain, taken = wait_for(pair, drive, futures)
    assert (vain.calls, vain.units) == (10, 50)
    assert taken.units <= 105


def test_the_rivals_idle_hour_is_what_their_polls_add_up_to() -> None:
    found = hour_of_rivals(3, 1)
    assert found["listing"] == (1_800 * 7, 180_000 * 7)
    assert found["grouped"] == (1_800 + 60, 186_000)


@pytest.mark.slow
def test_a_federation_of_two_owners_writes_and_downloads_no_more_than_it_did() -> None:
    with local_drive() as drive:
        costs, seconds = train("feed", drive, Federation(2, interval=0.25))
    for who, most in FEDERATION.items():
        taken = {**costs[who].methods, "bytes up": costs[who].up, "units": costs[who].units}
        allowed = {what: count + A_SECOND.get(what, 0) * seconds for what, count in most.items()}
        over = {what: taken.get(what, 0) for what, count in allowed.items() if taken.get(what, 0) > count}
        assert not over, (who, taken, seconds)


@pytest.mark.parametrize("full_lists", [3, 32, 300])
def test_full_sweeps_cost_no_more_than_those_between_them_and_come_once_a_day_at_least(full_lists: int) -> None:
    schedule = SweepSchedule(base=60.0)
    schedule.begin(0.0, 0.0)
    swept: list[SweepKind] = []
    for second in range(0, 8 * 86_400, 15):
        schedule.polled()
        if (kind := schedule.due(float(second))) is not None:
            schedule.swept(kind, float(second), missed=0, full_lists=full_lists)
            swept.append(kind)
    full = swept.count(SweepKind.FULL) - 1  # the first begins the state
    assert full >= 7
    assert full <= 8 or full * full_lists <= swept.count(SweepKind.RECENT) + full_lists


@pytest.mark.parametrize(("parents_per_query", "lists"), [(1, 2), (100, 7)])
def test_a_full_sweep_counts_as_many_lists_as_it_takes(parents_per_query: int, lists: int) -> None:
    index = SimpleNamespace(endpoints=lambda: [None] * 500)
    sweeper = Sweeper(None, index, None, "me", is_genuine=bool, parents_per_query=parents_per_query)
    assert sweeper.lists_of_full() == lists
