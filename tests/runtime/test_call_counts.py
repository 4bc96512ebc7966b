"""What following an account costs, on the emulator's own request log."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path

import pytest
from runtimes import State, runtime_on, serve

from accounts import wait_until
from drive_emulator.metadata import Metadata
from syft_flwr.exchange.requester import Request
from syft_flwr.exchange.routes import Route
from syft_flwr.feed import reply_with
from syft_flwr.feed.schedule import SweepKind
from syft_flwr.models import Replied
from syft_flwr.resources import FOLDER_MIME_TYPE
from syft_flwr.state.store import DiskStore
from syft_flwr.testing import DriveEmulator
from syft_flwr.testing.clock import ManualClock
from syft_flwr.testing.memory_drive import MemoryDrive
from syft_flwr.wire import inbox_root_name

ME, DS = "do@example.com", "ds@example.com"
ENDPOINTS = ("messages", "evaluate", "status")


def calls(emulator: DriveEmulator) -> Counter[str]:
    counted = Counter(entry["method"] for entry in emulator.requests() if entry["account"] == ME)
    emulator.clear_log()
    return counted


def make_inboxes(emulator: DriveEmulator, senders: int) -> None:
    """Make each sender's inbox of three endpoints; past HTTP, whose thread has nothing to do meanwhile."""
    drive = emulator._server.drive
    with drive.database.transaction():
        for number in range(senders):
            sender = drive.accounts.ensure(f"ds{number}@example.com")

            def folder(name: str, parent: str, owner=sender) -> str:
                return drive.files.create(
                    owner, Metadata(name=name, mime_type=FOLDER_MIME_TYPE, parents=[parent]), None
                ).id

            root = folder(inbox_root_name(sender.email, ME), "root")
            share = {"type": "user", "role": "writer", "emailAddress": ME}
            drive.permissions.create(sender, root, share, transfer_ownership=False)
            rpc = folder("rpc", folder("flwr/app", root))
            for endpoint in ENDPOINTS:
                folder(endpoint, rpc)


def serve_all(runtime) -> None:
    for endpoint in ENDPOINTS:
        serve(runtime, Route("flwr/app", endpoint, lambda body, _: body))


@pytest.mark.parametrize("senders", [1, 5, 20])
def test_an_idle_poll_is_one_call_however_many_senders_there_are(emulator, open_runtime, senders: int) -> None:
    make_inboxes(emulator, senders)
    runtime = open_runtime(ME)
    serve_all(runtime)
    runtime.poll_once()
    assert len(runtime._engine.parts.folders.endpoints()) == senders * 3
    calls(emulator)

    for _ in range(5):
        assert runtime.poll_once() == 0

    assert calls(emulator) == {"changes.getStartPageToken": 5}


def test_a_thousand_senders_cost_one_call_a_poll_few_a_sweep_and_nothing_after_a_restart(
    emulator, open_runtime
) -> None:
    make_inboxes(emulator, 1_000)
    runtime = open_runtime(ME)
    serve_all(runtime)
    calls(emulator)

    runtime.poll_once()
    assert len(runtime._engine.parts.folders.endpoints()) == 3_000
    first = calls(emulator)
    assert first["files.list"] < 60
    assert "files.get" not in first

    for _ in range(5):
        assert runtime.poll_once() == 0
    assert calls(emulator) == {"changes.getStartPageToken": 5}

    runtime._engine.follower.sweeps.run(SweepKind.FULL)
    assert calls(emulator).total() < 60
    runtime._engine.follower.sweeps.run(SweepKind.RECENT)
    assert calls(emulator).total() < 10

    runtime.close()
    again = open_runtime(ME)
    serve_all(again)
    again.poll_once()
    assert calls(emulator).total() < 60
    again.poll_once()
    assert calls(emulator) == {"changes.getStartPageToken": 1}


def test_a_file_in_a_folder_never_seen_costs_a_few_calls_once_and_never_again(emulator, open_runtime) -> None:
    runtime = open_runtime(ME)
    runtime.poll_once()
    make_inboxes(emulator, 1)
    with emulator.behaviour(foreign_children="omitted"):
        sender = open_runtime("ds0@example.com")
        sender.send([Request(ME, "flwr/app", "messages", b"hello")])
        calls(emulator)
        serve_all(runtime)
        runtime._engine.follower.sweeps.run(SweepKind.RECENT)
    once = calls(emulator)
    assert once["files.get"] <= 4

    runtime.close()
    again = open_runtime(ME)
    serve_all(again)
    again.poll_once()
    assert calls(emulator)["files.get"] <= 1, "access to the inbox is looked after"


def test_a_round_trip_takes_at_most_fourteen_transactions(tmp_path: Path) -> None:
    clock = ManualClock()
    drive = MemoryDrive(clock)
    states = [State(tmp_path / email) for email in (ME, DS)]
    counted: list[str] = []
    for state in states:

        def transact(work, transact=state.ledger.transact):
            counted.append(work.__qualname__)
            return transact(work)

        state.ledger.transact = transact
    with (
        runtime_on(drive.gateway(ME), states[0], clock, ME, inline=True) as owner,
        runtime_on(drive.gateway(DS), states[1], clock, DS, inline=True) as requester,
    ):
        serve(owner, Route("flwr/app", "messages", lambda body, _: body))

        def round_trip() -> None:
            sent = requester.send([Request(ME, "flwr/app", "messages", b"body")])
            for runtime in (owner, requester):
                runtime.poll_once()
            assert requester.wait(sent, 0.0) == {sent[0]: b"body"}
            requester.delete_future(*sent)
            for runtime in (owner, requester):
                runtime.poll_once()

        round_trip()
        counted.clear()
        round_trip()
        assert drive.files() == []
        assert 10 <= len(counted) <= 14, "\n".join(counted)


def test_requests_that_wait_for_room_cost_no_transaction_each(tmp_path: Path) -> None:
    clock = ManualClock()
    drive = MemoryDrive(clock)
    state, begun, go = State(tmp_path), threading.Event(), threading.Event()

    def handler(body: bytes, _) -> bytes:
        begun.set()
        assert go.wait(60)
        return body

    counted: list[str] = []
    transact = state.ledger.transact

    def count(work):
        counted.append(work.__qualname__)
        return transact(work)

    state.ledger.transact = count
    with runtime_on(drive.gateway(ME), state, clock, ME) as owner:
        serve(owner, Route("flwr/app", "messages", handler))
        owner.poll_once()
        for number in range(20):
            email = f"ds{number}@example.com"
            with runtime_on(drive.gateway(email), State(tmp_path / email), clock, email, inline=True) as sender:
                sender.send([Request(ME, "flwr/app", "messages", b"body")] * 20)
        counted.clear()
        owner.poll_once()
        assert begun.wait(60)
        assert len(owner.waiting()) > 300
        assert len(counted) < 60, Counter(counted)
        go.set()
        assert owner.drain(60)
        assert len(counted) < 5 * 400, Counter(counted)


def test_requests_that_wait_for_room_in_a_pipeline_s_lane_are_looked_at_twice_or_so(tmp_path: Path) -> None:
    clock = ManualClock()
    drive = MemoryDrive(clock)
    state, count = State(tmp_path / ME), 400
    state.ledger = store = DiskStore(tmp_path / "ledger")
    counted: list[str] = []

    def transact(work, transact=store.transact):
        counted.append(work.__qualname__)
        return transact(work)

    state.ledger.transact = transact
    with (
        runtime_on(drive.gateway(ME), state, clock, ME) as owner,
        runtime_on(drive.gateway(DS), State(tmp_path / DS), clock, DS, inline=True) as requester,
    ):
        answered: list[Replied] = []
        owner.messages.pipe(reply_with(owner, lambda body, _: body, allowed_senders=[DS])).subscribe(answered.append)
        requester.send([Request(ME, "flwr/app", "messages", b"body")] * count)
        counted.clear()
        owner.poll_once()
        wait_until(lambda: len(answered) == count)
    store.close()
    assert len(counted) <= 4.5 * count
