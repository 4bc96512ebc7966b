"""What a peer can choose, its files' times and the inboxes it makes, steers neither sweeps nor bounds."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from runtimes import State, runtime_on, serve

from syft_flwr import wire
from syft_flwr.exchange.requester import Request
from syft_flwr.exchange.routes import Route
from syft_flwr.feed.schedule import SweepKind, SweepSchedule
from syft_flwr.models import Rejection
from syft_flwr.resources import DriveFile
from syft_flwr.runtime.handle import engine_of
from syft_flwr.testing.clock import ManualClock
from syft_flwr.testing.memory_drive import MemoryDrive
from syft_flwr.testing.memory_gateway import MemoryGateway

ME, MALLORY, DS = "do@example.com", "mallory@example.net", "ds@example.com"
FAR = datetime(2099, 1, 1, tzinfo=UTC)
FLOOD = 300


class Listing(MemoryGateway):
    """Counts the files that lists bring."""

    brought = 0

    def list_files(self, query: str, *, oldest_first: bool = False) -> Iterator[DriveFile]:
        for file in super().list_files(query, oldest_first=oldest_first):
            self.brought += not file.is_folder
            yield file


@pytest.fixture
def drive(memory_drive: MemoryDrive) -> MemoryDrive:
    return memory_drive


def ask(drive: MemoryDrive, clock: ManualClock, tmp_path: Path, sender: str, *bodies: bytes) -> list[str]:
    with runtime_on(drive.gateway(sender), State(tmp_path / sender), clock, sender, inline=True) as asker:
        return asker.send([Request(ME, "app", "messages", body) for body in bodies])


def requests_of(drive: MemoryDrive, sender: str) -> list[str]:
    return [file.id for file in drive._files.values() if file.owner == sender and file.name.endswith(".request")]


def test_files_dated_in_the_future_are_refused_and_cost_no_sweep_anything(drive, clock, tmp_path) -> None:
    drive.gateway(ME)
    gateway = Listing(drive, ME)
    handled: list[bytes] = []
    refused: list[Rejection] = []
    state = State(tmp_path)
    settings = {"sweep_interval": 10.0, "max_processed_requests": 50}
    with runtime_on(gateway, state, clock, ME, inline=True, **settings) as runtime:
        runtime.rejected.subscribe(refused.append)
        serve(runtime, Route("app", "messages", lambda body, _: handled.append(body) or body))
        runtime.poll_once()
        ask(drive, clock, tmp_path, MALLORY, *([b"flood"] * FLOOD))
        for file_id in requests_of(drive, MALLORY):
            drive.date(file_id, FAR)
        [genuine] = ask(drive, clock, tmp_path, DS, b"genuine")
        runtime.poll_once()
        assert handled == [b"genuine"]
        assert [rejection.reason for rejection in refused] == ["bad_time"] * FLOOD

        gateway.brought = 0
        for _ in range(40):  # full sweeps among them
            clock.advance(60)
            runtime.poll_once()
        assert gateway.brought <= 40  # the genuine request, if any, and never the flood
        rows = engine_of(runtime).parts.ledger.snapshot()
        assert len(rows["done"]) <= 50
        assert all(mark < wire.timestamp(clock.time()) for mark in rows["marks"].values())
        assert len(refused) == FLOOD
        assert genuine in {name.split(".")[0] for _, name, _ in drive.files() if name.endswith(".response")}


def test_files_dated_far_back_neither_stop_trimming_nor_hide_later_ones(drive, clock, tmp_path) -> None:
    handled: list[bytes] = []
    with runtime_on(
        drive.gateway(ME), State(tmp_path), clock, ME, inline=True, sweep_interval=10.0, max_processed_requests=50
    ) as runtime:
        serve(runtime, Route("app", "messages", lambda body, _: handled.append(body) or body))
        runtime.poll_once()
        ask(drive, clock, tmp_path, MALLORY, *([b"old"] * FLOOD))
        for file_id in requests_of(drive, MALLORY):
            drive.date(file_id, datetime(1970, 1, 2, tzinfo=UTC))
        for _ in range(40):
            clock.advance(60)
            runtime.poll_once()
        ask(drive, clock, tmp_path, MALLORY, b"new")
        runtime.poll_once()
        assert handled[-1] == b"new"
        assert handled.count(b"old") == FLOOD
        assert len(engine_of(runtime).parts.ledger.snapshot()["done"]) <= 51


def test_an_inbox_that_a_third_party_made_is_part_of_one_sweep_at_most(drive, clock, tmp_path) -> None:
    drive.gateway(ME)
    gateway = Listing(drive, ME)
    with runtime_on(gateway, State(tmp_path), clock, ME, inline=True) as runtime:
        serve(runtime, Route("app", "messages", lambda body, _: body))
        runtime.poll_once()
        ask(drive, clock, tmp_path, MALLORY, b"hello")
        root = next(folder for folder in drive.folders() if folder.name == f"syft_outbox_inbox_{MALLORY}_to_{ME}")
        drive.move(root.id, name=f"syft_outbox_inbox_{DS}_to_{ME}")  # now it claims to be somebody else's
        runtime.poll_once()
        follower = engine_of(runtime).follower
        follower.sweeps.run(SweepKind.FULL)
        gateway.brought = 0
        follower.sweeps.run(SweepKind.FULL)
        assert gateway.brought == 0


def test_inboxes_that_somebody_makes_without_end_are_looked_at_ever_more_seldom() -> None:
    schedule = SweepSchedule(base=60.0)
    schedule.begin(0.0, 0.0)
    schedule.swept(SweepKind.FULL, 0.0, missed=0)
    glances = 0
    for second in range(1, 1800):
        schedule.roots_seen({f"root-{second}"}, float(second))
        kind = schedule.due(float(second))
        if kind is not None:
            schedule.swept(kind, float(second), missed=0)
            glances += kind is SweepKind.GLANCE
    assert glances <= 50
