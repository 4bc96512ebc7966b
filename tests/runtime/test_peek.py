"""Start tokens that tell whether the feed has anything new, and those that lie."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from runtimes import State, runtime_on, serve

from syft_flwr.errors import DriveUnavailableError, NotFoundError
from syft_flwr.exchange.requester import Request
from syft_flwr.exchange.routes import Route
from syft_flwr.feed.own_writes import OwnWrites
from syft_flwr.feed.peek import LIST_EVERY, Peek
from syft_flwr.models import Message
from syft_flwr.recording import GatewayTap
from syft_flwr.testing.clock import ManualClock
from syft_flwr.testing.memory_drive import MemoryDrive
from syft_flwr.testing.memory_gateway import MemoryGateway

ME, DS = "do@example.com", "ds@example.com"


class Lying(MemoryGateway):
    """Its start token is what ``lie`` makes of the true one."""

    lie = staticmethod(lambda token: token)

    def peek(self) -> str:
        return self.lie(super().peek())


def polls(drive: MemoryDrive) -> Counter[str]:
    counts = Counter(method for account, method in drive.calls if account == ME)
    drive.calls.clear()
    return counts


def ask(drive: MemoryDrive, clock: ManualClock, tmp_path: Path, body: bytes) -> None:
    with runtime_on(drive.gateway(DS), State(tmp_path / DS), clock, DS, inline=True) as sender:
        sender.send([Request(ME, "app", "messages", body)])


def test_an_idle_poll_peeks_lists_seldom_and_sees_what_comes_at_once(drive, clock, tmp_path) -> None:
    drive.gateway(ME)
    seen: list[bytes] = []
    with runtime_on(Lying(drive, ME), State(tmp_path), clock, ME, inline=True) as runtime:
        serve(runtime, Route("app", "messages", lambda body, _: seen.append(body)))
        runtime.poll_once()
        polls(drive)
        for _ in range(100):
            clock.advance(1.0)
            runtime.poll_once()
        assert polls(drive)["changes.list"] == 0
        ask(drive, clock, tmp_path, b"x")
        runtime.poll_once()
        assert seen == [b"x"]
        polls(drive)
        for _ in range(10):
            clock.advance(LIST_EVERY / 10)
            runtime.poll_once()
        assert polls(drive)["changes.list"] == 1, "whatever the token says"


def test_a_token_that_stands_still_loses_nothing_and_is_not_asked_any_more(drive, clock, tmp_path, caplog) -> None:
    drive.gateway(ME)
    gateway, state = Lying(drive, ME), State(tmp_path)
    seen: list[bytes] = []
    with runtime_on(gateway, state, clock, ME, inline=True) as runtime:
        serve(runtime, Route("app", "messages", lambda body, _: seen.append(body)))
        runtime.poll_once()
        gateway.lie = lambda _: runtime._engine.follower.token
        for number in range(3):
            ask(drive, clock, tmp_path, b"%d" % number)
            for _ in range(12):
                clock.advance(60.0)
                runtime.poll_once()
        assert seen == [b"0", b"1", b"2"]
    assert "denies changes that there are" in caplog.text
    with runtime_on(Lying(drive, ME), state, clock, ME, inline=True) as runtime:
        runtime.poll_once()
        polls(drive)
        runtime.poll_once()
        assert polls(drive) == {"changes.list": 1}, "it is on record"


@pytest.mark.parametrize("lie", [lambda token: f"opaque-{token}", lambda token: str(int(token) + 1_000)])
def test_a_token_that_always_differs_costs_ten_polls_and_is_not_asked_any_more(drive, clock, tmp_path, lie) -> None:
    drive.gateway(ME)
    gateway = Lying(drive, ME)
    with runtime_on(gateway, State(tmp_path), clock, ME, inline=True) as runtime:
        runtime.poll_once()
        gateway.lie = lie
        for _ in range(30):
            clock.advance(1.0)
            runtime.poll_once()
        polls(drive)
        runtime.poll_once()
        assert polls(drive) == {"changes.list": 1}


def test_entries_that_are_late_by_seconds_are_no_denial() -> None:
    peek = Peek("me")
    for number in range(10):
        now = 100.0 * number
        assert peek.denies("7", "7", now)
        assert not peek.listed(now + 1, now + 1, [now - 20.0], asked=True)


def test_messages_are_handled_in_full_after_a_restart_that_only_peeks(drive, clock, tmp_path) -> None:
    drive.gateway(ME)
    state, seen = State(tmp_path), list[Message]()
    with runtime_on(Lying(drive, ME), state, clock, ME, inline=True) as runtime:
        ask(drive, clock, tmp_path, b"x")
        runtime.poll_once()
    with runtime_on(Lying(drive, ME), state, clock, ME, inline=True) as runtime:
        serve(runtime, Route("app", "messages", lambda _, message: seen.append(message)))
        polls(drive)
        runtime.poll_once()
        assert polls(drive)["changes.list"] == 0
    assert len(seen) == 1


# -- own writes -----------------------------------------------------------------------------------------------


class Meddled(MemoryGateway):
    """While it uploads, somebody else sends a request."""

    meanwhile = staticmethod(lambda: None)

    def upload(self, *args: object, **kwargs: object) -> None:
        meddle, self.meanwhile = self.meanwhile, lambda: None
        meddle()
        super().upload(*args, **kwargs)


def test_a_poll_after_writes_of_our_own_lists_nothing_and_sees_the_answer_when_it_comes(drive, clock, tmp_path) -> None:
    drive.gateway(DS)
    owned, asked = (State(tmp_path / name) for name in (ME, DS))
    with (
        runtime_on(drive.gateway(ME), owned, clock, ME, inline=True) as owner,
        runtime_on(drive.gateway(DS), asked, clock, DS, inline=True) as asker,
    ):
        serve(owner, Route("app", "messages", lambda body, _: body))
        for number in range(3):  # the folders of the first round trip are news on both sides
            [future] = asker.send([Request(ME, "app", "messages", b"%d" % number)])
            drive.calls.clear()
            for _ in range(10):
                asker.poll_once()
                clock.advance(1.0)
            lists = drive.calls.count((DS, "changes.list"))
            assert lists == (1 if number == 0 else 0)
            owner.poll_once()
            asker.poll_once()
            assert asker.get_response(future) == b"%d" % number
            drive.calls.clear()
            owner.poll_once()
            assert (ME, "changes.list") not in drive.calls


def test_a_request_that_comes_while_we_write_is_seen_by_the_next_poll(drive, clock, tmp_path) -> None:
    drive.gateway(ME)
    handled: list[bytes] = []
    gateway = Meddled(drive, ME)
    with runtime_on(gateway, State(tmp_path / ME), clock, ME, inline=True) as runtime:
        serve(runtime, Route("app", "messages", lambda body, _: handled.append(body) or body))
        ask(drive, clock, tmp_path, b"first")
        runtime.poll_once()
        runtime.poll_once()
        gateway.meanwhile = lambda: ask(drive, clock, tmp_path, b"third")
        ask(drive, clock, tmp_path, b"second")
        runtime.poll_once()
        assert handled == [b"first", b"second"]
        runtime.poll_once()
        assert handled == [b"first", b"second", b"third"]


def write(writes: OwnWrites, *, wrote: bool = True) -> None:
    writes.begins()
    writes.ended(wrote=wrote)


def test_a_write_that_fails_or_deletes_what_is_gone_counts_for_nothing(clock, drive) -> None:
    tap = GatewayTap(drive.gateway(ME))
    tap.writes = writes = OwnWrites(clock.monotonic)
    writes.read_up_to("5")
    [file_id] = tap.generate_ids(1)
    assert not tap.delete(file_id)
    with pytest.raises(NotFoundError):
        tap.upload(file_id, "x.request", "no-such-folder", b"x")
    assert writes.explain("5")
    assert not writes.explain("6")
    tap.create_folder(file_id, "folder", None)
    assert writes.explain("6")
    tap.delete(file_id)
    assert writes.explain("7")


def test_what_hides_behind_own_writes_hides_for_seconds_at_most_however_much_is_written(clock) -> None:
    writes = OwnWrites(clock.monotonic)
    writes.read_up_to("5")
    for number in range(3):
        write(writes)
        assert writes.explain(str(6 + number))
        clock.advance(4.9)
    clock.advance(0.4)
    assert not writes.explain("8")


@pytest.mark.parametrize(
    ("read", "now", "count"),
    [("5", "7", 1), ("5", "5", 1), ("a5", "a6", 1), ("5", "6", 0), ("5", "4", 1), (None, "6", 1), ("5", "٦", 1)],
)
def test_a_token_that_moved_by_another_number_than_was_written_is_not_explained(clock, read, now, count: int) -> None:
    writes = OwnWrites(clock.monotonic)
    writes.read_up_to(read)
    for _ in range(count):
        write(writes)
    assert not writes.explain(now)


def test_what_is_being_written_may_be_there_already_but_nothing_else(clock) -> None:
    writes = OwnWrites(clock.monotonic)
    writes.read_up_to("5")
    writes.begins()
    assert writes.explain("5")
    assert writes.explain("6")
    assert not writes.explain("7")
    clock.advance(2.0)
    assert not writes.explain("6"), "a message must not wait for an upload of minutes"
    writes.ended(wrote=True)
    assert writes.explain("6")
    assert not writes.explain("7")


def test_what_was_being_written_while_the_feed_was_read_may_be_read_or_not(clock) -> None:
    writes = OwnWrites(clock.monotonic)
    writes.begins()
    writes.read_up_to("5")
    writes.ended(wrote=True)
    assert not writes.explain("6"), "the write may be the fifth, and a message the sixth"
    writes.read_up_to("6")
    write(writes)
    assert writes.explain("7")


def test_an_awaited_message_lets_the_list_for_the_rest_wait_ten_seconds(clock) -> None:
    writes = OwnWrites(clock.monotonic)
    writes.read_up_to("5")
    assert writes.explain_partly("6", 1, others_may_be_new=False)
    write(writes)
    assert writes.explain("7")
    clock.advance(9.9)
    assert writes.explain_partly("8", 1, others_may_be_new=False)
    assert writes.explain("8")
    clock.advance(0.2)
    assert not writes.explain("8")
    assert not writes.explain_partly("9", 1, others_may_be_new=False)


@pytest.mark.parametrize(("start_token", "waits"), [("7", True), ("8", False), ("unlike", False)])
def test_where_others_may_be_new_the_list_waits_only_if_nothing_is_new_beside_what_was_found(
    clock, start_token: str, waits: bool
) -> None:
    writes = OwnWrites(clock.monotonic)
    writes.read_up_to("5")
    write(writes)
    assert writes.explain_partly(start_token, 1, others_may_be_new=True) is waits


class Tokenless(MemoryGateway):
    """A Drive that gives no start tokens for a while, as behind a proxy that dislikes their address."""

    is_broken = True

    def get_start_page_token(self) -> str:
        if self.is_broken:
            raise DriveUnavailableError("a portal's page")
        return super().get_start_page_token()

    def peek(self) -> str:
        return self.get_start_page_token()


def test_a_poll_whose_peek_fails_lists(drive, clock, tmp_path) -> None:
    drive.gateway(ME)
    gateway = Tokenless(drive, ME)
    gateway.is_broken = False
    seen: list[bytes] = []
    with runtime_on(gateway, State(tmp_path), clock, ME, inline=True) as runtime:
        serve(runtime, Route("app", "messages", lambda body, _: seen.append(body)))
        runtime.poll_once()
        gateway.is_broken = True
        ask(drive, clock, tmp_path, b"x")
        clock.advance(1.0)
        runtime.poll_once()
    assert seen == [b"x"]


def test_sweeps_bring_what_comes_while_the_feed_can_not_begin(drive, clock, tmp_path) -> None:
    drive.gateway(ME)
    gateway = Tokenless(drive, ME)
    seen: list[bytes] = []
    with runtime_on(gateway, State(tmp_path), clock, ME, inline=True) as runtime:
        serve(runtime, Route("app", "messages", lambda body, _: seen.append(body)))
        ask(drive, clock, tmp_path, b"1")
        with pytest.raises(DriveUnavailableError):
            runtime.poll_once()
        assert seen == [b"1"]
        ask(drive, clock, tmp_path / "again", b"2")
        gateway.is_broken = False
        clock.advance(1.0)
        runtime.poll_once()
        assert seen == [b"1", b"2"]
