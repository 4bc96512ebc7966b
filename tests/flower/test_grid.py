from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from flower_fakes import Events, FakeDrive, FakeRpc, Letter, until
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.common.constant import ErrorCode
from flwr.supercore.run import Run

from syft_flwr.errors import DriveUnavailableError, PermissionDeniedError
from syft_flwr.flower import greeter, outage
from syft_flwr.flower._compat import set_task_identity
from syft_flwr.flower.codec import Stamp, decode, encode
from syft_flwr.flower.grid import FlowerGrid
from syft_flwr.flower.node import Nodes, node_id
from syft_flwr.flower.presence import Presence, Reminder
from syft_flwr.testing import ManualClock

OWNERS = ["do1@example.com", "do2@example.com", "do3@example.com"]
RUN = 2**63 + 11  # run IDs are unsigned


@pytest.fixture
def drive() -> FakeDrive:
    return FakeDrive()


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def grid(drive: FakeDrive, events: Events) -> Iterator[FlowerGrid]:
    set_task_identity(RUN, 1)
    grid = FlowerGrid(FakeRpc(drive, "agg@example.com"), "digits", OWNERS, progress=events)
    grid.set_run(Run.create_empty(RUN))
    yield grid
    grid.close()


def train(owner: str, *, value: int = 0, ttl: float | None = None) -> Message:
    return Message(RecordDict({"config": ConfigRecord({"value": value})}), node_id(owner), "train", ttl=ttl)


def reply_to(letter: Letter, **metadata: object) -> bytes:
    message, _ = decode(letter.body)
    reply = Message(
        RecordDict({"metrics": MetricRecord({"value": message.content["config"]["value"]})}), reply_to=message
    )
    for key, value in metadata.items():
        reply.metadata.__dict__[f"_{key}"] = value
    return encode(reply, Stamp(flwr="1.41.0", seen=1.0, started=2.0, finished=3.0))


def serve(drive: FakeDrive, owner: str, stop: threading.Event) -> None:
    while not stop.is_set():
        with drive.changed:
            drive.changed.wait_for(lambda: drive.requests.get(owner) or stop.is_set(), 0.2)
            letters, drive.requests[owner] = drive.requests.get(owner, []), []
        for letter in letters:
            drive.answer(letter.future_id, reply_to(letter))


@pytest.fixture
def serving(drive: FakeDrive) -> Iterator[None]:
    stop = threading.Event()
    threads = [threading.Thread(target=serve, args=(drive, owner, stop)) for owner in OWNERS]
    for thread in threads:
        thread.start()
    yield
    stop.set()
    for thread in threads:
        thread.join()


def test_node_ids_are_63_bits_of_the_lower_cased_address() -> None:
    assert node_id("DO1@Example.com") == node_id("do1@example.com")
    assert all(1 < node_id(f"do{i}@example.com") < 2**63 for i in range(100))


def test_messages_go_to_the_wire_name_and_endpoint_of_existing_participants(grid: FlowerGrid, drive: FakeDrive) -> None:
    grid.push_messages([train(OWNERS[0])])
    (letter,) = drive.inbox(OWNERS[0])
    assert (letter.app, letter.endpoint) == ("flwr/digits", "messages")
    message, stamp = decode(letter.body)
    assert message.metadata.run_id == RUN
    assert message.metadata.src_node_id == 1
    assert message.metadata.message_id
    assert stamp.flwr


def test_replies_come_in_the_order_of_the_owners_whatever_the_order_of_arrival(
    grid: FlowerGrid, drive: FakeDrive, serving: None
) -> None:
    for _ in range(5):
        replies = list(grid.send_and_receive([train(owner) for owner in reversed(OWNERS)]))
        assert [r.metadata.src_node_id for r in replies] == [node_id(owner) for owner in OWNERS]


def test_a_generator_of_messages_is_consumed_as_they_are_sent(grid: FlowerGrid, serving: None) -> None:
    replies = list(grid.send_and_receive(train(owner) for owner in OWNERS))
    assert len(replies) == 3


def test_concurrent_callers_get_their_own_replies_only(grid: FlowerGrid, serving: None) -> None:
    results: dict[int, list[int]] = {}

    def call(value: int) -> None:
        replies = grid.send_and_receive([train(owner, value=value) for owner in OWNERS])
        results[value] = [int(r.content["metrics"]["value"]) for r in replies]  # type: ignore[index,arg-type]

    threads = [threading.Thread(target=call, args=(value,)) for value in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert results == {value: [value] * 3 for value in range(8)}


def test_what_is_missing_after_the_timeout_is_absent_and_withdrawn(
    grid: FlowerGrid, drive: FakeDrive, events: Events
) -> None:
    assert list(grid.send_and_receive([train(OWNERS[0])], timeout=0.05)) == []
    types = [decode(letter.body)[0].metadata.message_type for letter in drive.inbox(OWNERS[0])]
    assert "train" not in types
    assert [e["owner"] for e in events.named("late")] == [OWNERS[0]]


def test_without_a_timeout_the_ttl_ends_the_wait_with_an_error_reply(grid: FlowerGrid, drive: FakeDrive) -> None:
    (reply,) = grid.send_and_receive([train(OWNERS[0], ttl=0.1)])
    assert reply.error.code == ErrorCode.MESSAGE_UNAVAILABLE
    assert reply.metadata.src_node_id == node_id(OWNERS[0])
    assert reply.metadata.ttl >= 0
    assert reply.error.reason == f"no reply of {OWNERS[0]} within the message's ttl of 0.1 s"


def test_a_reply_is_taken_once_and_its_request_deleted_with_the_next_batch(grid: FlowerGrid, drive: FakeDrive) -> None:
    (message_id,) = grid.push_messages([train(OWNERS[0], value=5)])
    assert list(grid.pull_messages([message_id])) == []
    letter = drive.wait_for_request(OWNERS[0])
    drive.answer(letter.future_id, reply_to(letter))
    (reply,) = grid.pull_messages([message_id])
    assert reply.content["metrics"]["value"] == 5  # type: ignore[index]
    assert drive.deleted == []
    (again,) = grid.pull_messages([message_id])
    assert again.error.code == ErrorCode.MESSAGE_UNAVAILABLE
    grid.push_messages([])
    assert drive.deleted == [letter.future_id]


@pytest.mark.parametrize(
    ("claim", "word"),
    [
        ({"run_id": 5}, "belongs to run 5"),
        ({"src_node_id": 99}, "claims to come from node 99"),
        ({"dst_node_id": 99}, "addressed to node 99"),
        ({"reply_to_message_id": "other"}, "answers message 'other'"),
    ],
)
def test_a_reply_whose_claims_do_not_fit_is_refused_with_a_word(
    grid: FlowerGrid, drive: FakeDrive, claim: dict[str, object], word: str
) -> None:
    (message_id,) = grid.push_messages([train(OWNERS[0])])
    letter = drive.wait_for_request(OWNERS[0])
    drive.answer(letter.future_id, reply_to(letter, **claim))
    (reply,) = grid.pull_messages([message_id])
    assert word in str(reply.error.reason)
    assert reply.metadata.reply_to_message_id == message_id


def test_a_reply_from_a_clock_that_is_hours_ahead_counts(grid: FlowerGrid, drive: FakeDrive) -> None:
    (message_id,) = grid.push_messages([train(OWNERS[0], ttl=60)])
    letter = drive.wait_for_request(OWNERS[0])
    drive.answer(letter.future_id, reply_to(letter, created_at=time.time() + 7200, ttl=-7140.0))
    (reply,) = grid.pull_messages([message_id])
    assert reply.has_content()


def test_an_error_reply_of_the_transport_becomes_an_error_reply_of_flower(grid: FlowerGrid, drive: FakeDrive) -> None:
    (message_id,) = grid.push_messages([train(OWNERS[0])])
    letter = drive.wait_for_request(OWNERS[0])
    drive.answer(letter.future_id, b'{"error": "the handler crashed", "timestamp": "2026-01-01T00:00:00+00:00"}')
    (reply,) = grid.pull_messages([message_id])
    assert reply.error.reason == "the handler crashed"


def test_what_can_not_be_sent_has_an_error_reply_and_the_others_go_out(
    grid: FlowerGrid, drive: FakeDrive, serving: None
) -> None:
    drive.unknown.add(OWNERS[1])
    nowhere = Message(RecordDict(), 12345, "train")
    replies = list(grid.send_and_receive([*(train(owner) for owner in OWNERS), nowhere]))
    assert [r.has_error() for r in replies] == [False, True, False, True]
    assert "is no Google account" in str(replies[1].error.reason)
    assert "node ID 12345" in str(replies[3].error.reason)


@pytest.mark.parametrize(("field", "value"), [("run_id", 5), ("src_node_id", 7), ("ttl", 0.0)])
def test_an_instruction_that_is_not_of_this_run_is_an_error_of_the_caller(
    grid: FlowerGrid, field: str, value: object
) -> None:
    message = train(OWNERS[0])
    message.metadata.__dict__[f"_{field}"] = value
    with pytest.raises(ValueError, match="message"):
        grid.push_messages([message])


def test_nodes_are_there_once_they_have_answered_the_greeting(grid: FlowerGrid, drive: FakeDrive) -> None:
    assert list(grid.get_node_ids()) == []
    grid.greet()
    letter = drive.wait_for_request(OWNERS[2])
    message, _ = decode(letter.body)
    drive.answer(letter.future_id, encode(Message(RecordDict(), reply_to=message), Stamp(flwr="1.41.0")))
    until(lambda: list(grid.get_node_ids()) == [node_id(OWNERS[2])])
    assert grid.presence.wait_for(1, timeout=1.0)
    assert not grid.presence.wait_for(2, timeout=0.01)


def test_any_answer_to_the_greeting_counts_as_other_participants_know_none(grid: FlowerGrid, drive: FakeDrive) -> None:
    grid.greet()
    letter = drive.wait_for_request(OWNERS[0])
    message, _ = decode(letter.body)
    drive.answer(letter.future_id, encode(Message(Error(2, "Invalid message type"), reply_to=message)))
    assert grid.presence.wait_for(1, timeout=5.0)


def test_an_owner_with_another_version_of_flower_is_told_of(grid: FlowerGrid, drive: FakeDrive, events: Events) -> None:
    grid.greet()
    letter = drive.wait_for_request(OWNERS[0])
    message, _ = decode(letter.body)
    drive.answer(letter.future_id, encode(Message(RecordDict(), reply_to=message), Stamp(flwr="1.38.0")))
    assert grid.presence.wait_for(1, timeout=5.0)
    (told,) = [event for event in events.named("owner") if event["state"] == "differs"]
    assert "do1@example.com runs flwr 1.38.0" in told["reason"]


def test_an_address_that_drive_refuses_is_told_of_at_the_greeting(
    grid: FlowerGrid, drive: FakeDrive, events: Events
) -> None:
    drive.unknown.add(OWNERS[1])
    grid.greet()
    (told,) = until(lambda: [event for event in events.named("owner") if event["state"] == "unreachable"])
    assert told["owner"] == OWNERS[1]
    assert "is no Google account" in told["reason"]


def test_an_owner_that_did_not_answer_is_away_until_it_answers_the_next_greeting(
    grid: FlowerGrid, drive: FakeDrive
) -> None:
    grid.presence.arrived(node_id(OWNERS[0]))
    grid.greet()
    first = drive.wait_for_request(OWNERS[0])
    list(grid.send_and_receive([train(OWNERS[0])], timeout=0.05))
    assert list(grid.get_node_ids()) == []
    greeting = drive.wait_for_request(OWNERS[0])
    assert greeting.future_id != first.future_id
    message, _ = decode(greeting.body)
    drive.answer(greeting.future_id, encode(Message(RecordDict(), reply_to=message)))
    until(lambda: list(grid.get_node_ids()) == [node_id(OWNERS[0])])


def test_closing_withdraws_what_nobody_answered(grid: FlowerGrid, drive: FakeDrive) -> None:
    grid.greet()
    grid.push_messages([train(owner) for owner in OWNERS])
    grid.close()
    grid.close()
    assert not any(drive.inbox(owner) for owner in OWNERS)


def test_the_progress_tells_when_the_owner_took_started_and_finished(
    grid: FlowerGrid, events: Events, serving: None
) -> None:
    list(grid.send_and_receive([train(OWNERS[0])]))
    (reply,) = events.named("reply")
    assert (reply["seen"], reply["started"], reply["finished"]) == (1.0, 2.0, 3.0)
    assert reply["bytes"] > 0
    assert events.named("sent")[0]["bytes"] > 0


def test_changes_of_content_between_messages_are_seen() -> None:
    set_task_identity(RUN, 1)
    arrays = ArrayRecord({"w": Array(np.ones(1000))})
    content = RecordDict({"arrays": arrays, "config": ConfigRecord({"owner": 1})})
    first = encode(Message(content, 7, "train"), Stamp())
    content.config_records["config"]["owner"] = 2
    second = encode(Message(content, 8, "train"), Stamp())
    arrays["w"] = Array(np.zeros(1000))
    third = encode(Message(content, 9, "train"), Stamp())
    read = [decode(body)[0] for body in (first, second, third)]
    assert [m.metadata.dst_node_id for m in read] == [7, 8, 9]
    assert [m.content["config"]["owner"] for m in read] == [1, 2, 2]  # type: ignore[index]
    assert [float(m.content["arrays"]["w"].numpy().sum()) for m in read] == [1000.0, 1000.0, 0.0]  # type: ignore[index,union-attr]


class FlakyRpc(FakeRpc):
    """Fails as in an outage while ``down`` is set, so many calls at most."""

    def __init__(self, drive: FakeDrive, calls: int) -> None:
        super().__init__(drive, "agg@example.com")
        self.left = calls

    def _fail(self) -> None:
        if self.left > 0:
            self.left -= 1
            raise DriveUnavailableError("503 for eight attempts", status=503)

    def send(self, *args: object, **options: object) -> str:
        self._fail()
        return super().send(*args, **options)  # type: ignore[arg-type]

    def answered(self, *args: object) -> set[str]:
        self._fail()
        return super().answered(*args)  # type: ignore[arg-type]

    def get_response(self, future_id: str) -> bytes | None:
        self._fail()
        return super().get_response(future_id)


@pytest.fixture
def flaky(drive: FakeDrive, events: Events, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[FlowerGrid, FlakyRpc]]:
    monkeypatch.setattr(outage, "_PAUSE", 0.01)
    set_task_identity(RUN, 1)
    rpc = FlakyRpc(drive, 0)
    grid = FlowerGrid(rpc, "digits", OWNERS, progress=events)
    grid.set_run(Run.create_empty(RUN))
    yield grid, rpc
    grid.close()


def test_an_outage_is_waited_out_and_told_with_one_line_at_each_end(
    flaky: tuple[FlowerGrid, FlakyRpc], drive: FakeDrive, events: Events
) -> None:
    grid, rpc = flaky
    rpc.left = 3  # while sending
    (message_id,) = grid.push_messages([train(OWNERS[0], value=7)])
    rpc.left = 3  # while waiting
    assert list(grid.pull_messages([message_id])) == []
    letter = drive.wait_for_request(OWNERS[0])
    drive.answer(letter.future_id, reply_to(letter))
    (reply,) = until(lambda: list(grid.pull_messages([message_id])))
    assert reply.content["metrics"]["value"] == 7
    assert [name for name, _ in events.events if name.startswith("outage")] == ["outage", "outage_over"] * 2


def test_an_outage_is_over_when_drive_refuses_something(events: Events, clock: ManualClock) -> None:
    def fail(error: Exception) -> None:
        raise error

    outages = outage.Outages(events, clock)
    for _ in range(2):
        outages.attempt(lambda: fail(DriveUnavailableError("503", status=503)), None)
        clock.advance(60.0)
        with pytest.raises(PermissionDeniedError):
            outages.attempt(lambda: fail(PermissionDeniedError("403", status=403)), None)
    assert [name for name, _ in events.events] == ["outage", "outage_over"] * 2
    assert [over["seconds"] for over in events.named("outage_over")] == [60.0, 60.0]


def test_an_outage_beyond_the_ttl_is_an_error_reply(flaky: tuple[FlowerGrid, FlakyRpc]) -> None:
    grid, rpc = flaky
    rpc.left = 10**9
    (reply,) = grid.send_and_receive([train(OWNERS[0], ttl=0.2)])
    assert reply.error.code in (ErrorCode.NODE_UNAVAILABLE, ErrorCode.MESSAGE_UNAVAILABLE)


def test_ctrl_c_ends_a_send_that_waits_for_drive(
    flaky: tuple[FlowerGrid, FlakyRpc], events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid, rpc = flaky
    monkeypatch.setattr(outage, "_PAUSE", 3600.0)
    rpc.left = 10**9
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    presser = threading.Thread(
        target=lambda: until(lambda: events.named("outage")) and os.kill(os.getpid(), signal.SIGINT)
    )
    presser.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            grid.push_messages([train(OWNERS[0])])
    finally:
        presser.join()
        signal.signal(signal.SIGINT, before)


def test_a_greeting_that_could_not_be_sent_is_sent_again(
    flaky: tuple[FlowerGrid, FlakyRpc], drive: FakeDrive, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid, rpc = flaky
    monkeypatch.setattr(greeter, "_PAUSE", 0.01)
    rpc.left = 5
    grid.greet()
    for owner in OWNERS:
        drive.wait_for_request(owner)


def test_an_outage_of_the_aggregators_own_network_is_not_told_as_the_owners(
    flaky: tuple[FlowerGrid, FlakyRpc], drive: FakeDrive, events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid, rpc = flaky
    monkeypatch.setattr(greeter, "_PAUSE", 0.01)
    rpc.left = 8
    grid.greet()
    for owner in OWNERS:
        letter = drive.wait_for_request(owner)
        drive.answer(letter.future_id, b"here")
    assert grid.presence.wait_for(len(OWNERS), 10.0)
    assert {event["state"] for event in events.named("owner")} == {"present"}
    assert len(events.named("outage")) >= 1


def test_a_greeting_that_nobody_answers_is_replaced_after_pauses_that_grow(
    drive: FakeDrive, clock: ManualClock
) -> None:
    set_task_identity(RUN, 1)
    grid = FlowerGrid(FakeRpc(drive, "agg@example.com", clock), "digits", OWNERS)
    grid.set_run(Run.create_empty(RUN))
    grid.greet()
    found = [drive.wait_for_request(OWNERS[0])]
    for pause in (600.0, 1200.0):
        until(lambda: len(grid._greeter._waiting) == len(OWNERS))
        clock.advance(pause - 1.0)
        assert drive.inbox(OWNERS[0]) == []
        clock.advance(1.0)
        found.append(drive.wait_for_request(OWNERS[0]))
        assert found[-2].future_id in drive.deleted
    drive.answer(found[-1].future_id, b"here")
    until(lambda: OWNERS[0] not in grid.presence.missing())
    grid.close()


def test_owners_that_have_another_state_of_the_project_are_named(drive: FakeDrive, events: Events) -> None:
    set_task_identity(RUN, 1)
    grid = FlowerGrid(FakeRpc(drive, "agg@example.com"), "digits", OWNERS, Stamp(project="aa" * 32), progress=events)
    grid.set_run(Run.create_empty(RUN))
    grid.greet()
    for owner, project in zip(OWNERS, ("aa" * 32, "bb" * 32, ""), strict=True):
        letter = drive.wait_for_request(owner)
        hello, _ = decode(letter.body)
        drive.answer(letter.future_id, encode(Message(RecordDict(), reply_to=hello), Stamp(project=project)))
    assert grid.presence.wait_for(len(OWNERS), 10.0)
    grid.close()
    (differs,) = [event for event in events.named("owner") if event["state"] == "differs"]
    assert differs["owner"] == OWNERS[1]
    assert "another state of the project (bbbbbbbbbbbb) than the aggregator (aaaaaaaaaaaa)" in differs["reason"]


def test_a_strategy_that_wants_more_owners_than_there_are_is_told_of_at_once(grid: FlowerGrid, events: Events) -> None:
    grid.require(3)
    assert events.named("short") == []
    grid.require(5)
    assert events.named("short") == [{"required": 5, "owners": 3}]


def test_a_wait_is_told_with_who_is_missing_and_why_after_pauses_that_grow(clock: ManualClock) -> None:
    events = Events()
    presence = Presence(Nodes(OWNERS), clock, events)
    reminder = Reminder(5.0, clock)
    told = []
    for _ in range(700):
        if (waited := reminder.due()) is not None:
            told.append(waited)
        clock.advance(1.0)
    assert told == [5.0, 15.0, 35.0, 75.0, 155.0, 315.0, 615.0]
    presence.arrived(node_id(OWNERS[0]))
    presence.unreachable(node_id(OWNERS[1]), "no such account")
    clock.advance(60.0)
    presence.remind(60.0, 3, "the run starts when they are here")
    (waiting,) = events.named("waiting")
    assert waiting["present"] == OWNERS[:1]
    assert waiting["missing"] == {
        OWNERS[1]: "can't be reached: no such account",
        OWNERS[2]: "has not answered the greeting",
    }
    assert presence.last_seen(node_id(OWNERS[0])) == 60.0
    presence.lost(node_id(OWNERS[0]), "did not answer in time")
    presence.remind(70.0, 3, "the run starts when they are here")
    assert [event["last_seen"] for event in events.named("waiting")] == [{}, {OWNERS[0]: 60.0}]
