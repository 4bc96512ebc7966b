"""What ReactiveX's own operators keep and lose on a hot stream, as the cookbook says."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from reactivex import operators as ops
from reactivex.scheduler import EventLoopScheduler
from runtimes import State, runtime_on

from syft_flwr.exchange.requester import Request
from syft_flwr.feed import reply_with
from syft_flwr.feed.subject import IsolatedSubject
from syft_flwr.models import Replied
from syft_flwr.runtime import DriveRuntime
from syft_flwr.testing.clock import ManualClock
from syft_flwr.testing.memory_drive import MemoryDrive

PATIENCE = 30.0


@pytest.fixture
def reported() -> list[str]:
    return []


@pytest.fixture
def stream(reported: list[str]) -> IsolatedSubject[int]:
    return IsolatedSubject(lambda error, _: reported.append(str(error)))


def refuse_twos(number: int) -> int:
    if number == 2:
        raise ValueError("two")
    return number


def test_retry_loses_the_element_that_failed_and_sees_the_next(stream, reported) -> None:
    seen: list[int] = []
    stream.pipe(ops.map(refuse_twos), ops.retry()).subscribe(seen.append)
    for number in range(5):
        stream.on_next(number)
    assert (seen, reported) == ([0, 1, 3, 4], [])


def test_retry_loses_what_was_gathered_before_the_failure(stream) -> None:
    seen: list[list[int]] = []
    stream.pipe(ops.map(refuse_twos), ops.buffer_with_count(2), ops.retry()).subscribe(seen.append)
    for number in (0, 1, 3, 2, 4, 5):
        stream.on_next(number)
    assert seen == [[0, 1], [4, 5]]


def test_catch_loses_all_that_follows(stream) -> None:
    seen: list[int] = []
    other: IsolatedSubject[int] = IsolatedSubject(lambda _error, _value: None)
    stream.pipe(ops.map(refuse_twos), ops.catch(other)).subscribe(seen.append)
    for number in range(5):
        stream.on_next(number)
    assert seen == [0, 1]


def test_share_gives_late_observers_what_comes_and_begins_anew_after_the_last(stream) -> None:
    shared = stream.pipe(ops.scan(lambda count, _: count + 1, 0), ops.share())
    first: list[int] = []
    late: list[int] = []
    anew: list[int] = []
    subscriptions = [shared.subscribe(first.append)]
    stream.on_next(7)
    subscriptions.append(shared.subscribe(late.append))
    stream.on_next(7)
    for subscription in subscriptions:
        subscription.dispose()
    shared.subscribe(anew.append)
    stream.on_next(7)
    assert (first, late, anew) == ([1, 2], [2], [1])


@pytest.fixture
def thread() -> Iterator[EventLoopScheduler]:
    scheduler = EventLoopScheduler()
    yield scheduler
    scheduler.dispose()


def test_observe_on_lets_the_stream_go_on_and_keeps_what_waits(stream, thread) -> None:
    may_go_on, done = threading.Event(), threading.Event()
    seen: list[int] = []

    def slow(number: int) -> None:
        assert may_go_on.wait(PATIENCE)
        seen.append(number)
        if number == 2_999:
            done.set()

    stream.pipe(ops.observe_on(thread)).subscribe(slow)
    for number in range(3_000):
        stream.on_next(number)
    assert seen == []
    may_go_on.set()
    assert done.wait(PATIENCE)
    assert seen == list(range(3_000))


def test_what_an_observer_raises_behind_observe_on_ends_the_thread_and_is_not_reported(
    stream, thread, reported, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended, seen = threading.Event(), []
    monkeypatch.setattr(threading, "excepthook", lambda _: ended.set())

    def refuse(number: int) -> None:
        seen.append(number)
        raise ValueError("mine")

    stream.pipe(ops.observe_on(thread)).subscribe(refuse)
    for number in range(3):
        stream.on_next(number)
    assert ended.wait(PATIENCE)
    assert (seen, reported) == ([0], [])


def test_distinct_never_forgets(stream) -> None:
    seen: list[int] = []
    stream.pipe(ops.distinct()).subscribe(seen.append)
    for number in [*range(50), 0]:
        stream.on_next(number)
    assert len(seen) == 50


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[DriveRuntime]:
    """One with a request in its journal that nobody has taken."""
    clock = ManualClock()
    drive = MemoryDrive(clock)
    gateways = {name: drive.gateway(f"{name}@example.com") for name in ("owner", "asker")}
    with runtime_on(gateways["asker"], State(tmp_path / "a"), clock, "asker@example.com", inline=True) as asker:
        asker.send([Request("owner@example.com", "app", "messages", b"waits")])
    with runtime_on(gateways["owner"], State(tmp_path / "o"), clock, "owner@example.com", inline=True) as owner:
        owner.poll_once()
        yield owner


def test_what_waits_is_answered_by_a_pipeline_that_is_subscribed_later(runtime) -> None:
    replies: list[Replied] = []
    runtime.messages.pipe(reply_with(runtime, lambda body, _: body, allowed_senders=["asker@example.com"])).subscribe(
        replies.append
    )
    runtime.poll_once()
    assert [reply.body for reply in replies] == [b"waits"]


def test_share_before_an_answering_pipeline_begins_with_what_waits_for_the_first_only(runtime) -> None:
    first: list[str] = []
    late: list[str] = []
    shared = runtime.messages_from_start.pipe(ops.share())
    shared.subscribe(lambda message: first.append(message.future_id))
    shared.subscribe(lambda message: late.append(message.future_id))
    assert (len(first), late) == (1, [])


def test_subscribing_on_another_thread_loses_what_waits_unless_the_stream_begins_with_it(runtime, thread) -> None:
    over = threading.Event()
    plain: list[str] = []
    from_start: list[str] = []
    runtime.messages.pipe(ops.subscribe_on(thread)).subscribe(lambda message: plain.append(message.future_id))
    runtime.messages_from_start.pipe(ops.subscribe_on(thread)).subscribe(
        lambda message: (from_start.append(message.future_id), over.set())
    )
    assert over.wait(PATIENCE)
    assert (plain, len(from_start)) == ([], 1)


def test_an_answering_pipeline_before_subscribe_on_begins_with_what_waits(runtime, thread) -> None:
    replied = threading.Event()
    answering = runtime.messages.pipe(
        reply_with(runtime, lambda body, _: body, allowed_senders=["asker@example.com"]), ops.subscribe_on(thread)
    )
    answering.subscribe(lambda _: replied.set())
    done = threading.Event()
    thread.schedule(lambda *_: done.set())
    assert done.wait(PATIENCE)
    runtime.poll_once()
    assert replied.wait(PATIENCE)
