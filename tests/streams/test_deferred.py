"""Requests that a pipeline takes and answers later: many at once, or too late, or after a crash; and what waits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from reactivex import operators as ops
from runtimes import State, runtime_on, serve

from syft_flwr.errors import UnansweredError
from syft_flwr.exchange.requester import Request
from syft_flwr.exchange.routes import Route
from syft_flwr.feed import defer, requests
from syft_flwr.models import Message, Rejection
from syft_flwr.testing.clock import ManualClock
from syft_flwr.testing.memory_drive import MemoryDrive

OWNER, ASKER = "do@example.com", "ds@example.com"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def drive(clock: ManualClock) -> MemoryDrive:
    drive = MemoryDrive(clock)
    drive.gateway(OWNER), drive.gateway(ASKER)
    return drive


def ask(drive: MemoryDrive, clock: ManualClock, state: State, count: int) -> list[str]:
    with runtime_on(drive.gateway(ASKER), state, clock, ASKER, inline=True) as asker:
        return asker.send([Request(OWNER, "app", "messages", b"%d" % number) for number in range(count)])


def answers(drive: MemoryDrive) -> list[bytes]:
    return [content for _, name, content in drive.files() if name.endswith(".response")]


def test_fifty_requests_are_answered_with_one_call(drive, clock, tmp_path: Path) -> None:
    asked = ask(drive, clock, State(tmp_path / "a"), 100)
    batches: list[int] = []
    with runtime_on(drive.gateway(OWNER), State(tmp_path / "o"), clock, OWNER, inline=True) as runtime:

        def answer(batch: list[Message]) -> None:
            batches.append(len(batch))
            assert all(runtime.reply(message, message.future_id) for message in batch)

        runtime.messages.pipe(
            requests, defer(runtime, 60.0, allowed_senders=[ASKER]), ops.buffer_with_count(50)
        ).subscribe(answer)
        runtime.poll_once()
    assert batches == [50, 50]
    assert sorted(answers(drive)) == sorted(future.encode() for future in asked)


def test_each_request_is_answered_once(drive, clock, tmp_path: Path) -> None:
    ask(drive, clock, State(tmp_path / "a"), 1)
    taken: list[Message] = []
    with runtime_on(drive.gateway(OWNER), State(tmp_path / "o"), clock, OWNER, inline=True) as runtime:
        runtime.messages.pipe(defer(runtime, 60.0, allowed_senders=[ASKER])).subscribe(taken.append)
        runtime.messages.pipe(defer(runtime, 60.0, allowed_senders=[ASKER])).subscribe(
            taken.append
        )  # a second pipeline gets nothing
        runtime.poll_once()
        [message] = taken
        assert runtime.reply(message, b"first")
        assert not runtime.reply(message, b"second")
    assert answers(drive) == [b"first"]


def test_what_is_not_answered_in_time_comes_again_and_can_be_answered_then(drive, clock, tmp_path: Path) -> None:
    ask(drive, clock, State(tmp_path / "a"), 1)
    taken: list[Message] = []
    with runtime_on(drive.gateway(OWNER), State(tmp_path / "o"), clock, OWNER, inline=True) as runtime:
        runtime.messages.pipe(defer(runtime, 60.0, allowed_senders=[ASKER])).subscribe(taken.append)
        for _ in range(5):  # however often: it is no crash of a handler
            runtime.poll_once()
            clock.advance(61.0)
        runtime.poll_once()
        assert len(taken) == 6
        assert runtime.reply(taken[-1], b"at last")
    assert answers(drive) == [b"at last"]


def test_what_is_not_answered_in_time_is_rejected_aloud_if_that_is_wanted(drive, clock, tmp_path: Path) -> None:
    ask(drive, clock, State(tmp_path / "a"), 1)
    taken: list[Message] = []
    rejected: list[Rejection] = []
    with runtime_on(drive.gateway(OWNER), State(tmp_path / "o"), clock, OWNER, inline=True) as runtime:
        runtime.rejected.subscribe(rejected.append)
        runtime.messages.pipe(defer(runtime, 60.0, when_late="reject", allowed_senders=[ASKER])).subscribe(taken.append)
        runtime.poll_once()
        clock.advance(61.0)
        runtime.poll_once()
        assert [rejection.reason for rejection in rejected] == ["expired"]
        assert not runtime.reply(taken[0], b"too late")
    assert "no answer within 60 seconds" in json.loads(answers(drive)[0])["error"]


def test_what_a_process_took_before_it_died_another_one_takes(drive, clock, tmp_path: Path) -> None:
    ask(drive, clock, State(tmp_path / "a"), 3)
    state = State(tmp_path / "o")
    taken: list[Message] = []
    for _ in range(2):
        with runtime_on(drive.gateway(OWNER), state, clock, OWNER, inline=True) as runtime:
            runtime.messages.pipe(defer(runtime, 600.0, allowed_senders=[ASKER])).subscribe(taken.append)
            runtime.poll_once()
            for message in taken[3:]:
                assert runtime.reply(message, b"answer")
    assert len(taken) == 6
    assert answers(drive) == [b"answer"] * 3


def test_a_request_that_a_handler_has_is_left_to_it(drive, clock, tmp_path: Path) -> None:
    ask(drive, clock, State(tmp_path / "a"), 1)
    taken: list[Message] = []
    with runtime_on(drive.gateway(OWNER), State(tmp_path / "o"), clock, OWNER, inline=True) as runtime:
        serve(runtime, Route("app", "messages", lambda body, _: b"handled"))
        runtime.messages.pipe(defer(runtime, 60.0, allowed_senders=[ASKER])).subscribe(taken.append)
        runtime.poll_once()
    assert taken == []
    assert answers(drive) == [b"handled"]


@pytest.mark.parametrize("deadline", [0, -1, float("nan")])
def test_a_deadline_is_a_positive_number(drive, clock, tmp_path: Path, deadline: float) -> None:
    with (
        runtime_on(drive.gateway(OWNER), State(tmp_path), clock, OWNER, inline=True) as runtime,
        pytest.raises(ValueError, match="positive number of seconds"),
    ):
        defer(runtime, deadline, allowed_senders=[ASKER])


def test_what_waits_can_be_counted_and_looked_at(drive, clock, tmp_path: Path) -> None:
    asked = ask(drive, clock, State(tmp_path / "a"), 1_200)
    with runtime_on(drive.gateway(OWNER), State(tmp_path / "o"), clock, OWNER, inline=True) as runtime:
        assert len(runtime.waiting()) == 0
        runtime.poll_once()
        assert [message.future_id for message in runtime.waiting()] == asked
        assert len(runtime.waiting()) == 1_200
        serve(runtime, Route("app", "messages", lambda body, _: body))
        runtime.poll_once()
        assert list(runtime.waiting()) == []


def test_a_reply_that_is_missing_is_named_by_an_error_of_ours(drive, clock, tmp_path: Path) -> None:
    with runtime_on(drive.gateway(ASKER), State(tmp_path), clock, ASKER, inline=True) as asker:
        futures = asker.send([Request(OWNER, "app", "messages", b"x")] * 2)
        replies = asker.wait(futures, 0.0)
        assert replies == {}
        with pytest.raises(UnansweredError, match="wait longer") as raised:
            replies[futures[0]]
        assert raised.value.future_ids == tuple(futures)
        with pytest.raises(KeyError):
            replies["never sent"]
