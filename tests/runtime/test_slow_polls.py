"""Polls that come seldom, by a long interval or by cron, do not pay for the safety nets each time."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from runtimes import State, runtime_on, serve

from syft_flwr.drive.quota import units_of
from syft_flwr.exchange.requester import Request
from syft_flwr.exchange.routes import Route
from syft_flwr.resources import ChangePage
from syft_flwr.testing.clock import ManualClock
from syft_flwr.testing.memory_drive import MemoryDrive
from syft_flwr.testing.memory_gateway import MemoryGateway

ME, DS = "do@example.com", "ds@example.com"
HOUR = 3_600.0


class Deaf(MemoryGateway):
    """Its feed brings nothing of others; only sweeps find their files."""

    def list_changes(self, page_token: str) -> ChangePage:
        return replace(super().list_changes(page_token), changes=())


def spent(drive: MemoryDrive) -> Counter[str]:
    counts = Counter(method for account, method in drive.calls if account == ME)
    drive.calls.clear()
    return counts


def units(counts: Counter[str]) -> int:
    return sum(units_of(method) * count for method, count in counts.items())


def ask(drive: MemoryDrive, clock: ManualClock, tmp_path: Path, body: bytes) -> None:
    with runtime_on(drive.gateway(DS), State(tmp_path / DS), clock, DS, inline=True) as sender:
        sender.send([Request(ME, "app", "messages", body)])


def visit(gateway: MemoryGateway, state: State, clock: ManualClock, seen: list[bytes], pause: float) -> None:
    """Come as cron does: a process that answers what waits, and ends."""
    with runtime_on(gateway, state, clock, ME, inline=True) as runtime:
        serve(runtime, Route("app", "messages", lambda body, _: seen.append(body)))
        runtime.drain(10.0)
    clock.advance(pause)


@pytest.mark.parametrize("interval", [300.0, HOUR, 6 * HOUR])
def test_polls_slower_than_sweeps_sweep_seldom(drive, clock, tmp_path, interval: float) -> None:
    with runtime_on(drive.gateway(ME), State(tmp_path), clock, ME, inline=True) as runtime:
        serve(runtime, Route("app", "messages", lambda body, _: None))
        for _ in range(60):
            runtime.poll_once()
            clock.advance(interval)
        spent(drive)
        for _ in range(120):
            runtime.poll_once()
            clock.advance(interval)
    polls_a_day = 24 * HOUR / interval
    nets = 120 / min(30.0, polls_a_day)
    counts = spent(drive)
    assert counts["changes.list"] <= nets + 1
    assert counts["files.list"] <= 1.5 * nets + 2, "one sweep in eight is a full one"
    assert counts["changes.getStartPageToken"] >= 120 - nets - 1


@pytest.mark.parametrize("pause", [300.0, 1_800.0])
def test_a_run_by_cron_that_finds_nothing_costs_twenty_units(drive, clock, tmp_path, pause: float) -> None:
    state, seen = State(tmp_path), []
    for number in range(3):
        ask(drive, clock, tmp_path, b"%d" % number)
        visit(drive.gateway(ME), state, clock, seen, pause)
    for _ in range(60):
        visit(drive.gateway(ME), state, clock, seen, pause)
    spent(drive)
    dearest = []
    for _ in range(240):
        visit(drive.gateway(ME), state, clock, seen, pause)
        dearest.append(units(spent(drive)))
    assert sorted(dearest)[len(dearest) * 9 // 10] <= 20, "nine runs in ten"
    assert sum(dearest) / len(dearest) <= 20
    ask(drive, clock, tmp_path, b"at last")
    visit(drive.gateway(ME), state, clock, seen, pause)
    assert seen == [b"0", b"1", b"2", b"at last"]


def test_where_the_feed_brings_nothing_each_run_by_cron_finds_what_has_come(drive, clock, tmp_path) -> None:
    state, seen = State(tmp_path), []
    drive.gateway(ME)
    for number in range(12):
        ask(drive, clock, tmp_path, b"%d" % number)
        clock.advance(60.0)
        visit(Deaf(drive, ME), state, clock, seen, 300.0)
    assert len(seen) >= 11
    visit(Deaf(drive, ME), state, clock, seen, 300.0)
    assert len(seen) == 12
