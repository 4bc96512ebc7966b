"""In a conversation that ends as a whole, the next message is looked for by its ID; all else comes by the feed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from runtimes import serve

from syft_flwr.errors import NotFoundError, PermissionDeniedError
from syft_flwr.exchange.requester import Request
from syft_flwr.exchange.routes import Route
from syft_flwr.models import Message
from syft_flwr.recording import GatewayTap
from syft_flwr.recording.reader import read_recording
from syft_flwr.runtime import DriveRuntime
from syft_flwr.testing import ManualClock, MemoryDrive, MemoryState, replay, runtime_on
from syft_flwr.testing.memory_gateway import MemoryGateway

OWNER, ASKER, OTHER = "owner@example.com", "asker@example.com", "other@example.com"
RUN = "run-1"

Open = Callable[[str], DriveRuntime]


@pytest.fixture
def drive(memory_drive: MemoryDrive) -> MemoryDrive:
    return memory_drive


@pytest.fixture
def opened(drive: MemoryDrive, clock: ManualClock, tmp_path: Path) -> Iterator[Open]:
    with ExitStack() as stack:
        yield lambda email: stack.enter_context(
            runtime_on(GatewayTap(drive.gateway(email)), MemoryState(tmp_path / email), clock, email, inline=True)
        )


class Answers:
    """A handler that echoes, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []

    def __call__(self, body: bytes, _: Message) -> bytes:
        self.asked.append(body)
        return body

    def serve(self, runtime: DriveRuntime) -> None:
        serve(runtime, Route("app", "messages", self), known_senders=(ASKER,))


def exchange(asker: DriveRuntime, owner: DriveRuntime, clock: ManualClock, body: bytes = b"body") -> None:
    [future] = asker.send([Request(OWNER, "app", "messages", body, RUN)])
    for runtime in (owner, asker):
        clock.advance(1.0)
        runtime.poll_once()
    assert asker.get_response(future) == body
    asker.delete_future(future)


def lists(drive: MemoryDrive) -> int:
    return sum(method == "changes.list" for _, method in drive.calls)


def begin(opened: Open, drive: MemoryDrive, clock: ManualClock) -> tuple[DriveRuntime, DriveRuntime, Answers]:
    asker, owner, answers = opened(ASKER), opened(OWNER), Answers()
    answers.serve(owner)
    for _ in range(2):  # until both know the folders
        exchange(asker, owner, clock)
    clock.advance(60.0)
    for runtime in (asker, owner):
        runtime.poll_once()
    drive.calls.clear()
    return asker, owner, answers


def test_a_conversation_goes_on_without_lists_of_the_feed(opened, drive, clock) -> None:
    asker, owner, answers = begin(opened, drive, clock)
    for number in range(4):
        exchange(asker, owner, clock, b"%d" % number)
    assert answers.asked[2:] == [b"0", b"1", b"2", b"3"]
    assert lists(drive) <= 2
    clock.advance(15.0)
    for runtime in (asker, owner) * 2:
        runtime.poll_once()
    assert 1 <= lists(drive) <= 4  # what was found by its ID does not count as read
    assert len(answers.asked) == 6


def test_what_comes_beside_a_conversation_is_seen_ten_seconds_later_at_most(opened, drive, clock) -> None:
    asker, owner, answers = begin(opened, drive, clock)
    [future] = opened(OTHER).send([Request(OWNER, "app", "messages", b"from another")])
    waited = 0.0
    while b"from another" not in answers.asked:
        exchange(asker, owner, clock)
        waited += 2.0
        assert waited <= 12.0
    assert future


@pytest.mark.parametrize("turns", [6, 30])
def test_a_reply_that_takes_long_is_seen_with_the_next_poll_whatever_else_is_found_there(
    opened, drive, clock, turns: int
) -> None:
    asker, owner, _ = begin(opened, drive, clock)
    slow = opened(OTHER)
    Answers().serve(slow)
    for _ in range(2):  # until both know the folders
        [future] = asker.send([Request(OTHER, "app", "messages", b"slow", RUN)])
        for runtime in (slow, asker):
            clock.advance(1.0)
            runtime.poll_once()
    [future] = asker.send([Request(OTHER, "app", "messages", b"slow", RUN)])
    for _ in range(turns):
        exchange(asker, owner, clock)
    slow.poll_once()
    exchange(asker, owner, clock)
    assert future in asker.answered([future], timeout=0)


def test_an_announcement_that_is_not_kept_costs_a_few_looks_and_no_message(opened, drive, clock) -> None:
    asker, owner, answers = begin(opened, drive, clock)
    for number in range(8):
        asker.send([Request(OWNER, "app", "messages", b"another conversation %d" % number, "run-2")])
        clock.advance(20.0)
        drive.calls.clear()
        owner.poll_once()
        assert drive.calls.count((OWNER, "files.get")) <= 3
    assert answers.asked[2:] == [b"another conversation %d" % number for number in range(8)]


@pytest.mark.parametrize("announced", ["", "../etc", "x" * 500, "id000000000001"])
def test_a_strange_announcement_changes_nothing(opened, drive, clock, announced: str) -> None:
    asker, owner, answers = begin(opened, drive, clock)
    with drive.edited() as files:
        for file in files:
            if "next" in file.properties:
                file.properties = {**file.properties, "next": announced}
    exchange(asker, owner, clock, b"still answered")
    assert answers.asked[-1] == b"still answered"


def test_a_peer_that_announces_without_end_fills_no_memory(opened, drive, clock) -> None:
    asker, owner, answers = begin(opened, drive, clock)
    for number in range(1_100):
        message = Message(
            "request", ASKER, OWNER, "app", f"e{number}", "f", "id", "folder", 1, "", properties={"next": "x" * 20}
        )
        owner._engine.parts.announced.expect(message)
    assert len(owner._engine.parts.announced._expected) == 1_000
    exchange(asker, owner, clock, b"still answered")
    assert answers.asked[-1] == b"still answered"


def test_without_a_common_end_nothing_is_announced(opened, drive, clock) -> None:
    asker, owner, _ = begin(opened, drive, clock)
    asker.send([Request(OWNER, "app", "messages", b"ordinary")])
    owner.poll_once()
    with drive.edited() as files:
        ordinary = [file for file in files if file.content == b"ordinary"]
        assert [sorted(file.properties) for file in ordinary] == [["b0"], ["b0"]]


def test_messages_found_by_their_ids_replay_from_a_recording(opened, drive, clock, tmp_path: Path) -> None:
    asker, owner, answers = begin(opened, drive, clock)
    path = tmp_path / "feed.jsonl"
    with owner.record_to(path, bodies=True):
        for number in range(3):
            exchange(asker, owner, clock, b"%d" % number)
        assert lists(drive) <= 2
    assert any(entry.kind == "sweep" for entry in read_recording(path).entries)
    replayed = Answers()
    with replay(path) as feed:
        serve(feed.runtime, Route("app", "messages", replayed))
        feed.run()
    assert replayed.asked == answers.asked[2:]


def test_after_a_reply_the_announced_request_is_looked_for_soon_and_ever_more_seldom(opened, drive, clock) -> None:
    asker, owner, _ = begin(opened, drive, clock)
    announced = owner._engine.parts.announced
    assert announced.pause() > 10.0, "its last reply is a minute old"
    heard: list[float] = []
    announced.on_replied = lambda: heard.append(announced.pause())
    exchange(asker, owner, clock)
    assert heard == [0.1]
    clock.advance(7.0)
    assert announced.pause() == pytest.approx((1.0 + 7.0) / 4), "the asker's poll was a second later"
    assert asker._engine.parts.announced.pause() == float("inf"), "it has not asked anything"


def test_where_nothing_is_announced_replies_hasten_no_poll(opened, drive, clock) -> None:
    asker, owner, answers = opened(ASKER), opened(OWNER), Answers()
    answers.serve(owner)
    [future] = asker.send([Request(OWNER, "app", "messages", b"body")])
    owner.poll_once()
    asker.poll_once()
    assert asker.get_response(future) == b"body"
    assert owner._engine.parts.announced.pause() == float("inf")


def test_the_loop_polls_sooner_after_a_reply_in_a_conversation(opened, drive, clock) -> None:
    asker, owner, _ = begin(opened, drive, clock)
    hastened: list[float] = []
    owner._engine.loop.hasten = hastened.append
    exchange(asker, owner, clock)
    assert hastened == [0.1]
    assert owner._engine._step() <= 0.5


class WithoutIds(MemoryGateway):
    """A Drive that gives no IDs for a while, with errors that say something else of a file."""

    error: Exception | None = None

    def generate_ids(self, count: int) -> Sequence[str]:
        if self.error is not None:
            raise self.error
        return super().generate_ids(count)


@pytest.mark.parametrize(
    "error", [PermissionDeniedError("a portal", status=403), NotFoundError("a portal", status=404)]
)
def test_a_request_waits_for_the_id_of_its_answer_whatever_refuses_it(drive, clock, tmp_path: Path, error) -> None:
    drive.gateway(OWNER)
    gateway, answers = WithoutIds(drive, OWNER), Answers()
    with (
        runtime_on(gateway, MemoryState(tmp_path / OWNER), clock, OWNER, inline=True) as owner,
        runtime_on(drive.gateway(ASKER), MemoryState(tmp_path / ASKER), clock, ASKER, inline=True) as asker,
    ):
        serve(owner, Route("app", "messages", answers))
        gateway.error = error
        [future] = asker.send([Request(OWNER, "app", "messages", b"body")])
        for _ in range(10):
            owner.poll_once()
            clock.advance(60.0)
        assert answers.asked == []
        gateway.error = None
        for _ in range(3):
            clock.advance(300.0)
            owner.poll_once()
        asker.poll_once()
        assert asker.get_response(future) == b"body"
    assert answers.asked == [b"body"]
