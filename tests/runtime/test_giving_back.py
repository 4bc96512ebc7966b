"""A request that a handler or pipeline gives back is taken again, once, whatever the disk and Drive do meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from runtimes import State, runtime_on, serve

from accounts import PATIENCE, wait_until
from syft_flwr.clock import SystemClock
from syft_flwr.errors import DriveUnavailableError, StateError
from syft_flwr.exchange.ids import IdPool
from syft_flwr.exchange.requester import Request
from syft_flwr.exchange.routes import Route
from syft_flwr.feed import defer
from syft_flwr.models import FeedError, Message
from syft_flwr.runtime import DriveRuntime
from syft_flwr.runtime.handle import engine_of
from syft_flwr.state.journal import Journal
from syft_flwr.state.journal_rows import Claim
from syft_flwr.testing.memory_drive import MemoryDrive
from syft_flwr.testing.memory_gateway import MemoryGateway

ME, DS = "do@example.com", "ds@example.com"


class Steps:
    """A handler that says when it is entered, and waits until it may go on."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self.entered = threading.Event()
        self.may_go_on = threading.Event()
        self.route = Route("app", "messages", self._handle)

    def _handle(self, body: bytes, _: Message) -> bytes:
        self.seen.append(body)
        self.entered.set()
        assert self.may_go_on.wait(PATIENCE)
        return body


class Recorder(Steps):
    """A handler that does not wait."""

    def __init__(self) -> None:
        super().__init__()
        self.may_go_on.set()


@pytest.fixture
def drive() -> MemoryDrive:
    return MemoryDrive(SystemClock())


@pytest.fixture
def me(drive: MemoryDrive, tmp_path: Path) -> Iterator[DriveRuntime]:
    clock = SystemClock()
    with runtime_on(drive.gateway(ME), State(tmp_path / "me"), clock, ME, max_connections=2) as runtime:
        yield runtime


def ask(drive: MemoryDrive, tmp_path: Path, *bodies: bytes) -> None:
    with runtime_on(
        drive.gateway(DS), State(tmp_path / "ds"), SystemClock(), DS, inline=True, inline_bodies=False
    ) as ds:
        ds.send([Request(ME, "app", "messages", body) for body in bodies])


def handling(drive: MemoryDrive, me: DriveRuntime, tmp_path: Path, *bodies: bytes) -> Steps:
    """Ask, and return the handler that is at work on the first request."""
    ask(drive, tmp_path, *bodies)
    busy = Steps()
    serve(me, busy.route)
    me.poll_once()
    assert busy.entered.wait(PATIENCE)
    return busy


def fail_once(monkeypatch: pytest.MonkeyPatch, owner: type, method: str, error: Exception) -> threading.Event:
    """Let the next call of a method fail; return what is set when it has."""
    original, failed = getattr(owner, method), threading.Event()

    def fails(*arguments: Any, **options: Any) -> Any:
        if not failed.is_set():
            failed.set()
            raise error
        return original(*arguments, **options)

    monkeypatch.setattr(owner, method, fails)
    return failed


def test_a_download_that_outlasts_its_handler_takes_nothing_from_the_next_one(
    drive, me, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    download, first, go_on = MemoryGateway.download, threading.Event(), threading.Event()

    def slow(*arguments: Any, **options: Any) -> None:
        if not first.is_set():
            first.set()
            assert go_on.wait(PATIENCE)
        download(*arguments, **options)

    monkeypatch.setattr(MemoryGateway, "download", slow)
    ask(drive, tmp_path, b"one")
    before, after = Recorder(), Steps()
    serve(me, before.route)
    me.poll_once()
    assert first.wait(PATIENCE)
    engine = engine_of(me)
    engine.withdraw([before.route])
    serve(me, after.route)
    assert after.entered.wait(PATIENCE)
    go_on.set()
    both_free = threading.Barrier(2)  # so the late download has come to its end
    for free in [engine.parts.pool.submit(both_free.wait) for _ in range(2)]:
        free.result(PATIENCE)
    [message] = me.waiting()
    number = engine.parts.ledger.journal.number_of(message)
    [standing] = engine.parts.ledger.journal.claim([(number, message, False)])
    after.may_go_on.set()
    assert (standing.claim, before.seen, after.seen) == (Claim.HELD, [], [b"one"])


def test_what_a_stopped_handler_could_not_put_on_disk_is_handled_by_the_next_one(
    drive, me, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = handling(drive, me, tmp_path, b"one"), Recorder()
    fail_once(monkeypatch, Journal, "spool", StateError("disk full"))
    engine_of(me).dispatch.placement.close_route(before.route)
    serve(me, after.route)
    before.may_go_on.set()
    assert after.entered.wait(PATIENCE), "it lies there until the process is started anew"


def test_a_request_that_a_full_disk_keeps_from_being_given_back_is_given_back_later(
    drive, me, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = handling(drive, me, tmp_path, b"one", b"two"), Recorder()
    fail_once(monkeypatch, Journal, "release", StateError("disk full"))
    engine_of(me).dispatch.placement.close_route(before.route)
    before.may_go_on.set()
    serve(me, after.route)
    wait_until(lambda: after.seen == [b"two"])


@pytest.mark.parametrize(
    "fault",
    [
        (IdPool, "take", DriveUnavailableError("files.generateIds: 503")),
        (Journal, "claim", StateError("disk full")),
        (Journal, "begin", StateError("disk full")),
    ],
    ids=["outage", "full disk at the claim", "full disk at the beginning"],
)
def test_a_request_that_a_pipeline_could_not_take_is_shown_to_it_again(
    drive, me, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: tuple[type, str, Exception]
) -> None:
    ask(drive, tmp_path, b"one")
    taken: list[Message] = []
    reported: list[FeedError] = []
    me.errors.subscribe(reported.append)
    me.messages.pipe(defer(me, 60.0, allowed_senders=[DS])).subscribe(taken.append)
    failed = fail_once(monkeypatch, *fault)
    me.poll_once()
    assert failed.is_set()
    wait_until(lambda: len(taken) == 1)
    assert [one.error for one in reported] == [fault[2]]
    assert me.reply(taken[0], b"answer")


def test_closing_on_a_full_disk_while_a_handler_is_busy_ends_everything(
    drive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with runtime_on(drive.gateway(ME), State(tmp_path / "me"), SystemClock(), ME) as me:
        busy = handling(drive, me, tmp_path, b"one")
        fail_once(monkeypatch, Journal, "release", StateError("disk full"))
    busy.may_go_on.set()
    assert [thread.name for thread in threading.enumerate() if ME in thread.name] == []
