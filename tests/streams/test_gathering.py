"""Operators that gather, drop or try again: marble tests in virtual time, one unit a second."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from reactivex import Observable
from reactivex import operators as ops
from reactivex.subject import Subject
from reactivex.testing import ReactiveTest, TestScheduler

from syft_flwr.feed import DeadLetter, dead_letters, dedupe_by, latest_per, quorum, retrying, windowed_bytes
from syft_flwr.models import Message, Received

on_next, on_completed, on_error = ReactiveTest.on_next, ReactiveTest.on_completed, ReactiveTest.on_error


def message(name: str, size: int = 1) -> Message:
    """A message whose sender is the name's letters."""
    sender = f"{name.rstrip('0123456789')}@x.org"
    return Message("request", sender, "me@x.org", "app", "end", name, name, "folder", size=size, created_time="")


@pytest.fixture
def scheduler() -> TestScheduler:
    return TestScheduler()


def observe(
    scheduler: TestScheduler, source: Observable[Any], *operators: Callable[[Any], Any], disposed: float = 1000
) -> list[Any]:
    """Return time and element of all that came, and the end."""
    results = scheduler.start(lambda: source.pipe(*operators), disposed=disposed)
    return [(int(record.time), _shown(record.value)) for record in results.messages]


def _shown(notification: Any) -> Any:
    return {"N": lambda: notification.value, "C": lambda: "end", "E": lambda: f"error: {notification.exception}"}[
        notification.kind
    ]()


def names(elements: list[Message]) -> str:
    return " ".join(element.future_id for element in elements)


def messages(scheduler: TestScheduler, marbles: dict[float, Message], end: float | None = None) -> Observable[Message]:
    closing = [] if end is None else [on_completed(end)]
    return scheduler.create_hot_observable(*(on_next(time, value) for time, value in marbles.items()), *closing)


# -- retrying, dead_letters -----------------------------------------------------------------------------------


class Flaky:
    """Fails so many times for each element, then doubles it."""

    def __init__(self, **failures: int) -> None:
        self.failures = failures
        self.tries: list[str] = []

    def __call__(self, element: str) -> str:
        self.tries.append(element)
        if self.failures.get(element, 0) > 0:
            self.failures[element] -= 1
            raise OSError(f"no {element}")
        return element * 2


def test_a_mapper_is_tried_again_after_a_while_and_others_overtake_meanwhile(scheduler) -> None:
    source = scheduler.create_hot_observable(on_next(210, "a"), on_next(220, "b"), on_completed(225))
    seen = observe(scheduler, source, retrying(Flaky(a=2), times=3, delay=10.0, scheduler=scheduler))
    assert seen == [(220, "bb"), (230, "aa"), (230, "end")]


def test_what_fails_to_the_last_becomes_a_dead_letter_and_the_stream_goes_on(scheduler) -> None:
    source = scheduler.create_hot_observable(on_next(210, "a"), on_next(240, "b"))
    letters: list[DeadLetter[str]] = []
    flaky = Flaky(a=9)
    retry = retrying(flaky, times=3, delay=10.0, scheduler=scheduler)
    assert observe(scheduler, source, retry, dead_letters(letters.append)) == [(240, "bb")]
    assert [(letter.element, str(letter.error)) for letter in letters] == [("a", "no a")]
    assert flaky.tries == ["a", "a", "a", "b"]


def test_an_observer_that_raises_does_not_make_the_mapper_run_again() -> None:
    source: Subject[str] = Subject()
    flaky = Flaky()

    def refuse(_: str | DeadLetter[str]) -> None:
        raise ValueError("mine")

    source.pipe(retrying(flaky)).subscribe(refuse)
    with pytest.raises(ValueError, match="mine"):
        source.on_next("a")
    assert flaky.tries == ["a"]


def test_what_waits_for_a_try_is_dropped_on_dispose(scheduler) -> None:
    source = scheduler.create_hot_observable(on_next(210, "a"))
    flaky = Flaky(a=1)
    retry = retrying(flaky, delay=100.0, scheduler=scheduler)
    assert observe(scheduler, source, retry, disposed=250) == []
    scheduler.start()
    assert flaky.tries == ["a"]


def test_a_burial_that_fails_ends_the_stream(scheduler) -> None:
    source = scheduler.create_hot_observable(on_next(210, "a"))

    def full(_: DeadLetter[str]) -> None:
        raise OSError("disk full")

    seen = observe(scheduler, source, retrying(Flaky(a=1), times=1), dead_letters(full))
    assert seen == [(210, "error: disk full")]


# -- quorum ---------------------------------------------------------------------------------------------------


def test_a_quorum_comes_with_the_kth_sender_and_late_ones_are_dropped(scheduler) -> None:
    source = messages(
        scheduler, {t: message(n) for t, n in [(210, "a1"), (211, "b1"), (212, "c1"), (213, "b2"), (214, "c2")]}
    )
    seen = observe(scheduler, source, quorum(2, of=3, within=60.0, scheduler=scheduler), ops.map(names))
    assert seen == [(211, "a1 b1"), (214, "b2 c2")]


def test_a_sender_counts_once_in_a_quorum_and_with_the_newest(scheduler) -> None:
    source = messages(scheduler, {210: message("a1"), 211: message("a2"), 212: message("b1")})
    seen = observe(scheduler, source, quorum(2, of=3, within=60.0, scheduler=scheduler), ops.map(names))
    assert seen == [(212, "a2 b1")]


def test_a_round_without_a_quorum_in_time_is_dropped(scheduler) -> None:
    source = messages(scheduler, {210: message("a1"), 241: message("b1"), 250: message("c1")}, end=300)
    seen = observe(scheduler, source, quorum(2, of=3, within=30.0, scheduler=scheduler), ops.map(names))
    assert seen == [(250, "b1 c1"), (300, "end")]


def test_a_sender_who_was_counted_begins_the_next_round(scheduler) -> None:
    source = messages(scheduler, {210: message("a1"), 211: message("b1"), 212: message("a2"), 213: message("c1")})
    seen = observe(scheduler, source, quorum(2, of=3, within=60.0, scheduler=scheduler), ops.map(names))
    assert seen == [(211, "a1 b1"), (213, "a2 c1")]


def test_a_time_out_forgets_who_was_late_for_a_quorum(scheduler) -> None:
    source = messages(scheduler, {210: message("a1"), 211: message("b1"), 260: message("c2"), 261: message("d2")})
    seen = observe(scheduler, source, quorum(2, of=4, within=30.0, scheduler=scheduler), ops.map(names))
    assert seen == [(211, "a1 b1"), (261, "c2 d2")]


# -- latest_per, dedupe_by ------------------------------------------------------------------------------------


def test_the_newest_of_each_key_is_shown_with_every_element(scheduler) -> None:
    source = scheduler.create_hot_observable(on_next(210, "a1"), on_next(220, "b1"), on_next(230, "a2"))
    seen = observe(scheduler, source, latest_per(lambda element: element[0]))
    assert seen == [(210, {"a": "a1"}), (220, {"a": "a1", "b": "b1"}), (230, {"a": "a2", "b": "b1"})]


def test_two_subscriptions_gather_each_for_itself() -> None:
    source: Subject[str] = Subject()
    newest = source.pipe(latest_per(lambda element: element[0]))
    fresh = source.pipe(dedupe_by(lambda element: element[0]))
    first: list[Any] = []
    second: list[Any] = []
    newest.subscribe(first.append)
    fresh.subscribe(first.append)
    source.on_next("a1")
    newest.subscribe(second.append)
    fresh.subscribe(second.append)
    source.on_next("a2")
    assert first == [{"a": "a1"}, "a1", {"a": "a2"}]
    assert second == [{"a": "a2"}, "a2"]


def test_the_same_key_passes_once_until_so_many_others_have_come(scheduler) -> None:
    source = scheduler.create_hot_observable(*(on_next(210 + i, key) for i, key in enumerate("abacbda")))
    seen = observe(scheduler, source, dedupe_by(lambda key: key, limit=2))
    # c pushes b out, as a came again; b then pushes a out
    assert [element for _, element in seen] == ["a", "b", "c", "b", "d", "a"]


# -- windowed_bytes -------------------------------------------------------------------------------------------


def test_a_list_ends_before_it_has_more_bytes_than_it_may(scheduler) -> None:
    source = messages(
        scheduler,
        {210: message("a1", 4), 211: message("a2", 6), 212: message("a3", 1), 213: message("a4", 99)},
        end=220,
    )
    seen = observe(scheduler, source, windowed_bytes(10, 60.0, scheduler=scheduler), ops.map(names))
    assert seen == [(212, "a1 a2"), (213, "a3"), (220, "a4"), (220, "end")]


def test_an_observer_that_raises_costs_no_element_that_is_gathered_meanwhile() -> None:
    source, seen = Subject[Message](), list[str]()

    def choke(batch: list[Message]) -> None:
        seen.append(names(batch))
        raise ValueError("mine")

    source.pipe(windowed_bytes(10, 60.0, scheduler=TestScheduler())).subscribe(
        choke, on_completed=lambda: seen.append("end")
    )
    for name in ("a1", "a2", "a3"):
        with suppress(ValueError):
            source.on_next(message(name, 10))
    with suppress(ValueError):
        source.on_completed()
    assert seen == ["a1", "a2", "a3", "end"]


def test_a_list_ends_some_seconds_after_its_first_element(scheduler) -> None:
    source = messages(scheduler, {210: message("a1"), 235: message("a2"), 250: message("a3")})
    seen = observe(scheduler, source, windowed_bytes(10, 30.0, scheduler=scheduler), ops.map(names))
    assert seen == [(240, "a1 a2"), (280, "a3")]


def test_what_is_gathered_is_dropped_when_the_stream_fails(scheduler) -> None:
    source = scheduler.create_hot_observable(on_next(210, message("a1")), on_error(220, OSError("over")))
    assert observe(scheduler, source, windowed_bytes(10, 30.0, scheduler=scheduler)) == [(220, "error: over")]


def test_loaded_bodies_are_counted_too(scheduler) -> None:
    a, b = Received(message("a1"), b"123"), Received(message("b1"), b"4567")
    source = scheduler.create_hot_observable(on_next(210, a), on_next(211, b), on_completed(220))
    seen = observe(scheduler, source, windowed_bytes(5, 30.0, scheduler=scheduler))
    assert seen == [(211, [a]), (220, [b]), (220, "end")]


@pytest.mark.parametrize(
    "make",
    [
        lambda: retrying(str, times=0),
        lambda: quorum(3, of=2, within=1.0),
        lambda: quorum(0, of=2, within=1.0),
        lambda: dedupe_by(str, limit=0),
        lambda: windowed_bytes(0, 1.0),
    ],
)
def test_numbers_that_make_no_sense_are_refused(make) -> None:
    with pytest.raises(ValueError, match=r"must be (at least 1|from 1 to)"):
        make()
