"""How often an account polls, and what that comes to; in virtual time, over HTTP."""

from __future__ import annotations

import random
import threading

import pytest
from runtimes import State, runtime_on, serve

from syft_flwr.drive.auth import load_credentials
from syft_flwr.drive.budget import AccountBudget
from syft_flwr.drive.gateway import HttpDriveGateway
from syft_flwr.drive.quota import QuotaMeter, units_of
from syft_flwr.exchange.requester import Request
from syft_flwr.exchange.routes import Route
from syft_flwr.runtime import DriveRuntime
from syft_flwr.settings import load_endpoint
from syft_flwr.testing.clock import ManualClock

ME = "do@example.com"


class TimedMeter(QuotaMeter):
    """Knows when each unit was spent."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._clock = clock
        self.spends: list[tuple[float, int]] = []

    def book(self, method: str, **details) -> None:
        super().book(method, **details)
        self.spends.append((self._clock.monotonic(), units_of(method)))

    def dearest_minute(self) -> int:
        return max(sum(units for at, units in self.spends if start <= at < start + 60.0) for start, _ in self.spends)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(auto=True)


@pytest.fixture
def meter(clock: ManualClock) -> TimedMeter:
    return TimedMeter(clock)


@pytest.fixture
def open_here(emulator, clock, meter, tmp_path):
    def open_one(**settings):
        gateway = HttpDriveGateway(
            load_endpoint(),
            load_credentials(load_endpoint(), ME),
            clock=clock,
            meter=meter,
            rng=random.Random(1),
            budget=AccountBudget(per_minute=limit) if (limit := settings.get("quota_units_per_minute")) else None,
        )
        return runtime_on(gateway, State(tmp_path), clock, ME, meter=meter, **settings)

    return open_one


def follow(runtime: DriveRuntime, clock: ManualClock, until: float) -> list[float]:
    """Poll as the loop does, and return the pauses."""
    pauses = []
    while clock.monotonic() < until:
        pauses.append(runtime._engine._step())
        clock.wait(threading.Event(), pauses[-1])
    return pauses


def test_an_idle_hour_slows_down_to_the_longest_pause_and_costs_little(open_here, clock, meter) -> None:
    with open_here(poll_interval=2.0, max_poll_interval=15.0) as runtime:
        pauses = follow(runtime, clock, 3_600.0)

    assert 3.6 <= pauses[0] <= 4.0
    assert 7.2 <= pauses[1] <= 8.0
    assert all(13.5 <= pause <= 15.0 for pause in pauses[2:])
    assert len({round(pause, 3) for pause in pauses[2:]}) > 200  # jitter: many clients don't poll in step
    usage = meter.snapshot().methods
    assert usage["changes.list"].calls + usage["changes.getStartPageToken"].calls == len(pauses) + 1 < 270
    assert meter.snapshot().units <= 3_000  # 2 s polls that list would cost 180,000


def test_traffic_brings_the_short_pause_back_at_once(open_here, open_runtime, clock) -> None:
    sender = open_runtime("ds@example.com")
    with open_here(poll_interval=2.0, max_poll_interval=15.0) as runtime:
        serve(runtime, Route("app", "messages", lambda body, _: None))
        assert follow(runtime, clock, 120.0)[-1] > 13.0
        sender.send([Request(ME, "app", "messages", b"hello")])
        assert runtime._engine._step() <= 2.0


def test_without_a_longest_pause_the_documented_one_is_kept_exactly(open_here, clock) -> None:
    with open_here(poll_interval=2.0) as runtime:
        assert set(follow(runtime, clock, 120.0)) == {2.0}


def test_a_budget_is_kept_to_the_unit_and_said_to_be_stretched(open_here, clock, meter, caplog) -> None:
    with (
        caplog.at_level("INFO", logger="syft_flwr.runtime"),
        open_here(poll_interval=0.5, quota_units_per_minute=500) as runtime,
    ):
        follow(runtime, clock, 900.0)

    assert meter.dearest_minute() <= 500
    assert sum(units for _, units in meter.spends) > 300 * 14  # and used, but for the reserve
    assert meter.snapshot().stretched > 60.0
    assert any("stretched to" in record.message for record in caplog.records)
