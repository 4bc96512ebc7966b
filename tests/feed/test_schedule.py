from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from syft_flwr.feed.interval import PollInterval, SweepInterval
from syft_flwr.feed.schedule import SweepKind, SweepSchedule


def begun(interval: float = 60.0) -> SweepSchedule:
    """A schedule whose first sweep, at 0, is over."""
    schedule = SweepSchedule(interval)
    assert schedule.due(0.0) is SweepKind.FULL
    schedule.swept(SweepKind.FULL, 0.0, missed=0)
    return schedule


def test_the_pause_doubles_when_quiet_and_is_short_again_at_once() -> None:
    interval = PollInterval(2.0, 15.0, random.Random(1))
    quiet = [interval.next(active=False) for _ in range(5)]
    for pause, longest in zip(quiet, (4.0, 8.0, 15.0, 15.0, 15.0), strict=True):
        assert longest * 0.9 <= pause <= longest
    assert interval.next(active=True) <= 2.0


def test_without_a_longest_pause_every_pause_is_the_base_exactly() -> None:
    interval = PollInterval(2.0, None, random.Random(1))
    assert {interval.next(active=active) for active in (True, False, False)} == {2.0}


def test_a_base_that_is_shortened_later_counts_at_once() -> None:
    interval = PollInterval(10.0, 15.0, random.Random(1))
    interval.base = 1.0
    assert interval.next(active=True) <= 1.0


def test_the_same_seed_gives_the_same_pauses() -> None:
    one, other = (PollInterval(2.0, 15.0, random.Random(5)) for _ in range(2))
    assert [one.next(active=False) for _ in range(9)] == [other.next(active=False) for _ in range(9)]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=60))
def test_sweeps_come_between_four_times_and_an_eighth_as_often(rounds) -> None:
    interval = SweepInterval.starting_at(60.0)
    for missed, delivered in rounds:
        interval = interval.after_sweep(missed=missed, delivered=delivered)
        assert 15.0 <= interval.current <= 480.0


def test_sweeps_come_sooner_while_they_find_what_the_feed_missed_and_later_once_it_proves_itself() -> None:
    interval = SweepInterval.starting_at(60.0)
    assert interval.after_sweep(missed=1, delivered=9).current == 30.0
    assert interval.after_sweep(missed=0, delivered=9).current == 90.0
    assert interval.after_sweep(missed=0, delivered=0).current == 60.0


def test_ordinary_sweeps_follow_at_the_interval_and_every_eighth_is_a_full_one() -> None:
    schedule = begun()
    kinds = []
    now = 0.0
    for _ in range(16):
        assert schedule.due(now + 59.0) is None
        now += 60.0
        kinds.append(schedule.due(now))
        schedule.swept(kinds[-1], now, missed=0)
    assert kinds.count(SweepKind.FULL) == 2
    assert kinds[0] is SweepKind.RECENT


def test_a_full_sweep_that_is_wanted_comes_with_the_next_one_that_is_due() -> None:
    schedule = begun()
    assert schedule.due(59.0, wanted=True) is None
    assert schedule.due(60.0, wanted=True) is SweepKind.FULL


def test_a_lost_token_asks_for_a_full_sweep_at_once_and_a_second_look_soon() -> None:
    schedule = begun()
    schedule.token_restarted(20.0)
    assert schedule.due(20.0) is SweepKind.FULL
    schedule.swept(SweepKind.FULL, 20.0, missed=0)
    assert schedule.due(29.0) is None
    assert schedule.due(30.0) is SweepKind.FULL
    schedule.swept(SweepKind.FULL, 30.0, missed=0)
    assert schedule.due(40.0) is None


def test_a_sweep_that_failed_is_still_due() -> None:
    schedule = begun()
    assert schedule.due(60.0) is SweepKind.RECENT
    assert schedule.due(61.0) is SweepKind.RECENT


def test_a_new_root_is_swept_after_one_two_and_four_seconds() -> None:
    schedule = begun()
    schedule.roots_seen({"root"}, 5.0)
    swept_at = []
    for now in range(5, 40):
        if (kind := schedule.due(float(now))) is not None:
            swept_at.append(now)
            schedule.swept(kind, float(now), missed=0)
    assert swept_at == [6, 8, 12, 20, 36]


def test_a_root_from_which_the_feed_delivers_is_left_alone() -> None:
    schedule = begun()
    schedule.roots_seen({"root"}, 5.0)
    schedule.delivered("root")
    assert schedule.due(59.0) is None


def test_roots_known_before_the_first_sweep_are_not_new() -> None:
    schedule = SweepSchedule(60.0)
    schedule.roots_seen({"root"}, 0.0)
    schedule.swept(SweepKind.FULL, 0.0, missed=0)
    assert schedule.due(30.0) is None
