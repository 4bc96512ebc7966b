"""The disk fails for a moment, at each transaction or file in turn: nothing is lost, and no handler runs twice."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from runtimes import State, runtime_on, serve

from syft_flwr.errors import DriveError, PartlySentError, StateError
from syft_flwr.exchange.requester import Request
from syft_flwr.exchange.routes import Route
from syft_flwr.feed import defer, reply_with
from syft_flwr.models import Message
from syft_flwr.runtime import DriveRuntime
from syft_flwr.testing.clock import ManualClock
from syft_flwr.testing.memory_drive import MemoryDrive
from syft_flwr.testing.memory_gateway import MemoryGateway

ME, DS = "do@example.com", "ds@example.com"
MINUTES = 15
Serve = Callable[[DriveRuntime, Callable[[bytes, Message], bytes]], Callable[[], None]]


class FullDisk:
    """A store in which one transaction fails, by its number."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.count = 0
        self.fails_at = -1

    def transact(self, work: Any) -> Any:
        self.count += 1
        if self.count == self.fails_at:
            raise StateError("disk full")
        return self._store.transact(work)


def by_handler(runtime: DriveRuntime, handle: Callable[[bytes, Message], bytes]) -> Callable[[], None]:
    serve(runtime, Route("app", "messages", handle))
    return lambda: None


def by_pipeline(runtime: DriveRuntime, handle: Callable[[bytes, Message], bytes]) -> Callable[[], None]:
    runtime.messages.pipe(reply_with(runtime, handle, allowed_senders=[DS])).subscribe()
    return lambda: None


def later(runtime: DriveRuntime, handle: Callable[[bytes, Message], bytes]) -> Callable[[], None]:
    taken: list[Message] = []
    runtime.messages.pipe(defer(runtime, 3_600.0, allowed_senders=[DS])).subscribe(taken.append)

    def answer() -> None:
        while taken:
            message = taken.pop(0)
            runtime.reply(message, handle(message.future_id.encode(), message))

    return answer


def by_late_pipeline(runtime: DriveRuntime, handle: Callable[[bytes, Message], bytes]) -> Callable[[], None]:
    subscribers = [lambda: by_pipeline(runtime, handle)]
    return lambda: subscribers.pop()() if subscribers else None


def exchange(directory: Path, take: Serve, *, owner_fails_at: int = -1, asker_fails_at: int = -1) -> tuple[int, int]:
    """Exchange two messages; return how many transactions either side took."""
    clock = ManualClock()
    drive = MemoryDrive(clock)
    mine, theirs = State(directory / "me"), State(directory / "ds")
    mine.ledger = owner_disk = FullDisk(mine.ledger)  # type: ignore[assignment]
    theirs.ledger = asker_disk = FullDisk(theirs.ledger)  # type: ignore[assignment]
    handled: Counter[str] = Counter()

    def handle(_: bytes, message: Message) -> bytes:
        handled[message.future_id] += 1
        return message.future_id.encode()

    with (
        runtime_on(drive.gateway(ME), mine, clock, ME, inline=True) as me,
        runtime_on(drive.gateway(DS), theirs, clock, DS, inline=True) as ds,
    ):
        answer = take(me, handle)
        owner_disk.count = asker_disk.count = 0
        owner_disk.fails_at, asker_disk.fails_at = owner_fails_at, asker_fails_at
        sent: list[str] = []
        replies: dict[str, bytes] = {}
        for _ in range(MINUTES):
            with suppress(StateError):  # a thread would report it, and go on
                if not sent:
                    sent = ds.send([Request(ME, "app", "messages", body) for body in (b"one", b"two")])
            with suppress(StateError):
                me.poll_once()
            with suppress(StateError):
                answer()
            with suppress(StateError):
                ds.poll_once()
                replies |= ds.wait(sent, 0.0)
            clock.advance(60.0)
        assert replies == {future_id: future_id.encode() for future_id in sent}
        assert all(handled[future_id] == 1 for future_id in sent)
        assert max(handled.values()) == 1
        return owner_disk.count, asker_disk.count


@pytest.mark.parametrize("take", [by_handler, by_pipeline, by_late_pipeline, later])
def test_whatever_transaction_fails_each_request_is_answered_once(tmp_path: Path, take: Serve) -> None:
    owners, askers = exchange(tmp_path / "well", take)
    for number in range(1, owners + 1):
        exchange(tmp_path / f"owner-{number}", take, owner_fails_at=number)
    for number in range(1, askers + 1):
        exchange(tmp_path / f"asker-{number}", take, asker_fails_at=number)


def test_a_full_disk_does_not_hide_which_of_several_went(drive, clock, tmp_path) -> None:
    class Failing(MemoryGateway):
        def upload(self, file_id: str, name: str, parent: str, body: bytes | Path, **options: Any) -> None:
            if body == b"second":
                disk.fails_at = disk.count + 1
                raise DriveError("no")
            super().upload(file_id, name, parent, body, **options)

    drive.gateway(DS)
    state = State(tmp_path)
    state.ledger = disk = FullDisk(state.ledger)  # type: ignore[assignment]
    with runtime_on(Failing(drive, DS), state, clock, DS, inline=True) as sender:
        with pytest.raises(PartlySentError) as raised:
            sender.send([Request(ME, "app", "messages", body) for body in (b"first", b"second")])
        assert {name for _, name, _ in drive.files()} == {f"{raised.value.sent[0]}.request"}


@pytest.mark.parametrize("name", ["request-", "reply-"])
def test_a_file_that_cannot_be_removed_keeps_no_answer_back(
    drive, clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    unlink, refused = Path.unlink, []

    def fails(path: Path, missing_ok: bool = False) -> None:
        if path.name.startswith(name):
            refused.append(path.name)
            raise OSError(errno.EIO, "Input/output error", str(path))
        unlink(path, missing_ok=missing_ok)

    large, handled = b"x" * 100_000, []

    def handle(body: bytes, _: Message) -> bytes:
        handled.append(body)
        return large

    with (
        runtime_on(drive.gateway(ME), State(tmp_path / "me"), clock, ME, inline=True, inline_bodies=False) as me,
        runtime_on(drive.gateway(DS), State(tmp_path / "ds"), clock, DS, inline=True, inline_bodies=False) as ds,
    ):
        serve(me, Route("app", "messages", handle))
        sent = ds.send([Request(ME, "app", "messages", body) for body in (b"one", b"two")])
        monkeypatch.setattr(Path, "unlink", fails)
        me.poll_once()
        ds.poll_once()
        assert list(ds.wait(sent, 0.0).values()) == [large, large]
        assert handled == [b"one", b"two"]
        assert len(refused) == 2


def test_a_reply_that_does_not_fit_on_the_disk_is_an_error_of_the_state_and_can_be_had_later(
    drive, clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(path: Path, _: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with (
        runtime_on(drive.gateway(ME), State(tmp_path / "me"), clock, ME, inline=True) as me,
        runtime_on(drive.gateway(DS), State(tmp_path / "ds"), clock, DS, inline=True) as ds,
    ):
        serve(me, Route("app", "messages", lambda body, _: body))
        sent = ds.send([Request(ME, "app", "messages", b"one")])
        me.poll_once()
        ds.poll_once()
        with monkeypatch.context() as full:
            full.setattr(Path, "write_bytes", fails)
            with pytest.raises(StateError, match="No space left"):
                ds.wait(sent, 0.0)
        assert list(ds.wait(sent, 0.0).values()) == [b"one"]
