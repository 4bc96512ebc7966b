"""What an account says and does when its budget is spent, or Drive throttles it; in virtual time, over HTTP."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from runtimes import State, runtime_on, serve

from accounts import PATIENCE
from syft_flwr.drive.auth import load_credentials
from syft_flwr.drive.budget import AccountBudget
from syft_flwr.drive.gateway import HttpDriveGateway
from syft_flwr.drive.quota import QuotaMeter
from syft_flwr.errors import RateLimitedError
from syft_flwr.exchange.requester import Request
from syft_flwr.exchange.routes import Route
from syft_flwr.runtime import DriveRuntime
from syft_flwr.runtime.handle import engine_of
from syft_flwr.runtime.loop import PollLoop
from syft_flwr.settings import load_endpoint
from syft_flwr.testing import DriveEmulator
from syft_flwr.testing.clock import ManualClock

ME, PEER = "ds@example.com", "do@example.com"
HELLO = Request(PEER, "app", "messages", bytes(50))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(auto=True)


@pytest.fixture
def open_here(emulator: DriveEmulator, clock: ManualClock, tmp_path: Path) -> Iterator[Callable[..., DriveRuntime]]:
    """Open a runtime of an account that may spend so much; all of the test share one budget file per account."""
    with ExitStack() as stack:

        def open_one(
            per_minute: int | None = None,
            per_day: int | None = None,
            *,
            email: str = ME,
            inline: bool = False,
            **settings: Any,
        ) -> DriveRuntime:
            meter = QuotaMeter()
            gateway = HttpDriveGateway(
                load_endpoint(),
                load_credentials(load_endpoint(), email),
                clock=clock,
                meter=meter,
                rng=random.Random(1),
                patience=3.0,
                budget=AccountBudget(per_minute=per_minute, per_day=per_day, path=tmp_path / f"budget-{email}"),
            )
            parts = runtime_on(gateway, State(tmp_path / email), clock, email, meter=meter, inline=inline, **settings)
            return stack.enter_context(parts)

        yield open_one


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


def awaited(runtime: DriveRuntime) -> int:
    return len(engine_of(runtime).parts.ledger.futures.all())


def settled(runtime: DriveRuntime) -> bool:
    """Let the runtime's threads finish what needs no further time."""
    dispatch = engine_of(runtime).dispatch
    return dispatch.thread.wait_for(dispatch.placement.is_idle, 0.05)


def step(runtime: DriveRuntime, clock: ManualClock, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
    """Poll as the loop does, for so long at most."""
    loop, end = engine_of(runtime).loop, clock.monotonic() + seconds

    def pause(seconds: float, *, may_be_hastened: bool) -> None:
        if until():
            loop.end()
        PollLoop._pause(loop, seconds, may_be_hastened=may_be_hastened)
        if clock.monotonic() >= end:
            loop.end()

    loop._pause = pause
    loop._users.append(lambda: None)
    loop._run()
    shown = threading.Event()
    engine_of(runtime).dispatch.thread.post(shown.set)
    assert shown.wait(PATIENCE), "observers have heard of all"


def spend_all(runtime: DriveRuntime) -> None:
    """Send until there is no room."""
    with suppress(RateLimitedError):
        while True:
            runtime.send([HELLO], block=False)


def test_sending_at_the_limit_warns_once_with_why_and_for_how_long_and_goes_when_there_is_room(
    open_here, clock, caplog
) -> None:
    runtime = open_here(1_000)
    told = []
    runtime.errors.subscribe(told.append)
    runtime.send([HELLO])
    began = clock.monotonic()
    for _ in range(40):
        runtime.send([HELLO])
    assert clock.monotonic() - began >= 60.0, "2,000 units take two minutes"
    assert len(warnings(caplog)) == 1
    assert "1,000 quota units a minute are spent; there is room in" in warnings(caplog)[0]
    assert [(error.where, type(error.error)) for error in told] == [("quota", RateLimitedError)]
    assert runtime.meter.snapshot().waits["minute"] > 30.0
    assert runtime.meter.snapshot().to_json()["waits"]["minute"] > 30.0


def test_without_blocking_a_send_at_the_limit_fails_at_once_and_says_what_to_do(open_here, clock, caplog) -> None:
    runtime = open_here(1_000)
    runtime.send([HELLO])
    spend_all(runtime)
    began, futures = clock.monotonic(), awaited(runtime)
    with pytest.raises(RateLimitedError, match=r"1,000 quota units a minute are spent; .*syft-flwr quota") as caught:
        runtime.send([HELLO], block=False)
    assert (clock.monotonic(), len(engine_of(runtime).parts.ledger.futures.all())) == (began, futures), (
        "it waited for nothing and left nothing"
    )
    assert 0 < caught.value.retry_after <= 61.0
    assert warnings(caplog) == []
    clock.advance(caught.value.retry_after)
    runtime.send([HELLO], block=False)


def test_the_first_request_of_all_does_not_wait_either(open_here, clock) -> None:
    runtime = open_here(1_000)
    with pytest.raises(RateLimitedError):
        runtime.send([Request(f"do{number}@example.com", "app", "messages", b"") for number in range(20)], block=False)
    assert clock.monotonic() == 0.0


def test_when_the_day_is_spent_it_is_said_once_and_until_when(open_here, clock, caplog) -> None:
    runtime = open_here(per_day=1_000)
    told = []
    runtime.errors.subscribe(told.append)
    runtime.send([HELLO])
    spend_all(runtime)
    with pytest.raises(RateLimitedError, match="a day are spent until midnight Pacific time"):
        runtime.send([HELLO])
    step(runtime, clock, 3_600.0)
    assert len(warnings(caplog)) == len(told) == 1


def test_polls_at_the_limit_are_told_of_once(open_here, clock, caplog) -> None:
    runtime = open_here(400, poll_interval=0.2)
    told = []
    runtime.errors.subscribe(told.append)
    step(runtime, clock, 300.0)
    assert len(warnings(caplog)) <= 1
    assert len(told) == len(warnings(caplog))


def test_a_limit_that_comes_again_after_quiet_minutes_is_told_again(open_here, clock, caplog) -> None:
    runtime = open_here(1_000)
    for _ in range(2):
        for _ in range(25):
            runtime.send([HELLO])
        clock.advance(600.0)
    assert len(warnings(caplog)) == 2


@pytest.mark.parametrize("reason", ["rateLimitExceeded", "userRateLimitExceeded"])
def test_drive_s_own_throttling_is_one_warning_and_then_a_count(emulator, open_here, clock, caplog, reason) -> None:
    runtime = open_here()
    told = []
    runtime.errors.subscribe(told.append)
    step(runtime, clock, 10.0)
    with emulator.fault("error", status=403, reason=reason):
        step(runtime, clock, 600.0)
    step(runtime, clock, 10.0)
    assert len(warnings(caplog)) == 1
    assert "Drive throttles the account" in warnings(caplog)[0]
    assert [error.where for error in told] == ["quota"]
    assert runtime.meter.throttled > 10


# -- answers and deadlines ----------------------------------------------------------------------------------------


def test_polls_at_the_limit_leave_room_for_answers(open_here, clock) -> None:
    owner, sender = open_here(1_000, email=PEER, poll_interval=0.2), open_here(poll_interval=0.2)
    answered = []
    owner.replied.subscribe(lambda reply: answered.append(clock.monotonic()))
    serve(owner, Route("app", "messages", lambda body, _: body))
    sender.send([HELLO])
    assert owner.drain(60.0)
    step(owner, clock, 240.0)
    assert owner.meter.snapshot().stretched > 60.0, "polls alone would have spent the minute"
    for count in (2, 3, 4):
        began = clock.monotonic()
        sender.send([HELLO])
        step(owner, clock, 15.0, until=lambda count=count: settled(owner) and len(answered) == count)
        assert len(answered) == count
        assert answered[-1] - began <= 15.0


@pytest.mark.parametrize("limits", [{"per_minute": 400}, {"per_day": 1_000}], ids=["minute", "day"])
def test_whatever_takes_a_timeout_returns_in_time_when_the_budget_is_spent(open_here, clock, limits) -> None:
    runtime = open_here(**limits, poll_interval=0.2)
    (future,) = runtime.send([HELLO])
    spend_all(runtime)
    for wait in (
        lambda: runtime.wait([future], timeout=5.0),
        lambda: list(runtime.as_completed([future], timeout=5.0)),
        lambda: runtime.answered([future], timeout=5.0),
    ):
        began = clock.monotonic()
        assert not wait()
        assert clock.monotonic() - began <= 5.0 + 1e-6


@pytest.mark.parametrize("limits", [{"per_minute": 400}, {"per_day": 1_000}], ids=["minute", "day"])
def test_a_drain_returns_in_time_when_the_budget_is_spent(open_here, clock, limits) -> None:
    owner, sender = open_here(email=PEER, poll_interval=0.2, **limits), open_here(poll_interval=0.2)
    serve(owner, Route("app", "messages", lambda body, _: body))
    assert owner.drain(300.0)
    for _ in range(40):
        sender.send([HELLO])
    began = clock.monotonic()
    assert not owner.drain(1.0)
    assert clock.monotonic() - began <= 1.0 + 1e-6


@pytest.mark.parametrize("per_minute", [400, 1_000])
def test_a_new_account_begins_at_a_small_budget_however_many_lists_that_takes(open_here, clock, per_minute) -> None:
    senders = [open_here(email=f"lab{number}@example.com") for number in range(4)]
    for sender in senders:
        sender.send([Request(PEER, "app", "messages", sender_name(sender))])
    owner = open_here(per_minute, email=PEER)
    handled: list[bytes] = []
    serve(owner, Route("app", "messages", lambda body, _: handled.append(body) or body))
    step(owner, clock, 900.0, until=lambda: len(handled) == len(senders))
    assert sorted(handled) == sorted(map(sender_name, senders))


def sender_name(runtime: DriveRuntime) -> bytes:
    return engine_of(runtime).parts.me.encode()


def test_a_wait_returns_in_time_while_another_thread_s_poll_goes_on(open_here, clock) -> None:
    runtime = open_here(poll_interval=0.2)
    (future,) = runtime.send([HELLO])
    with engine_of(runtime).follower.held(), ThreadPoolExecutor(1) as waiter:
        assert not waiter.submit(runtime.wait, [future], timeout=0.5).result(30.0)


@pytest.mark.parametrize(("per_minute", "page_size"), [(400, 1_000), (850, 1_000), (400, 8)])
def test_short_waits_get_through_a_sweep_of_several_lists_and_pages(
    open_here, clock, monkeypatch: pytest.MonkeyPatch, per_minute, page_size
) -> None:
    monkeypatch.setattr("syft_flwr.drive.gateway._PAGE_SIZE", page_size)
    requester = open_here(per_minute, poll_interval=0.2)
    futures = requester.send([HELLO, HELLO._replace(endpoint="others"), HELLO._replace(app="another")])
    while not (swept := engine_of(requester).parts.ledger.swept_at()) and clock.monotonic() < 600.0:
        requester.wait(futures, timeout=0.5)
    assert swept


def test_short_waits_get_through_a_sweep_of_what_is_recent(
    emulator, open_here, clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    requester, peer = open_here(400, poll_interval=0.2), open_here(email=PEER)
    futures = requester.send([HELLO])
    requester.drain(300.0)
    peer.send([HELLO._replace(recipient=ME)] * 7)
    monkeypatch.setattr("syft_flwr.drive.gateway._PAGE_SIZE", 4)
    ledger = engine_of(requester).parts.ledger
    swept, end = ledger.swept_at(), clock.monotonic() + 600.0
    while ledger.swept_at() == swept and clock.monotonic() < end:
        requester.wait(futures, timeout=0.5)
        emulator.advance(0.5)
    assert ledger.swept_at() > swept


def test_a_drain_returns_in_time_though_the_inboxes_of_its_senders_can_t_be_made(emulator, open_here, clock) -> None:
    owner = open_here(email=PEER)
    assert owner.drain(300.0)
    senders = tuple(f"lab{number}@example.com" for number in range(9))
    serve(owner, Route("app", "messages", lambda body, _: body), known_senders=senders)
    began = clock.monotonic()
    with emulator.fault("error", status=403, reason="rateLimitExceeded"):
        assert not owner.drain(1.0)
    assert clock.monotonic() - began <= 1.0 + 1e-6
