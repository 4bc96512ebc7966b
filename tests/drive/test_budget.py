"""The account's budget: no minute and no day over its limit, whoever spends and however processes end."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syft_flwr.drive import budget as budget_module
from syft_flwr.drive import budget_file
from syft_flwr.drive.budget import GOOGLE_PER_MINUTE, LEAST, AccountBudget
from syft_flwr.drive.quota import units_of
from syft_flwr.drive.spending import read_spending
from syft_flwr.errors import ConfigurationError, StateError
from syft_flwr.testing.clock import ManualClock

NOON = datetime(2026, 11, 26, 20, tzinfo=UTC).timestamp()  # in California


def clock_at(now: float, local: float = NOON) -> ManualClock:
    """Return a clock whose monotonic time is ``now``, and its time of day ``local``."""
    clock = ManualClock(local - now)
    clock.advance(now)
    return clock


def reserve(
    budget: AccountBudget,
    units: int,
    now: float,
    *,
    resting: bool = False,
    drive_time: float | None = NOON,
    local: float = NOON,
    method: str = "",
) -> float:
    """Reserve when the monotonic clock shows ``now``, the machine ``local``, and Drive has told ``drive_time``."""
    clock = clock_at(now, local)
    ahead = None if drive_time is None else drive_time - now
    return budget.reserve(units, resting=resting, clock=clock, ahead=ahead, method=method).seconds


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
    assert reserve(other, 200, 11.0) == 0
    assert reserve(other, 300, 11.0) == pytest.approx(60.0)
    assert (tmp_path / "budget").stat().st_mode & 0o777 == 0o600


def test_a_day_ends_at_midnight_pacific_time(tmp_path: Path) -> None:
    budget = AccountBudget(per_day=1_000, path=tmp_path / "budget")
    assert reserve(budget, 1_000, 0.0) == 0
    assert reserve(budget, 5, 0.0) == 12 * 3600
    assert reserve(budget, 5, 100.0, drive_time=NOON - 7 * 86_400) > 0, "a clock that goes back gives nothing back"
    assert reserve(budget, 1_000, 200.0, drive_time=NOON + 12 * 3600 + 1) == 0


@pytest.mark.parametrize("step", [-86_400.0, 86_400.0, 40 * 86_400.0])
def test_a_time_of_day_that_is_wrong_begins_no_day_once_drive_has_told_its_own(tmp_path: Path, step: float) -> None:
    path = tmp_path / "budget"
    assert reserve(AccountBudget(per_day=1_000, path=path), 900, 0.0) == 0
    assert reserve(AccountBudget(per_day=1_000, path=path), 200, 10.0, drive_time=None, local=NOON + step) > 0
    assert reserve(AccountBudget(per_day=1_000, path=path), 100, 10.0, drive_time=None, local=NOON + step) == 0
    assert reserve(AccountBudget(per_day=1_000, path=path), 5, 20.0) > 0
    tomorrow = NOON + 12 * 3600
    assert reserve(AccountBudget(per_day=1_000, path=path), 900, 43_200.0, drive_time=tomorrow) == 0


@pytest.mark.parametrize("step", [-86_400.0, 86_400.0, 40 * 86_400.0])
def test_what_was_spent_under_a_wrong_date_after_a_boot_counts_for_the_day_that_drive_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: float
) -> None:
    path = tmp_path / "budget"
    assert reserve(AccountBudget(per_day=1_000, path=path), 700, 5_000.0) == 0
    monkeypatch.setattr(budget_module, "boot_id", lambda: "another")
    assert reserve(AccountBudget(per_day=1_000, path=path), 200, 10.0, drive_time=None, local=NOON + step) == 0
    assert reserve(AccountBudget(per_day=1_000, path=path), 101, 11.0) > 0
    assert reserve(AccountBudget(per_day=1_000, path=path), 100, 11.0) == 0
    assert reserve(AccountBudget(per_day=1_000, path=path), 1_000, 43_200.0, drive_time=NOON + 12 * 3600) == 0


def test_a_process_that_has_slept_over_midnight_with_the_machine_is_told_of_the_new_day(tmp_path: Path) -> None:
    path = tmp_path / "budget"
    sleeper, other = (AccountBudget(per_day=1_000, path=path) for _ in range(2))
    assert reserve(sleeper, 1_000, 0.0) == 0
    assert reserve(other, 995, 1.0, drive_time=NOON + 86_400) == 0
    assert reserve(sleeper, 10, 2.0, drive_time=NOON + 2) > 0
    assert reserve(other, 5, 3.0, drive_time=NOON + 86_400) == 0
    assert reserve(other, 5, 3.0, drive_time=NOON + 86_400) > 0


# -- turns --------------------------------------------------------------------------------------------------------


def test_a_dear_call_is_not_starved_by_cheap_ones_that_ask_later(tmp_path: Path) -> None:
    path = tmp_path / "budget"
    crowd, dear = AccountBudget(per_minute=400, path=path), AccountBudget(path=path)
    now = 0.0
    while reserve(crowd, 50, now) == 0:
        now += 1
    waits = reserve(dear, 200, now)
    assert waits > 0
    while now < 300 and reserve(dear, 200, now) > 0:
        while reserve(crowd, 50, now) == 0:
            pass
        now += 0.5
    assert now <= 70, "it had its turn as soon as a minute had gone by"


def test_a_call_that_never_asks_again_loses_its_place(tmp_path: Path) -> None:
    path = tmp_path / "budget"
    other, killed = AccountBudget(per_minute=400, path=path), AccountBudget(path=path)
    assert reserve(other, 300, 0.0) == 0
    assert reserve(killed, 200, 1.0) == pytest.approx(60.0)
    killed.close()
    assert reserve(other, 250, 61.5) > 0
    assert reserve(other, 250, 67.0) == 0


def test_a_message_goes_before_polls_that_wait_but_not_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "budget"
    polls, messages = AccountBudget(per_minute=600, path=path), AccountBudget(path=path)
    assert reserve(messages, 600, 0.0) == 0
    assert reserve(polls, 100, 10.0, resting=True) > 0
    assert reserve(messages, 550, 11.0) == pytest.approx(50.0)
    assert reserve(polls, 100, 61.0, resting=True) > 0, "it would take what the message waits for"
    assert reserve(messages, 550, 61.0) == 0
    assert reserve(polls, 100, 61.0, resting=True) > 0
    assert reserve(messages, 550, 75.0) == pytest.approx(47.0)
    assert reserve(messages, 550, 122.0) > 0, "the poll has waited for a minute: it is its turn"
    assert reserve(polls, 100, 122.0, resting=True) == 0


@pytest.mark.parametrize("kept", [0, 1, 100])
def test_a_process_that_is_killed_in_mid_write_spends_nothing_and_spoils_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    path = tmp_path / "budget"
    assert reserve(AccountBudget(per_minute=400, path=path), 100, 0.0) == 0
    victim = AccountBudget(path=path)
    monkeypatch.setattr(budget_file, "_PAGE", 0)  # a new file takes the place of the old one
    create = budget_file.create_private

    def die(place: Path) -> None:
        with create(place) as file:
            file.write(b"x" * kept)
        raise KeyboardInterrupt

    monkeypatch.setattr(budget_file, "create_private", die)
    with pytest.raises(KeyboardInterrupt):
        reserve(victim, 200, 1.0)
    monkeypatch.undo()
    assert reserve(AccountBudget(path=path), 300, 1.0) == 0
    assert reserve(AccountBudget(path=path), 5, 1.0) > 0


def test_what_a_killed_process_left_behind_a_shorter_text_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "budget"
    one = AccountBudget(per_minute=6_000, path=path)
    for second in range(60):
        assert reserve(one, 50, float(second)) == 0

    def die(_: int, __: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(budget_file.os, "ftruncate", die)
    with pytest.raises(KeyboardInterrupt):
        reserve(AccountBudget(path=path), 100, 500.0)
    monkeypatch.undo()
    assert path.read_bytes().count(b"\n") > 1, "the end of the longer text"
    assert read_spending(path, clock_at(500.0)).today == 3_100
    other = AccountBudget(path=path)
    assert reserve(other, 5_900, 500.0) == 0
    assert reserve(other, 5, 500.0) > 0
    assert "damaged" not in caplog.text


@pytest.mark.parametrize("large", [False, True])
def test_a_file_that_was_put_in_the_place_of_the_old_one_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    path = tmp_path / "budget"
    one, other = AccountBudget(per_minute=600, path=path), AccountBudget(path=path)
    assert reserve(one, 100, 0.0) == reserve(other, 100, 0.0) == 0
    if large:
        monkeypatch.setattr(budget_file, "_PAGE", 0)
        assert reserve(one, 100, 0.0) == 0
        monkeypatch.undo()
    else:
        path.write_bytes(path.read_bytes().replace(b'"0":200', b'"0":300'))
    assert reserve(other, 300, 0.0) == 0
    assert reserve(one, 5, 0.0) > 0


@pytest.mark.parametrize(
    "content",
    [
        *("", "{", "[]", "[" * 100_000, "\0" * 64),
        '{"minute": {"x": 1}, "day": ["a", 1], "rest": [0, 0]}',
        '{"minute": {}, "day": ["a", 1], "rest": [0, 0, 0], "queue": []}',
        '{"minute": {}, "day": ["a", 1, 2], "rest": [0, 0], "queue": []}',
    ],
    ids=lambda content: content[:60],
)
def test_a_damaged_file_counts_as_spent_and_an_empty_one_as_new(tmp_path: Path, content: str, caplog) -> None:
    path = tmp_path / "budget"
    path.write_text(content)
    delay = reserve(AccountBudget(per_minute=500, path=path), 5, 10.0)
    assert (delay > 0, "is damaged" in caplog.text) == (bool(content), bool(content))
    assert reserve(AccountBudget(per_minute=500, path=path), 5, 75.0) == 0
    assert caplog.text.count("is damaged") == bool(content), "it is said once"


def test_a_clock_that_was_set_back_by_a_boot_gives_nothing_back(tmp_path: Path) -> None:
    path = tmp_path / "budget"
    assert reserve(AccountBudget(per_minute=500, path=path), 500, 1_000_000.0) == 0
    assert reserve(AccountBudget(per_minute=500, path=path), 5, 3.0) > 0
    assert reserve(AccountBudget(per_minute=500, path=path), 5, 65.0) == 0


@pytest.mark.parametrize("limits", [{"per_minute": LEAST - 1}, {"per_day": 1}])
def test_a_budget_with_which_nothing_works_is_refused_with_the_least_that_does(limits: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError, match=f"at least {LEAST}"):
        AccountBudget(**limits)


# -- limits -------------------------------------------------------------------------------------------------------


def test_a_process_that_gives_no_limit_keeps_to_the_others_limit(tmp_path: Path) -> None:
    path = tmp_path / "budget"
    limited, other = AccountBudget(per_minute=500, path=path), AccountBudget(path=path)
    assert other.limits() == (500, None)
    assert reserve(limited, 300, 10.0) == 0
    assert reserve(other, 300, 10.0) > 0


def test_a_limit_holds_for_those_too_that_were_there_before(tmp_path: Path) -> None:
    path = tmp_path / "budget"
    first, limited = AccountBudget(path=path), AccountBudget(per_day=1_000, path=path)
    assert reserve(first, 900, 10.0) == 0
    assert reserve(limited, 200, 10.0) > 0
    assert reserve(first, 200, 10.0) > 0


def test_processes_that_contradict_each_other_are_told_both_limits_and_the_next_user_may_choose(tmp_path: Path) -> None:
    path = tmp_path / "budget"
    first = AccountBudget(per_minute=1_000, path=path)
    with pytest.raises(ConfigurationError, match=r"2,000 quota units a minute.*keep to 1,000"):
        AccountBudget(per_minute=2_000, path=path)
    first.close()
    assert AccountBudget(per_minute=2_000, path=path).limits() == (2_000, None)


def test_a_damaged_file_does_not_lose_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "budget"
    budget = AccountBudget(per_minute=500, path=path)
    path.write_text("{")
    assert reserve(budget, 5, 10.0) > 0
    assert reserve(budget, 400, 75.0) == 0
    assert reserve(budget, 400, 76.0) > 0


def test_without_a_limit_google_s_own_holds(tmp_path: Path) -> None:
    budget = AccountBudget(path=tmp_path / "budget")
    assert reserve(budget, GOOGLE_PER_MINUTE, 10.0) == 0
    assert reserve(budget, 5, 10.0) > 0


# -- the bill -----------------------------------------------------------------------------------------------------


def test_what_was_spent_outlives_its_processes_by_method_purpose_and_process(tmp_path: Path) -> None:
    path = tmp_path / "budget"
    for who, method in (("run (1)", "files.create"), ("watch (2)", "changes.list"), ("run (1)", "files.delete")):
        budget = AccountBudget(path=path, who=who)
        reserve(budget, units_of(method), 10.0, method=method)
        budget.close()
    spending = read_spending(path, clock_at(10.0))
    assert (spending.minute, spending.today) == (200, 200)
    assert spending.methods == {"files.create": 50, "changes.list": 100, "files.delete": 50}
    assert spending.purposes == {"sending": 50, "at rest": 100, "cleaning up": 50}
    assert spending.processes == {"run (1)": 100, "watch (2)": 100}
    assert spending.until_midnight == 400


def test_a_new_day_begins_a_new_bill_and_keeps_the_sums_of_the_days_before(tmp_path: Path) -> None:
    path = tmp_path / "budget"
    budget = AccountBudget(path=path, who="run (1)")
    for day in range(40):
        assert reserve(budget, 5, 10.0, drive_time=NOON - (39 - day) * 86_400, method="files.get") == 0
    spending = read_spending(path, clock_at(10.0))
    assert spending.methods == {"files.get": 5}
    assert len(spending.days) == 30


def test_many_processes_leave_a_bounded_file(tmp_path: Path) -> None:
    path = tmp_path / "budget"
    for number in range(200):
        budget = AccountBudget(path=path, who=f"run ({number})")
        reserve(budget, 5, 10.0, method="files.get")
        budget.close()
    spending = read_spending(path, clock_at(10.0))
    assert sum(spending.processes.values()) == spending.today == 1_000
    assert len(spending.processes) <= 51


def test_a_bill_that_is_damaged_says_so_and_one_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert read_spending(tmp_path / "none").today == 0
    (tmp_path / "budget").write_text('{"day": 5}')
    with pytest.raises(StateError, match="can't read what was spent"):
        read_spending(tmp_path / "budget")
