from __future__ import annotations

import json
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syft_flwr.drive.quota import METHOD_UNITS, QuotaBudget, QuotaMeter, units_of
from syft_flwr.errors import ConfigurationError


def test_the_documented_methods_cost_what_the_documentation_says() -> None:
    documented = {"files.list": 100, "files.get": 5, "files.update": 50, "files.get_media": 200, "files.generateIds": 5}
    assert {method: METHOD_UNITS[method] for method in documented} == documented
    assert units_of("drives.get") == 5


def test_the_meter_counts_calls_units_bytes_and_retries_by_method() -> None:
    meter = QuotaMeter()
    meter.book("files.create", bytes_up=10)
    meter.book("files.create", retried=True, bytes_up=10, bytes_down=3)
    meter.book("changes.list", bytes_down=7)
    meter.book_throttle()
    assert meter.calls() == {"files.create": 2, "changes.list": 1}
    assert meter.units() == {"files.create": 100, "changes.list": 100}
    assert meter.throttled == 1
    snapshot = meter.snapshot()
    assert (snapshot.calls, snapshot.units, snapshot.methods["files.create"].retries) == (3, 200, 1)
    assert json.loads(json.dumps(snapshot.to_json()))["methods"]["files.create"]["bytes_up"] == 20


def test_a_snapshot_does_not_change_with_the_meter() -> None:
    meter = QuotaMeter()
    meter.book("files.get")
    snapshot = meter.snapshot()
    meter.book("files.get")
    assert snapshot.calls == 1


def test_no_booking_is_lost_between_threads() -> None:
    meter = QuotaMeter()
    threads = [
        threading.Thread(target=lambda: [meter.book("files.get", bytes_up=1) for _ in range(500)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert meter.snapshot().methods["files.get"].bytes_up == 2000


def test_a_budget_lets_calls_through_until_it_is_spent_and_then_for_as_long_as_the_window_lasts() -> None:
    budget = QuotaBudget(300)
    for second in range(3):
        assert budget.delay(100, second) == 0
        budget.spend(100, second)
    assert budget.delay(5, 3) == 57
    assert budget.delay(200, 3) == 58
    assert budget.delay(300, 3) == 59
    assert budget.delay(100, 60) == 0


def test_turns_that_are_reserved_come_in_the_order_of_asking() -> None:
    budget = QuotaBudget(200)
    budget.spend(200, 0)
    dear = budget.delay(200, 1)
    budget.spend(200, 1 + dear)
    assert 1 + dear == 60
    assert 1 + budget.delay(5, 1) == 120


def test_a_budget_that_one_download_exceeds_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="at least 200"):
        QuotaBudget(199)


@given(
    st.integers(200, 2_000),
    st.lists(st.tuples(st.sampled_from(sorted(set(METHOD_UNITS.values()))), st.integers(0, 400)), max_size=80),
)
def test_no_window_of_60_seconds_ever_holds_more_than_the_budget(limit: int, calls: list[tuple[int, int]]) -> None:
    budget = QuotaBudget(limit)
    now, made = 0.0, []
    for units, eighths in calls:  # binary fractions, so that sums are exact
        now += eighths / 8
        at = now + budget.delay(units, now)
        budget.spend(units, at)
        made.append((at, units))
    for start, _ in made:
        assert sum(units for at, units in made if start <= at < start + 60) <= limit


@given(st.lists(st.sampled_from([5, 50, 100, 200]), min_size=1, max_size=60))
def test_a_call_waits_no_longer_than_it_must(calls: list[int]) -> None:
    budget, made = QuotaBudget(400), []
    for units in calls:
        at = budget.delay(units, 0)
        budget.spend(units, at)
        if at > 0 and at > (made[-1][0] if made else 0):
            earlier = at - 0.001
            assert sum(u for t, u in made if t > earlier - 60) + units > 400
        made.append((at, units))
