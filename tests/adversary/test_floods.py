"""A flood of hostile files costs each little once, and nothing afterwards; nobody else waits for it."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from runtimes import State, runtime_on, serve

from syft_flwr.errors import PermissionDeniedError
from syft_flwr.exchange.requester import Request
from syft_flwr.exchange.routes import Route
from syft_flwr.feed.streams import Streams
from syft_flwr.models import Message, Rejection, RejectionReason
from syft_flwr.settings import Settings
from syft_flwr.state.memory import MemoryStore
from syft_flwr.testing.clock import ManualClock
from syft_flwr.testing.memory_drive import MemoryDrive
from syft_flwr.testing.memory_gateway import MemoryGateway

ME, MALLORY, DS = "do@example.com", "mallory@example.net", "ds@example.com"
FLOOD = 500
DAY = 86_400.0


class Counting(MemoryStore):
    """Counts the transactions that change something, each of which is one synchronous write on disk."""

    commits = 0

    def transact(self, work: Callable[..., Any]) -> Any:
        before = dict(self._rows)
        result = super().transact(work)
        self.commits += before != self._rows
        return result


class Refusing(MemoryGateway):
    """Lets nobody read what one account wrote, as a Google Doc with a size would."""

    def __init__(self, drive: MemoryDrive) -> None:
        super().__init__(drive, ME)
        self.refused = 0

    def download(self, file_id: str, target: Path, **wanted: Any) -> None:
        if self._drive._files[file_id].owner == MALLORY:
            self.refused += 1
            raise PermissionDeniedError("files.get_media: Drive answered 403 fileNotDownloadable", status=403)
        super().download(file_id, target, **wanted)


@pytest.fixture
def drive(memory_drive: MemoryDrive) -> MemoryDrive:
    memory_drive.gateway(ME)
    return memory_drive


@pytest.fixture
def state(tmp_path: Path) -> State:
    state = State(tmp_path)
    state.ledger = Counting()
    return state


def ask(drive: MemoryDrive, clock: ManualClock, directory: Path, sender: str, *bodies: bytes) -> list[str]:
    with runtime_on(drive.gateway(sender), State(directory / sender), clock, sender, inline=True) as asker:
        return asker.send([Request(ME, "app", "messages", body) for body in bodies])


def only(*senders: str) -> Callable[[str], bool]:
    return lambda sender: sender in senders


def test_the_rejections_of_a_flood_are_written_together_and_age_out(drive, clock, tmp_path, state) -> None:
    refused: list[Rejection] = []
    gateway = drive.gateway(ME)
    with runtime_on(gateway, state, clock, ME, inline=True, max_processed_requests=100) as runtime:
        runtime.rejected.subscribe(refused.append)
        serve(runtime, Route("app", "messages", lambda body, _: body, only(DS)))
        runtime.poll_once()
        ask(drive, clock, tmp_path, MALLORY, *([b"flood"] * FLOOD))
        before, calls = state.ledger.commits, len(drive.calls)
        runtime.poll_once()
        assert [rejection.reason for rejection in refused] == ["sender_not_allowed"] * FLOOD
        assert state.ledger.commits - before < 50
        assert len([call for call in drive.calls[calls:] if call[0] == ME]) < 10

        before = state.ledger.commits
        clock.advance(2 * DAY)
        runtime.poll_once()
        assert [rejection.reason for rejection in refused[FLOOD:]] == ["expired"] * FLOOD
        assert state.ledger.commits - before < 50, "also when they are given up"
        clock.advance(DAY)
        for _ in range(20):
            clock.advance(700)
            runtime.poll_once()
        assert len(state.ledger._rows) < 400
        assert len(refused) == 2 * FLOOD


def test_a_flood_fills_no_log(caplog: pytest.LogCaptureFixture) -> None:
    streams, seen = Streams(), list[Rejection]()
    streams.rejected.subscribe(seen.append)
    for owner in (MALLORY, DS):
        for number in range(10_000):
            streams.reject(Rejection(RejectionReason.FOREIGN_FOLDER, f"f{number}", "not yours", owner=owner))
    for number in range(5_000):
        streams.reject(Rejection(RejectionReason.FOREIGN_FOLDER, "f", "not yours", owner=f"{number}@example.net"))
    assert len(seen) == 25_000
    assert len([line for line in caplog.messages if MALLORY in line]) == 9
    assert f"8192 of {MALLORY} so far" in caplog.text
    assert len(streams._rejections) <= 1_000


def test_a_file_that_cannot_be_read_is_given_up_after_a_few_tries_and_its_sender_told(drive, clock, tmp_path) -> None:
    handled: list[bytes] = []
    refused: list[Rejection] = []
    gateway = Refusing(drive)
    with runtime_on(gateway, State(tmp_path), clock, ME, inline=True) as runtime:
        runtime.rejected.subscribe(refused.append)
        serve(runtime, Route("app", "messages", lambda body, _: handled.append(body) or body))
        runtime.poll_once()
        ask(drive, clock, tmp_path, MALLORY, random.Random(0).randbytes(20_000))  # more than properties hold
        runtime.poll_once()
        ask(drive, clock, tmp_path, DS, b"genuine")
        runtime.poll_once()
        assert handled == [b"genuine"], "it holds up nobody else"
        for _ in range(200):
            clock.advance(10.0)
            runtime.poll_once()
        assert [rejection.reason for rejection in refused] == ["unreadable"]
        assert 1 < gateway.refused <= 12
        again = gateway.refused
        for _ in range(50):
            clock.advance(600.0)
            runtime.poll_once()
        assert gateway.refused == again
    answers = [file for file in drive._files.values() if file.name.endswith(".response")]
    assert sorted(b"error" in file.content for file in answers) == [False, True]


@pytest.mark.parametrize("order", [(MALLORY, DS), (DS, MALLORY)])
def test_three_hundred_requests_of_one_sender_hold_up_no_other(drive, clock, tmp_path, order) -> None:
    handled: list[bytes] = []
    all_there = threading.Event()

    def handle(body: bytes, _: Message) -> bytes:
        assert all_there.wait(60)
        handled.append(body)
        return body

    for sender in order:
        ask(drive, clock, tmp_path, sender, *([b"flood"] * 300 if sender == MALLORY else [b"one", b"two"]))
    with runtime_on(drive.gateway(ME), State(tmp_path), clock, ME) as runtime:
        serve(runtime, Route("app", "messages", handle))
        runtime.poll_once()
        all_there.set()
        assert runtime.drain(60)
    assert max(handled.index(body) for body in (b"one", b"two")) <= 2 * Settings().lane_capacity
    assert len(handled) == 302


def test_files_in_folders_of_a_stranger_leave_no_watermark_behind(drive, clock, tmp_path, state) -> None:
    stranger = drive.gateway(MALLORY)
    refused: list[Rejection] = []
    with runtime_on(drive.gateway(ME), state, clock, ME, inline=True, max_processed_requests=20) as runtime:
        runtime.rejected.subscribe(refused.append)
        serve(runtime, Route("app", "messages", lambda body, _: body))
        runtime.poll_once()
        root = stranger.create_folder(stranger.generate_ids(1)[0], f"syft_outbox_inbox_{DS}_to_{ME}", None)
        stranger.share(root.id, ME)
        for number in range(60):
            app, rpc, endpoint, file = stranger.generate_ids(4)
            stranger.create_folder(app, f"app-{number}", root.id)
            stranger.create_folder(rpc, "rpc", app)
            stranger.create_folder(endpoint, "messages", rpc)
            body = tmp_path / "body"
            body.write_bytes(b"forged")
            stranger.upload(file, f"00000000-0000-4000-8000-{number:012d}.request", endpoint, body)
        runtime.poll_once()
        assert [rejection.reason for rejection in refused] == ["foreign_folder"] * 60
        for _ in range(40):
            clock.advance(60)
            runtime.poll_once()
        assert [key for key in state.ledger._rows if key.startswith("mark/")] == []
        assert len([key for key in state.ledger._rows if key.startswith(("over/", "file/"))]) <= 40
        assert len(refused) == 60
