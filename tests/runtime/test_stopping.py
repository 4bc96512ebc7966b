"""Closing in the middle of whatever goes on: it takes about a second, leaves no thread, and loses nothing."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from runtimes import serve

from syft_flwr.drive.gateway import HttpDriveGateway
from syft_flwr.errors import RuntimeClosedError
from syft_flwr.exchange.requester import Request
from syft_flwr.exchange.routes import Route
from syft_flwr.runtime import DriveRuntime
from syft_flwr.runtime.handle import engine_of
from syft_flwr.testing import ManualClock, MemoryDrive, MemoryState, runtime_on

ME, DS = "do@example.com", "ds@example.com"
ENDPOINTS = ("one", "two", "three")


def close_promptly(runtime: DriveRuntime) -> None:
    closing = threading.Thread(target=runtime.close)
    closing.start()
    closing.join(5.0)  # a second, and what a busy machine adds
    assert not closing.is_alive()


def threads_of(email: str) -> list[str]:
    return [thread.name for thread in threading.enumerate() if email in thread.name or "lane" in thread.name]


@pytest.fixture
def entered(monkeypatch: pytest.MonkeyPatch):
    """Return an event that is set when a method of the gateway is entered."""

    def watch(method: str) -> threading.Event:
        event, original = threading.Event(), getattr(HttpDriveGateway, method)

        def wrapper(self, *args, **options):
            event.set()
            return original(self, *args, **options)

        monkeypatch.setattr(HttpDriveGateway, method, wrapper)
        return event

    return watch


def test_in_the_middle_of_a_poll(emulator, entered) -> None:
    polling = entered("list_changes")
    with emulator.fault("latency", method="changes.list", account=ME, seconds=30.0):
        runtime = DriveRuntime.open(ME)
        runtime.start()
        assert polling.wait(20)
        close_promptly(runtime)
    assert threads_of(ME) == []
    with pytest.raises(RuntimeClosedError):
        runtime.poll_once()


def test_in_the_middle_of_a_download_which_the_next_run_repeats(emulator, open_runtime, entered) -> None:
    sender = open_runtime(DS, inline_bodies=False)
    downloading = entered("download")
    [future] = sender.send([Request(ME, "app", "one", b"hello")])
    with emulator.fault("latency", method="files.get_media", account=ME, seconds=30.0):
        runtime = DriveRuntime.open(ME)
        serve(runtime, Route("app", "one", lambda body, _: body))
        runtime.start()
        assert downloading.wait(20)
        close_promptly(runtime)
    assert threads_of(ME) == []

    again = open_runtime(ME)
    serve(again, Route("app", "one", lambda body, _: body))
    again.start()
    assert sender.answered([future], 20.0, enough=1)
    again.stop()


def test_while_drive_is_down(emulator, entered) -> None:
    polling = entered("list_changes")
    with emulator.fault("error", account=ME, status=503, retry_after=60, method="changes.list"):
        runtime = DriveRuntime.open(ME)
        runtime.start()
        assert polling.wait(20)
        close_promptly(runtime)
    assert threads_of(ME) == []


def test_while_handlers_of_several_endpoints_are_stuck_takes_no_longer_than_for_one(emulator, open_runtime) -> None:
    sender = open_runtime(DS)
    gate, busy = threading.Event(), threading.Barrier(4, timeout=20)

    def stuck(body: bytes, _) -> bytes:
        busy.wait()
        gate.wait(20)
        return body

    runtime = DriveRuntime.open(ME)
    for endpoint in ENDPOINTS:
        serve(runtime, Route("app", endpoint, stuck))
    futures = sender.send([Request(ME, "app", endpoint, b"hello") for endpoint in ENDPOINTS])
    runtime.start()
    busy.wait()
    closing = threading.Thread(target=runtime.close)
    closing.start()
    closing.join(2.5)  # less than a second for each
    gate.set()
    assert not closing.is_alive()

    again = open_runtime(ME)
    for endpoint in ENDPOINTS:
        serve(again, Route("app", endpoint, lambda body, _: body))
    again.start()
    assert len(sender.answered(futures, 20.0, enough=3)) == 3
    again.stop()


def test_a_slow_handler_delays_neither_other_endpoints_nor_the_poll(emulator, open_runtime) -> None:
    sender, runtime = open_runtime(DS), open_runtime(ME, poll_interval=0.05)
    gate, busy = threading.Event(), threading.Event()

    def slow(body: bytes, _) -> bytes:
        busy.set()
        gate.wait(20)
        return body

    serve(runtime, Route("app", "slow", slow))
    serve(runtime, Route("app", "quick", lambda body, _: body))
    runtime.start()
    [first] = sender.send([Request(ME, "app", "slow", b"1")])
    assert busy.wait(20)
    quick = sender.send([Request(ME, "app", "quick", b"%d" % number) for number in range(5)])
    assert len(sender.answered(quick, 20.0, enough=5)) == 5
    assert not sender.answered([first], 0.0)
    gate.set()
    assert sender.answered([first], 20.0, enough=1)
    runtime.stop()


def test_closing_twice_and_from_a_handler_is_harmless(emulator, open_runtime) -> None:
    sender = open_runtime(DS)
    runtime = DriveRuntime.open(ME, poll_interval=0.05)
    closed = threading.Event()

    def close(body: bytes, _) -> bytes:
        runtime.close()
        closed.set()
        return body

    serve(runtime, Route("app", "one", close))
    runtime.start()
    sender.send([Request(ME, "app", "one", b"hello")])
    assert closed.wait(20)
    runtime.close()


@pytest.mark.parametrize("inline", [True, False], ids=["without threads", "with threads"])
def test_what_is_left_to_do_and_needs_drive_is_left(
    memory_drive: MemoryDrive, clock: ManualClock, tmp_path: Path, inline: bool
) -> None:
    """Rows that are looked at again may lie in folders that have to be asked for, when Drive is not there any more."""
    state = MemoryState(tmp_path)
    with runtime_on(memory_drive.gateway(ME), state, clock, ME, inline=inline) as runtime:
        thread = engine_of(runtime).dispatch.thread

        def ask() -> None:
            raise RuntimeClosedError("the connection to Drive is closed")

        thread.later(0.0, ask)
        if not inline:
            thread.run()  # for ever, if nobody says that the thread has ended
