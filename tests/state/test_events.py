"""The event log: what the processes of an account did, in the transactions of what they did."""

from __future__ import annotations

from pathlib import Path

import pytest

from syft_flwr.exchange.requester import Request
from syft_flwr.exchange.routes import Route
from syft_flwr.models import Message
from syft_flwr.runtime import DriveRuntime
from syft_flwr.runtime.handle import engine_of
from syft_flwr.state.events import EventLog, Happened, read_after
from syft_flwr.state.memory import MemoryStore
from syft_flwr.state.store import DiskStore
from syft_flwr.testing import ManualClock, MemoryDrive, MemoryState, runtime_on

ME, DS, APP = "do@example.com", "ds@example.com", "flwr/app"


def events_of(state: MemoryState) -> list[Happened]:
    return state.ledger.transact(lambda tx: list(read_after(tx, 0, limit=10_000)))


def kinds(state: MemoryState) -> list[str]:
    return [event.what for event in events_of(state) if event.what not in {"polled", "swept"}]


class Exchange:
    """An owner with a handler and a requester, on a Drive in memory; everything happens within ``poll_once``."""

    def __init__(self, directory: Path) -> None:
        self.clock = ManualClock()
        self.drive = MemoryDrive(self.clock)
        self.owner, self.requester = (MemoryState(directory / email) for email in (ME, DS))

    def open(self, email: str):
        state = self.owner if email == ME else self.requester
        return runtime_on(self.drive.gateway(email), state, self.clock, email, inline=True)


def serve(runtime: DriveRuntime, handler) -> None:
    engine_of(runtime).serve(Route(APP, "messages", handler))


@pytest.fixture
def exchange(tmp_path: Path) -> Exchange:
    return Exchange(tmp_path)


def test_the_log_tells_an_exchange_from_both_sides(exchange: Exchange) -> None:
    with exchange.open(ME) as owner, exchange.open(DS) as requester:
        serve(owner, lambda body, _: exchange.clock.advance(0.2) or body.upper())
        [future] = requester.send([Request(ME, APP, "messages", b"body")])
        owner.poll_once()
        requester.poll_once()
        assert requester.wait([future], 0.0) == {future: b"BODY"}
        requester.delete_future(future)
        requester.poll_once()
        owner.poll_once()
    assert max(event.number for state in (exchange.owner, exchange.requester) for event in events_of(state)) <= 9
    assert kinds(exchange.owner) == ["seen", "admitted", "handled", "replied", "deleted"]
    assert kinds(exchange.requester) == ["sent", "answered", "deleted"]
    [handled] = [event for event in events_of(exchange.owner) if event.what == "handled"]
    assert handled.fields["future_id"] == future
    assert handled.fields["reply_size"] == 4
    assert handled.fields["seconds"] == pytest.approx(0.2)
    assert handled.by == "run-1"


def test_no_body_is_in_the_log(exchange: Exchange) -> None:
    with exchange.open(ME) as owner, exchange.open(DS) as requester:
        serve(owner, lambda _, __: b"confidential answer")
        [future] = requester.send([Request(ME, APP, "messages", b"confidential")])
        owner.poll_once()
        requester.poll_once()
        requester.wait([future], 0.0)
    [seen] = [event for event in events_of(exchange.owner) if event.what == "seen"]
    [answered] = [event for event in events_of(exchange.requester) if event.what == "answered"]
    for event in (seen, answered):
        assert event.fields["file"]["name"].startswith(future)
        assert not [name for name in event.fields["file"].get("properties", {}) if name.startswith("b")]


def test_the_log_tells_what_waits_and_what_was_refused_and_why(exchange: Exchange) -> None:
    with exchange.open(ME) as owner, exchange.open(DS) as requester:
        requester.send([Request(ME, APP, "messages", b"nobody handles this yet")])
        owner.poll_once()
        assert kinds(exchange.owner) == ["seen", "waiting"]
        exchange.clock.advance(8 * 86_400)
        owner.poll_once()
    assert kinds(exchange.owner) == ["seen", "waiting", "rejected"]
    assert events_of(exchange.owner)[-1].fields["reason"] == "expired"


def test_a_handler_that_raises_is_an_error_in_the_log(exchange: Exchange) -> None:
    def handler(body: bytes, _: Message) -> bytes:
        raise ValueError(body)

    with exchange.open(ME) as owner, exchange.open(DS) as requester:
        serve(owner, handler)
        requester.send([Request(ME, APP, "messages", b"poison")])
        owner.poll_once()
    [handled] = [event for event in events_of(exchange.owner) if event.what == "handled"]
    assert handled.fields["is_error"]
    assert handled.fields["attempts"] == 1


def test_what_a_transaction_that_failed_did_is_not_told() -> None:
    store = MemoryStore()
    log = EventLog(store, ManualClock(), holder="me")

    def work(_: object) -> None:
        log.happened("handled")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        log.transact(work)
    log.transact(lambda tx: tx.put("a", 1))
    log.tell("paused", why="over the limit")
    assert [event.what for event in store.transact(lambda tx: list(read_after(tx, 0, limit=10)))] == ["paused"]


def test_what_has_no_state_of_its_own_goes_with_the_next_row() -> None:
    store = MemoryStore()
    log = EventLog(store, ManualClock(), holder="me")
    log.note("rejected", reason="sender_not_allowed")
    log.transact(lambda tx: tx.put("a", 1))
    assert store.transact(lambda tx: list(read_after(tx, 0, limit=10))) == []
    log.tell("swept")
    events = store.transact(lambda tx: list(read_after(tx, 0, limit=10)))
    assert [(event.number, event.what) for event in events] == [(1, "rejected"), (1, "swept")]


def test_the_newest_rows_are_kept_on_disk_and_read_by_another_process_after_a_crash(tmp_path: Path) -> None:
    store = DiskStore(tmp_path / "ledger")
    log = EventLog(store, ManualClock(), holder="me", keep=10)
    for number in range(25):
        log.tell("polled", changes=number)
    other = DiskStore(tmp_path / "ledger")  # the first has not been closed
    events = other.transact(lambda tx: list(read_after(tx, 0, limit=100)))
    assert [event.number for event in events] == list(range(16, 26))
    assert [event.fields["changes"] for event in events] == list(range(15, 25))
    assert other.transact(lambda tx: len(list(tx.scan("event/")))) == 10
    other.close()
    store.close()
