"""What handles of one engine owe each other, and what an answer owes to the disk."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from runtimes import State, runtime_on, serve

from accounts import PATIENCE, calls, wait_until
from syft_flwr.clock import SystemClock
from syft_flwr.errors import DriveUnavailableError, PermissionDeniedError
from syft_flwr.exchange.requester import Request
from syft_flwr.exchange.routes import Route
from syft_flwr.models import FeedError, Message, Rejection
from syft_flwr.runtime import DriveRuntime
from syft_flwr.runtime.dispatch import Dispatch
from syft_flwr.runtime.loop import PollLoop
from syft_flwr.state.journal import Journal
from syft_flwr.state.journal_rows import Committed
from syft_flwr.testing.clock import ManualClock
from syft_flwr.testing.memory_drive import MemoryDrive
from syft_flwr.testing.memory_gateway import MemoryGateway

ME, DS = "do@example.com", "ds@example.com"
DAY = 86_400.0


def echo(body: bytes, _: Message) -> bytes:
    return body


# -- handles --------------------------------------------------------------------------------------------------


def test_the_least_interval_of_the_open_handles_counts_whatever_their_order(emulator) -> None:
    with DriveRuntime.open(ME, poll_interval=60.0, max_poll_interval=None) as slow:
        slow.start()
        wait_until(lambda: "changes.getStartPageToken" in calls(emulator, ME))
        with DriveRuntime.open(ME, poll_interval=0.05, max_poll_interval=None):
            before = calls(emulator, ME).count("changes.getStartPageToken")
            wait_until(lambda: calls(emulator, ME).count("changes.getStartPageToken") > before + 5)
        assert slow._engine.least_interval() == 60.0


def test_a_handle_that_closes_takes_its_interval_along(drive, clock, tmp_path: Path) -> None:
    with runtime_on(drive.gateway(ME), State(tmp_path), clock, ME, poll_interval=60.0) as runtime:
        engine = runtime._engine
        engine.join("quick", 0.05, None)
        assert engine._step() == 0.05
        engine.leave("quick")
        assert engine._step() == 60.0


def test_a_handle_that_closes_while_its_loop_runs_stops_it_for_itself_alone(emulator) -> None:
    with DriveRuntime.open(ME) as one:
        other = DriveRuntime.open(ME)
        one.start()
        other.start()
        other.close()
        assert one.is_running
        one.stop()
        assert not one.is_running


# -- waiting --------------------------------------------------------------------------------------------------


class Outage(MemoryGateway):
    """A Drive whose feed can't be reached for a number of polls."""

    polls_left = 0

    def list_changes(self, page_token: str) -> Any:
        if self.polls_left:
            self.polls_left -= 1
            raise DriveUnavailableError("no connection")
        return super().list_changes(page_token)


class Waiting(ManualClock):
    """Time passes by itself while somebody waits."""

    def wait(self, event: threading.Event, timeout: float | None) -> bool:
        if not event.is_set():
            self.advance(timeout or 0.0)
        return event.is_set()


def test_waiting_outlasts_an_outage_and_says_so_once(tmp_path: Path) -> None:
    clock = Waiting()
    drive = MemoryDrive(clock)
    gateway = drive.gateway(DS)
    gateway.__class__ = Outage
    errors: list[FeedError] = []
    with (
        runtime_on(drive.gateway(ME), State(tmp_path / "me"), clock, ME, inline=True) as me,
        runtime_on(gateway, State(tmp_path / "ds"), clock, DS, inline=True) as sender,
    ):
        serve(me, Route("app", "messages", echo))
        me.poll_once()
        futures = sender.send([Request(ME, "app", "messages", b"x")])
        sender.poll_once()
        me.poll_once()
        sender.errors.subscribe(errors.append)
        gateway.polls_left = 5
        assert sender.wait(futures, 600.0) == {futures[0]: b"x"}
    assert len(errors) == 1


def test_waiting_ends_in_time_although_the_outage_does_not(tmp_path: Path) -> None:
    clock = Waiting()
    drive = MemoryDrive(clock)
    gateway = drive.gateway(DS)
    drive.gateway(ME)
    gateway.__class__ = Outage
    with runtime_on(gateway, State(tmp_path), clock, DS, inline=True) as sender:
        futures = sender.send([Request(ME, "app", "messages", b"x")])
        sender.poll_once()
        gateway.polls_left = 10**6
        began = clock.monotonic()
        assert sender.wait(futures, 60.0) == {}
        assert clock.monotonic() - began <= 60.0


# -- the disk -------------------------------------------------------------------------------------------------


def test_an_answer_is_on_disk_before_the_next_request_of_its_sender_is_handled(
    emulator, open_runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    spool = Journal.spool

    def spool_slowly(self: Journal, number: int, answer: Any) -> None:
        order.append(f"spool {answer.message.future_id}")
        spool(self, number, answer)

    monkeypatch.setattr(Journal, "spool", spool_slowly)
    me, sender = open_runtime(ME, poll_interval=0.05), open_runtime(DS)

    def handle(body: bytes, message: Message) -> bytes:
        order.append(f"handle {message.future_id}")
        return body

    serve(me, Route("app", "messages", handle))
    with emulator.fault("latency", method="files.create", account=ME, seconds=0.2):
        me.start()
        futures = sender.send([Request(ME, "app", "messages", b"x") for _ in range(10)])
        assert len(sender.wait(futures, PATIENCE)) == 10
    assert [step.split()[0] for step in order] == ["handle", "spool"] * 10
    assert [step.split()[1] for step in order[::2]] == [step.split()[1] for step in order[1::2]]


def test_what_no_handler_takes_in_time_is_rejected_aloud(drive, clock, tmp_path: Path) -> None:
    rejected: list[Rejection] = []
    with (
        runtime_on(drive.gateway(DS), State(tmp_path / "ds"), clock, DS, inline=True) as sender,
        runtime_on(drive.gateway(ME), State(tmp_path / "me"), clock, ME, inline=True) as me,
    ):
        me.rejected.subscribe(rejected.append)
        me.poll_once()
        sender.send([Request(ME, "app", "messages", b"x")])
        me.poll_once()
        clock.advance(DAY + 1)
        me.poll_once()
        assert [rejection.reason for rejection in rejected] == ["expired"]
        clock.advance(2 * DAY)
        me.poll_once()
    assert len(rejected) == 1


class Stubborn(MemoryGateway):
    """A Drive that lets its account delete nothing."""

    def delete(self, file_id: str) -> None:
        self._call("files.delete")
        raise PermissionDeniedError("forbidden", status=403)


def test_a_deletion_that_drive_refuses_is_tried_ever_more_seldom_and_in_the_end_given_up(
    drive, clock, tmp_path: Path
) -> None:
    gateway = drive.gateway(DS)
    gateway.__class__ = Stubborn
    drive.gateway(ME)
    errors: list[FeedError] = []
    with runtime_on(gateway, State(tmp_path), clock, DS, inline=True, cleanup_interval=60.0) as sender:
        sender.errors.subscribe(errors.append)
        futures = sender.send([Request(ME, "app", "messages", b"x") for _ in range(20)])
        for future in futures:
            sender.delete_future(future)
        for _ in range(10):
            clock.advance(60.0)
            sender.poll_once()
        assert drive.calls.count((DS, "files.delete")) <= 20 * 6
        for _ in range(100):
            clock.advance(3600.0)
            sender.poll_once()
        assert drive.calls.count((DS, "files.delete")) == 20 * 8
    assert len(errors) == 20
    assert all("giving up the deletion" in error.where for error in errors)


def test_answers_that_are_not_forgotten_age_out_with_their_request_and_body(drive, clock, tmp_path: Path) -> None:
    state = State(tmp_path / "ds")
    with (
        runtime_on(drive.gateway(DS), state, clock, DS, inline=True) as sender,
        runtime_on(drive.gateway(ME), State(tmp_path / "me"), clock, ME, inline=True) as me,
    ):
        serve(me, Route("app", "messages", echo))
        me.poll_once()
        [future] = sender.send([Request(ME, "app", "messages", b"x")])
        me.poll_once()
        sender.poll_once()
        assert sender.get_response(future) == b"x"
        clock.advance(DAY / 2)
        sender.poll_once()
        assert sender.get_response(future) == b"x", "kept for cleanup_expiry after it came"
        clock.advance(DAY)
        sender.poll_once()
        assert sender.get_response(future) is None
        assert list(state.bodies.iterdir()) == []
        assert not [name for _, name, _ in drive.files() if name.endswith(".request")]


def test_a_request_that_lists_show_late_is_found_though_the_second_look_came_before(drive, clock, tmp_path) -> None:
    handled: list[bytes] = []
    drive.gateway(ME)
    drive.hide = lambda account, file: account == ME and file.name.endswith(".request")
    with (
        runtime_on(drive.gateway(DS), State(tmp_path / "ds"), clock, DS, inline=True) as sender,
        runtime_on(drive.gateway(ME), State(tmp_path / "me"), clock, ME, inline=True) as me,
    ):
        serve(me, Route("app", "messages", lambda body, _: handled.append(body)))
        sender.send([Request(ME, "app", "messages", b"before")])
        drive.lag = 60.0
        clock.advance(100.0)
        sender.send([Request(ME, "app", "messages", b"late")])
        clock.advance(5.0)
        me.poll_once()
        clock.advance(15.0)
        me.poll_once()
        assert handled == [b"before"]
        for _ in range(10):
            clock.advance(60.0)
            me.poll_once()
    assert handled == [b"before", b"late"]


class SetBack(ManualClock):
    """The time of day of a machine, or of Drive, that somebody corrects."""

    back = 0.0

    def time(self) -> float:
        return super().time() - self.back


def test_a_refused_deletion_is_tried_again_although_the_time_of_day_was_set_back(tmp_path: Path) -> None:
    clock = SetBack()
    drive = MemoryDrive(clock)
    gateway = drive.gateway(DS)
    gateway.__class__ = Stubborn
    drive.gateway(ME)
    with runtime_on(gateway, State(tmp_path), clock, DS, inline=True) as sender:
        [future] = sender.send([Request(ME, "app", "messages", b"x")])
        sender.delete_future(future)
        assert [name for _, name, _ in drive.files() if name.endswith(".request")]
        gateway.__class__ = MemoryGateway
        clock.back = 3_600.0
        clock.advance(60.0)
        sender.poll_once()
    assert not [name for _, name, _ in drive.files() if name.endswith(".request")]


def test_a_shorter_pause_that_is_asked_for_in_the_middle_of_a_step_counts_after_it() -> None:
    again = threading.Event()
    steps: list[int] = []

    def step() -> float:
        steps.append(1)
        if len(steps) == 1:
            loop.hasten(0.0)  # as another handle does that is opened now
        else:
            again.set()
        return 3_600.0

    loop = PollLoop("polls", step=step, report=lambda _: None, clock=SystemClock())
    loop.start()
    try:
        assert again.wait(PATIENCE)
    finally:
        loop.end()
        loop.join(PATIENCE)


class Cached(MemoryGateway):
    """Behind a cache that answers ``files.generateIds`` with what it saw first."""

    seen: Sequence[str] = ()

    def generate_ids(self, count: int) -> Sequence[str]:
        self.seen = self.seen or super().generate_ids(count)
        return self.seen


def test_a_reply_whose_reserved_id_turns_out_to_be_another_files_is_written_under_a_new_one(
    drive, clock, tmp_path: Path
) -> None:
    drive.gateway(ME)
    gateway, state = Cached(drive, ME), State(tmp_path / "me")
    with runtime_on(drive.gateway(DS), State(tmp_path / "ds"), clock, DS, inline=True) as sender:
        for number in range(2):  # two processes, whose IDs are the same
            gateway._closed = False
            with runtime_on(gateway, state, clock, ME, inline=True) as me:
                serve(me, Route("app", "messages", echo))
                [future] = sender.send([Request(ME, "app", "messages", b"%d" % number)])
                for _ in range(10):
                    clock.advance(60.0)
                    me.poll_once()
                sender.poll_once()
                assert sender.get_response(future) == b"%d" % number
    assert len([name for _, name, _ in drive.files() if name.endswith(".response")]) == 2


# -- a backlog ------------------------------------------------------------------------------------------------


def test_no_page_is_listed_while_requests_of_the_one_before_it_wait_for_a_lane(
    drive: MemoryDrive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syft_flwr.runtime.intake._SWEPT_AT_ONCE", 10)
    monkeypatch.setattr("syft_flwr.runtime.dispatch._GIVES_WAY", PATIENCE)
    clock = SystemClock()
    with runtime_on(drive.gateway(DS), State(tmp_path / DS), clock, DS) as sender:
        sender.send([Request(ME, "app", "messages", b"%d" % number) for number in range(40)])
    handled: list[bytes] = []
    taken, handled_before = 0, []
    took = Dispatch.took

    def count(dispatch: Dispatch, committed: Committed) -> None:
        nonlocal taken
        if taken:
            handled_before.append((len(handled), taken))
        taken += len(committed.new)
        took(dispatch, committed)

    monkeypatch.setattr(Dispatch, "took", count)
    with runtime_on(drive.gateway(ME), State(tmp_path / ME), clock, ME, lane_capacity=5) as runtime:
        serve(runtime, Route("app", "messages", lambda body, _: handled.append(body)))
        runtime.drain(PATIENCE)

    assert sorted(handled) == sorted(b"%d" % number for number in range(40))
    assert len(handled_before) >= 3
    assert all(count >= before - 5 for count, before in handled_before), handled_before
