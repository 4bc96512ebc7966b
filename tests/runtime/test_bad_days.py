"""Drive, the disk and the machine on a bad day: one thing fails, the rest goes on, and nothing is lost."""

from __future__ import annotations

import copy
import os
import pickle
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from runtimes import State, runtime_on, serve

from accounts import APP, DO, owner, serving
from syft_flwr import wire
from syft_flwr.errors import (
    DamagedDownloadError,
    DriveUnavailableError,
    PartlySentError,
    PermissionDeniedError,
    RateLimitedError,
    RuntimeClosedError,
    StateError,
    SyftFlwrError,
    TransferError,
)
from syft_flwr.exchange.requester import Request
from syft_flwr.exchange.routes import Route
from syft_flwr.exchange.work import Work
from syft_flwr.feed import reply_with
from syft_flwr.feed.sweep import Sweeper
from syft_flwr.models import Message, Rejection
from syft_flwr.resources import Account, ChangePage, DriveFile, Unreadable
from syft_flwr.rpc import P2PFileRpc
from syft_flwr.runtime import DriveRuntime
from syft_flwr.runtime.handle import engine_of
from syft_flwr.runtime.loop import PollLoop
from syft_flwr.state.journal import Journal
from syft_flwr.state.ledger import Ledger
from syft_flwr.testing.clock import ManualClock
from syft_flwr.testing.memory_drive import MemoryDrive
from syft_flwr.testing.memory_gateway import MemoryGateway

ME, DS, OTHER = "do@example.com", "ds@example.com", "other@example.com"


class BadDay(MemoryGateway):
    """A Drive whose methods fail as long as they are among the ``broken`` ones."""

    broken: frozenset[str] = frozenset()
    unreadable: tuple[Unreadable, ...] = ()
    damaged_for = 0.0

    def _call(self, method: str) -> None:
        if method in self.broken:
            raise DriveUnavailableError(f"{method}: 503")
        super()._call(method)

    def list_files(self, query: str, *, oldest_first: bool = False) -> Iterator[DriveFile]:
        self._call("files.list")
        return super().list_files(query, oldest_first=oldest_first)

    def list_changes(self, page_token: str) -> ChangePage:
        page = super().list_changes(page_token)
        page, self.unreadable = replace(page, unreadable=self.unreadable), ()
        return page

    def download(self, file_id: str, target: Path, *, size: int | None, sha256: str | None) -> None:
        if self._drive.clock.monotonic() < self.damaged_for:
            raise DamagedDownloadError("the content has other bytes than its metadata say", sha256="0" * 64)
        super().download(file_id, target, size=size, sha256=sha256)


@pytest.fixture
def gateway(drive: MemoryDrive) -> BadDay:
    drive.gateway(ME)
    return BadDay(drive, ME)


def ask(drive: MemoryDrive, clock: ManualClock, tmp_path: Path, *bodies: bytes, sender: str = DS) -> list[str]:
    with runtime_on(
        drive.gateway(sender), State(tmp_path / sender), clock, sender, inline=True, inline_bodies=False
    ) as asker:
        return asker.send([Request(ME, "app", "messages", body) for body in bodies])


def answers(drive: MemoryDrive) -> list[bytes]:
    return [content for _, name, content in drive.files() if name.endswith(".response")]


class Handler:
    """Echoes, and notes what it has seen."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []

    def __call__(self, body: bytes, _: Message) -> bytes:
        self.seen.append(body)
        return body

    @property
    def route(self) -> Route:
        return Route("app", "messages", self)


# -- the feed and the net beside it ---------------------------------------------------------------------------


def test_the_sweep_goes_on_while_the_feed_fails(drive, gateway, clock, tmp_path) -> None:
    handler = Handler()
    with runtime_on(gateway, State(tmp_path), clock, ME, inline=True) as runtime:
        serve(runtime, handler.route)
        runtime.poll_once()
        gateway.broken = frozenset({"changes.list"})
        ask(drive, clock, tmp_path, b"x")
        clock.advance(600.0)
        with pytest.raises(DriveUnavailableError):
            runtime.poll_once()
        assert handler.seen == [b"x"]


@pytest.mark.parametrize("is_new", [True, False])
def test_the_feed_goes_on_while_lists_fail_from_the_start(drive, gateway, clock, tmp_path, is_new: bool) -> None:
    handler, state = Handler(), State(tmp_path)
    if not is_new:
        with runtime_on(gateway, state, clock, ME, inline=True) as runtime:
            runtime.poll_once()
        clock.advance(2_000.0)
    restarted = BadDay(drive, ME)
    restarted.broken = frozenset({"files.list"})
    with runtime_on(restarted, state, clock, ME, inline=True) as runtime:
        errors: list[Any] = []
        runtime.errors.subscribe(errors.append)
        serve(runtime, handler.route)
        runtime.poll_once()
        clock.advance(0.5)
        ask(drive, clock, tmp_path, b"x")
        runtime.poll_once()
        runtime.poll_once()
    assert handler.seen == [b"x"]
    assert [error.where for error in errors] == ["sweeping"], "told once, and tried again after a pause"


def test_an_entry_that_cannot_be_read_is_rejected_and_the_rest_of_its_page_is_taken(
    drive, gateway, clock, tmp_path
) -> None:
    handler, rejections = Handler(), list[Rejection]()
    with runtime_on(gateway, State(tmp_path), clock, ME, inline=True) as runtime:
        serve(runtime, handler.route)
        runtime.rejected.subscribe(rejections.append)
        runtime.poll_once()
        ask(drive, clock, tmp_path, b"x")
        gateway.unreadable = (Unreadable("KeyError('id')", "1abc"),)
        runtime.poll_once()
    assert handler.seen == [b"x"]
    assert [(rejection.reason, rejection.file_id) for rejection in rejections] == [("unreadable", "1abc")]


# -- state that is older than the Drive -----------------------------------------------------------------------


@pytest.mark.parametrize("token", ["good", "refused", "lost"])
def test_a_state_from_a_backup_runs_no_handler_again_whose_reply_is_in_drive(
    drive, clock, tmp_path, token: str
) -> None:
    handler, state = Handler(), State(tmp_path)

    def run(bodies: list[bytes]) -> None:
        with runtime_on(MemoryGateway(drive, ME), state, clock, ME, inline=True, cleanup=False) as runtime:
            serve(runtime, handler.route)
            runtime.poll_once()
            for body in bodies:
                clock.advance(1.0)
                ask(drive, clock, tmp_path, body)
            runtime.poll_once()
            clock.advance(600.0)
            runtime.poll_once()

    drive.gateway(ME)
    run([b"before"])
    backup = copy.deepcopy((state.ledger._rows, state.ledger._keys))
    drive.page_size = 1  # the request comes long before its reply
    run([b"since 1", b"since 2"])
    state.ledger._rows, state.ledger._keys = backup
    if token == "refused":
        drive.reject_tokens(ME)
    if token == "lost":
        state.ledger.transact(lambda tx: tx.delete("cursor"))
    run([b"after"])
    assert handler.seen == [b"before", b"since 1", b"since 2", b"after"]
    assert len(answers(drive)) == 4


# -- damage ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "reply"), [(60.0, b"x"), (1e9, b"error")])
def test_a_download_that_contradicts_drive_is_tried_again_for_minutes_and_then_its_sender_is_told(
    drive, gateway, tmp_path, seconds: float, reply: bytes
) -> None:
    clock = drive.clock
    handler, rejections, messages = Handler(), list[Rejection](), list[Message]()
    gateway.damaged_for = seconds
    with runtime_on(gateway, State(tmp_path), clock, ME, inline=True) as runtime:
        runtime.rejected.subscribe(rejections.append)
        runtime.messages.subscribe(messages.append)
        ask(drive, clock, tmp_path, b"x")
        runtime.poll_once()
        engine = runtime._engine
        [message] = messages
        work = Work(engine.parts.ledger.journal.number_of(message), message, handler.route)
        engine.parts.ledger.journal.claim([(work.number, message, True)])
        while pause := engine.dispatch.placement.responder.prepare(work):
            assert not answers(drive)
            clock.advance(pause)
        assert clock.monotonic() >= min(seconds, 120.0)
        engine.dispatch.placement.responder.handle(work)
    [answer] = answers(drive)
    assert reply in answer
    assert [rejection.reason for rejection in rejections] == ([] if reply == b"x" else ["damaged"])


# -- sending --------------------------------------------------------------------------------------------------


def test_an_error_of_sending_several_tells_which_went(drive, clock, tmp_path) -> None:
    class Refusing(MemoryGateway):
        def share(self, file_id: str, email: str, *, may_write: bool = True) -> Account:
            if email == OTHER:
                raise DriveUnavailableError("no")
            return super().share(file_id, email, may_write=may_write)

    drive.gateway(DS)
    with runtime_on(Refusing(drive, DS), State(tmp_path), clock, DS, inline=True) as sender:
        requests = [Request(to, "app", "messages", b"x") for to in (ME, OTHER, ME)]
        with pytest.raises(PartlySentError, match="1 of 3") as raised:
            sender.send(requests)
        with pytest.raises(DriveUnavailableError, match=r"^no$"):
            sender.send(requests[1:2])
        first, missing, third = raised.value.sent
        names = {name for _, name, _ in drive.files()}
        assert {f"{first}.request", f"{third}.request"} == names
        assert missing is None
        assert [error is None for error in raised.value.errors] == [True, False, True]
        assert sender._engine.parts.ledger.futures.get([first, third]).keys() == {first, third}


@pytest.mark.parametrize("level", range(4))
@pytest.mark.parametrize("kind", ["request", "response"])
def test_what_was_written_into_the_trash_is_written_again_to_where_it_is_seen(
    drive, clock, tmp_path, kind: str, level: int
) -> None:
    handler = Handler()
    with (
        runtime_on(drive.gateway(ME), State(tmp_path / "me"), clock, ME, inline=True, cleanup=False) as me,
        runtime_on(drive.gateway(DS), State(tmp_path / "ds"), clock, DS, inline=True, cleanup=False) as ds,
    ):
        serve(me, handler.route)
        ds.send([Request(ME, "app", "messages", b"1")])
        me.poll_once()
        with drive.edited() as files:
            [folder] = [file.parent for file in files if file.name.endswith(kind)]
            for _ in range(level):
                folder = next(file.parent for file in files if file.id == folder)
        drive.trash(folder)  # and nobody has polled since
        [future] = ds.send([Request(ME, "app", "messages", b"2")])
        for _ in range(3):
            me.poll_once()
            clock.advance(10.0)
        assert handler.seen == [b"1", b"2"]
        ds.poll_once()
        assert ds.get_response(future) == b"2"


class LostAnswers(MemoryGateway):
    """A Drive whose answers to uploads are lost, for as many as are ``lost``, unless it refuses them."""

    lost = 0

    def upload(self, *arguments: Any, **options: Any) -> None:
        super().upload(*arguments, **options)
        if self.lost:
            self.lost -= 1
            raise DriveUnavailableError("the answer is lost")


def test_what_is_written_again_out_of_the_trash_is_there_once_though_its_answer_is_lost(tmp_path) -> None:
    clock = ManualClock(auto=True)
    drive = MemoryDrive(clock)
    drive.gateway(ME)
    gateway = LostAnswers(drive, DS)
    drive.gateway(DS)
    with runtime_on(gateway, State(tmp_path), clock, DS, cleanup=False) as ds:
        ds.send([Request(ME, "app", "messages", b"1")])
        [root] = [folder for folder in drive.folders() if folder.name == wire.inbox_root_name(DS, ME)]
        drive.trash(root.id)
        gateway.lost = 1
        [future] = ds.send([Request(ME, "app", "messages", b"2")])
    assert [name for _, name, body in drive.files() if body == b"2"] == [f"{future}.request"]


def test_a_reply_whose_answer_is_lost_is_written_once(drive, clock, tmp_path) -> None:
    drive.gateway(ME)
    gateway, handler = LostAnswers(drive, ME), Handler()
    with runtime_on(gateway, State(tmp_path / ME), clock, ME, inline=True) as runtime:
        serve(runtime, handler.route)
        ask(drive, clock, tmp_path, b"x")
        gateway.lost = 2
        for _ in range(4):
            runtime.poll_once()
            clock.advance(60.0)
    assert (handler.seen, answers(drive), gateway.lost) == ([b"x"], [b"x"], 0)


@pytest.mark.parametrize("action", ["trash", "rename", "remove"])
def test_a_root_that_goes_away_is_told_to_who_has_written_to_it(drive, clock, tmp_path, action: str) -> None:
    with runtime_on(drive.gateway(DS), State(tmp_path), clock, DS, inline=True) as ds:
        errors: list[Any] = []
        ds.errors.subscribe(errors.append)
        ds.send([Request(ME, "app", "messages", b"x")])
        ds.poll_once()
        assert not errors
        [root] = [folder for folder in drive.folders() if folder.name == wire.inbox_root_name(DS, ME)]
        if action == "rename":
            with drive.edited() as files:
                next(file for file in files if file.id == root.id).name = "old stuff"
            drive.touch(root.id)
        else:
            getattr(drive, action)(root.id)
        clock.advance(10.0)
        ds.poll_once()
        assert [root.id in str(error.error) for error in errors] == [True]


@pytest.mark.parametrize("failure", [TransferError("it has other bytes"), StateError("disk full")])
def test_whatever_one_of_several_fails_for_the_error_tells_which_went(
    drive, clock, tmp_path, failure: SyftFlwrError
) -> None:
    class Failing(MemoryGateway):
        def upload(self, file_id: str, name: str, parent: str, body: bytes | Path, **options: Any) -> None:
            if body == b"second":
                raise failure
            super().upload(file_id, name, parent, body, **options)

    drive.gateway(DS)
    with runtime_on(Failing(drive, DS), State(tmp_path), clock, DS, inline=True) as sender:
        with pytest.raises(PartlySentError) as raised:
            sender.send([Request(ME, "app", "messages", body) for body in (b"first", b"second")])
        first, second = raised.value.sent
        assert {name for _, name, _ in drive.files()} == {f"{first}.request"}
        assert (second, raised.value.errors) == (None, (None, failure))


@pytest.mark.parametrize("body", ["x", None, 3, [1], Path(__file__)])
def test_what_is_no_bytes_is_refused_before_anything_is_sent(drive, clock, tmp_path, body: Any) -> None:
    drive.gateway(DS)
    with runtime_on(MemoryGateway(drive, DS), State(tmp_path), clock, DS, inline=True) as sender:
        with pytest.raises(TypeError, match="a body is bytes, not "):
            sender.send([Request(ME, "app", "messages", b"x"), Request(ME, "app", "messages", body)])
        assert drive.files() == []
        sender.send([Request(ME, "app", "messages", kind(b"x")) for kind in (bytearray, memoryview)])
        assert [content for _, _, content in drive.files()] == [b"x", b"x"]


# -- the loop -------------------------------------------------------------------------------------------------


def loop_on(clock: ManualClock, errors: list[Exception]) -> tuple[PollLoop, list[Exception], list[float]]:
    reported: list[Exception] = []
    polls: list[float] = []

    def step() -> float:
        polls.append(clock.monotonic())
        if errors:
            raise errors.pop(0)
        return 5.0

    return PollLoop("test", step=step, report=reported.append, clock=clock), reported, polls


def test_a_full_disk_ends_no_loop_and_is_told_once(clock) -> None:
    loop, reported, polls = loop_on(clock, [StateError("disk full") for _ in range(3)])
    loop.start()
    for seconds in (1.0, 2.0, 4.0):
        clock.await_waiters(1)
        clock.advance(seconds)
    clock.await_waiters(1)
    assert (len(reported), polls, loop.failure) == (1, [0.0, 1.0, 3.0, 7.0], None)
    loop.end()
    loop.join(5.0)


def test_a_loop_pauses_as_long_as_drive_asks_whoever_is_in_a_hurry(clock) -> None:
    loop, _, polls = loop_on(clock, [DriveUnavailableError("busy", retry_after=600.0)])
    loop.start()
    clock.await_waiters(1)
    loop.hasten(0.1)
    clock.advance(599.0)
    clock.await_waiters(1)
    assert polls == [0.0]
    clock.advance(1.0)
    clock.await_waiters(1)
    assert polls == [0.0, 600.0]
    loop.end()
    loop.join(5.0)


# -- processes ------------------------------------------------------------------------------------------------


def in_forked_child(work: Any) -> str:
    """Run a function in a forked child; return what it returns, or its error."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            said = work()
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as said:
        text = said.read()
    os.waitpid(pid, 0)
    return text


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_opens_its_own_runtime_and_is_told_so_by_an_inherited_one(emulator) -> None:
    with serving(owner(bytes.upper)), P2PFileRpc(DS, APP) as rpc:
        rpc.wait([rpc.send(DO, APP, "messages", b"parent")], 20)

        def child() -> str:
            with pytest.raises(RuntimeClosedError, match=r"parent process.*new objects"):
                rpc.send(DO, APP, "messages", b"x")
            rpc.runtime.close()
            with P2PFileRpc(DS, APP) as own:
                return own.wait([own.send(DO, APP, "messages", b"child")], 20).popitem()[1].decode()

        assert in_forked_child(child) == "CHILD"
        assert rpc.wait([rpc.send(DO, APP, "messages", b"again")], 20).popitem()[1] == b"AGAIN"


def test_a_runtime_that_is_pickled_says_what_to_do(emulator) -> None:
    with DriveRuntime.open(ME) as runtime, pytest.raises(TypeError, match="open one in the other process"):
        pickle.dumps(runtime)


def test_a_cleaned_body_directory_is_made_anew(drive, gateway, clock, tmp_path) -> None:
    handler, state = Handler(), State(tmp_path)
    with runtime_on(gateway, state, clock, ME, inline=True) as runtime:
        serve(runtime, handler.route)
        runtime.poll_once()
        state.bodies.rmdir()
        ask(drive, clock, tmp_path, b"x")
        runtime.poll_once()
    assert handler.seen == [b"x"]


def test_times_are_drives_and_a_wrong_local_clock_decides_nothing(drive, gateway, tmp_path) -> None:
    class Slow(ManualClock):
        def time(self) -> float:
            return drive.clock.time() - 30 * 86_400.0

        def monotonic(self) -> float:
            return drive.clock.monotonic()

    handler = Handler()
    with runtime_on(gateway, State(tmp_path), Slow(), ME, inline=True) as runtime:
        serve(runtime, handler.route)
        ask(drive, drive.clock, tmp_path, b"x")
        runtime.poll_once()
        [at] = runtime._engine.parts.ledger._store.transact(lambda tx: [row["at"] for _, row in tx.scan("own/")])
    assert wire.timestamp(at) > wire.timestamp(drive.clock.time())


class Grouping(MemoryGateway):
    """Drive's fault with queries that name several parents: they find nothing, or only what lies in the first one."""

    keeps = 0

    def list_files(self, query: str, *, oldest_first: bool = False) -> Iterator[DriveFile]:
        found = list(super().list_files(query, oldest_first=oldest_first))
        parents = [part.split("'")[-2] for part in query.split(" in parents")[:-1]]
        if len(parents) < 2:
            return iter(found)
        return iter([file for file in found if set(file.parents) & set(parents[: self.keeps])])


@pytest.mark.parametrize("keeps", [0, 1])
def test_a_list_of_grouped_parents_that_finds_nothing_or_a_part_loses_nothing(
    drive, clock, tmp_path, keeps: int
) -> None:
    drive.gateway(ME)
    for sender in (DS, OTHER, "third@example.com"):
        ask(drive, clock, tmp_path, sender.encode(), sender=sender)
    handler, gateway = Handler(), Grouping(drive, ME)
    gateway.keeps = keeps
    drive.hide = lambda account, file: account == ME  # and the feed is silent
    with runtime_on(gateway, State(tmp_path), clock, ME, inline=True) as runtime:
        serve(runtime, handler.route)
        runtime.poll_once()
    assert sorted(handler.seen) == [DS.encode(), OTHER.encode(), b"third@example.com"]


@pytest.mark.parametrize("others", [0, 1_000])
@pytest.mark.parametrize("keeps", [0, 1])
def test_a_list_of_grouped_parents_that_leaves_out_replies_runs_no_handler_again(
    drive, clock, tmp_path, keeps: int, others: int
) -> None:
    for sender in (DS, OTHER, "third@example.com"):
        ask(drive, clock, tmp_path, sender.encode(), sender=sender)
    mine = drive.gateway(ME)
    album = mine.create_folder("album", "album", None).id
    for number in range(others):
        mine.upload(f"other-{number}", f"photo {number}", album, b"x")
    handler = Handler()
    for name in ("lost", "new"):
        gateway = Grouping(drive, ME)
        gateway.keeps = keeps
        with runtime_on(gateway, State(tmp_path / name), clock, ME, inline=True, cleanup=False) as runtime:
            serve(runtime, handler.route)
            runtime.poll_once()
            clock.advance(600.0)
            runtime.poll_once()
    assert len(handler.seen) == 3


class Sparing(MemoryGateway):
    """Answers one list, or page of one, each minute."""

    asked_at = float("-inf")
    lists = 0

    def list_files(self, query: str, *, oldest_first: bool = False) -> Iterator[DriveFile]:
        if self._drive.clock.monotonic() < self.asked_at + 60.0:
            raise RateLimitedError("spent", retry_after=60.0)
        self.asked_at = self._drive.clock.monotonic()
        self.lists += 1
        return super().list_files(query, oldest_first=oldest_first)


@pytest.mark.parametrize("disk_is_full", [False, True])
def test_a_full_sweep_goes_on_with_the_list_that_failed_unless_the_disk_did_not_take_what_was_listed(
    drive, clock, tmp_path, monkeypatch: pytest.MonkeyPatch, disk_is_full: bool
) -> None:
    monkeypatch.setattr("syft_flwr.runtime.sweeps._PARENTS_PER_QUERY", 2)
    drive.gateway(ME)
    senders = [f"lab{number}@example.com" for number in range(5)]
    for sender in senders:
        ask(drive, clock, tmp_path, sender.encode(), sender=sender)
    handler, gateway, take = Handler(), Sparing(drive, ME), Ledger.take
    drive.hide = lambda account, file: account == ME  # and the feed is silent
    full = [disk_is_full]

    def take_if_there_is_room(ledger: Ledger, files: list[DriveFile], answers: Any) -> Any:
        if full.pop() if full else False:
            raise StateError("disk full")
        return take(ledger, files, answers)

    monkeypatch.setattr(Ledger, "take", take_if_there_is_room)
    with runtime_on(gateway, State(tmp_path / ME), clock, ME, inline=True) as runtime:
        serve(runtime, handler.route)
        polls = 0
        while not engine_of(runtime).parts.ledger.swept_at() and polls < 20:
            polls += 1
            with suppress(StateError):
                runtime.poll_once()
            clock.advance(61.0)
        lists = 7  # folders, what is in two of them, own replies, the two again, the other three, what others own
        assert gateway.lists == lists + (2 if disk_is_full else 0), "folders, and two of them, once more"
    assert sorted(handler.seen) == sorted(map(str.encode, senders))


def test_replies_that_can_t_be_listed_are_asked_for_ever_more_seldom(drive, clock, tmp_path, monkeypatch) -> None:
    ask(drive, clock, tmp_path, b"1")
    asked: list[float] = []

    def fail(_: Sweeper) -> Iterator[Any]:
        asked.append(clock.monotonic())
        raise DriveUnavailableError("files.list: 503")

    monkeypatch.setattr(Sweeper, "own_replies", fail)
    drive.gateway(ME)
    with runtime_on(drive.gateway(ME), State(tmp_path), clock, ME, inline=True) as runtime:
        for _ in range(300):
            runtime.poll_once()
            clock.advance(2.0)
    assert 5 < len(asked) < 15


def test_a_new_state_with_many_replies_asks_each_folder_for_them_once_however_few_lists_it_may_make(
    drive, clock, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    senders = [f"lab{number}@example.com" for number in range(3)]
    handler = Handler()
    for sender in senders:
        ask(drive, clock, tmp_path, b"old", sender=sender)
    with runtime_on(drive.gateway(ME), State(tmp_path / "lost"), clock, ME, inline=True, cleanup=False) as runtime:
        serve(runtime, handler.route)
        runtime.poll_once()
    ask(drive, clock, tmp_path, b"new")
    monkeypatch.setattr("syft_flwr.feed.sweep._FEW", 3)  # the account has so many files that each folder is asked
    gateway = Sparing(drive, ME)
    with runtime_on(gateway, State(tmp_path / "new"), clock, ME, inline=True, cleanup=False) as runtime:
        serve(runtime, handler.route)
        for _ in range(30):
            clock.advance(61.0)
            runtime.poll_once()
    assert handler.seen == [*[b"old"] * len(senders), b"new"]


class Silent(MemoryGateway):
    """Does not tell of the files that are ``refused``."""

    refused: frozenset[str] = frozenset()

    def get_file(self, file_id: str, *, patient: bool = True) -> DriveFile:
        if file_id in self.refused:
            raise PermissionDeniedError("files.get: 403 domainPolicy")
        return super().get_file(file_id, patient=patient)


def test_full_sweeps_end_though_drive_does_not_tell_of_a_request_that_they_miss(drive, clock, tmp_path) -> None:
    gateway = Silent(drive, ME)
    drive.gateway(ME)
    ask(drive, clock, tmp_path, b"1")
    with runtime_on(gateway, State(tmp_path / ME), clock, ME, inline=True) as runtime:
        serve(runtime, Handler().route)
        runtime.poll_once()
        assert answers(drive) == [b"1"]
        [request] = engine_of(runtime).parts.ledger.own.watched()
        drive.trash(request)
        gateway.refused = frozenset({request})
        for _ in range(23 * 60):
            clock.advance(60.0)
            runtime.poll_once()
        assert engine_of(runtime).parts.ledger.swept_at() > clock.time() - 7_200.0


def test_a_request_that_another_process_takes_at_the_last_moment_is_taken_over_when_that_dies(
    drive, clock, tmp_path, monkeypatch
) -> None:
    ask(drive, clock, tmp_path, b"1", b"2", b"3")
    state, handler = State(tmp_path / "state"), Handler()
    other = Ledger(state.ledger, clock, holder="other", is_alive=state.alive.__contains__, max_processed=100)
    with runtime_on(drive.gateway(ME), state, clock, ME, inline=True) as runtime:
        ledger = engine_of(runtime).parts.ledger

        def lose(requests: Any, others: Any) -> Any:
            """Find no room, and have the other process claim all before this one looks again."""
            found = settle([(number, message, False) for number, message, _ in requests], others)
            other.journal.claim([(number, message, True) for number, message, _ in requests])
            return found

        settle = ledger.settle
        state.alive.add("other")
        monkeypatch.setattr(ledger, "settle", lose)
        serve(runtime, handler.route)
        runtime.poll_once()
        assert handler.seen == []
        monkeypatch.setattr(ledger, "settle", settle)
        state.alive.discard("other")
        runtime.poll_once()
    assert handler.seen == [b"1", b"2", b"3"]


def test_requests_that_a_full_disk_keeps_from_their_handler_come_again_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    drive = MemoryDrive(clock)
    claim, refused, handled = Journal.claim, [], []

    def fails_once(journal: Journal, wanted: Any) -> Any:
        if not refused:
            refused.append(wanted)
            raise StateError("disk full")
        return claim(journal, wanted)

    def handle(body: bytes, _: Message) -> bytes:
        handled.append(body)
        return body

    with (
        runtime_on(drive.gateway(ME), State(tmp_path / "me"), clock, ME, inline=True) as me,
        runtime_on(drive.gateway(DS), State(tmp_path / "ds"), clock, DS, inline=True) as ds,
    ):
        me.messages.pipe(reply_with(me, handle, allowed_senders=[DS])).subscribe()
        sent = ds.send([Request(ME, APP, "echo", body) for body in (b"one", b"two", b"three")])
        monkeypatch.setattr(Journal, "claim", fails_once)
        with pytest.raises(StateError, match="disk full"):  # a dispatch thread would report it, and try again
            me.poll_once()
        me.poll_once()
        assert handled == [b"one", b"two", b"three"]
        ds.poll_once()
        assert list(ds.wait(sent, 0.0).values()) == handled


def test_a_new_senders_folders_are_looked_for_at_once_when_the_token_is_lost(drive, clock, tmp_path: Path) -> None:
    handler = Handler()
    with runtime_on(drive.gateway(ME), State(tmp_path), clock, ME, inline=True) as runtime:
        serve(runtime, handler.route)
        ask(drive, clock, tmp_path, b"known")
        runtime.poll_once()
        clock.advance(1.0)
        drive.reject_tokens(ME)
        ask(drive, clock, tmp_path, b"new", sender=OTHER)
        for _ in range(2):
            runtime.poll_once()
    assert handler.seen == [b"known", b"new"]


def test_an_answer_that_came_before_the_first_poll_is_judged_with_it(drive, clock, tmp_path: Path) -> None:
    rejected: list[Rejection] = []
    with runtime_on(drive.gateway(ME), State(tmp_path / "me"), clock, ME, inline=True) as me:
        with runtime_on(drive.gateway(DS), State(tmp_path / "ds"), clock, DS, inline=True) as ds:
            serve(ds, Route("app", "messages", lambda body, _: body))
            [future] = me.send([Request(DS, "app", "messages", b"x")])
            ds.poll_once()
        ask(drive, clock, tmp_path, b"y", sender=OTHER)  # a folder of theirs
        with drive.edited() as files:
            [answer] = [file for file in files if file.name.endswith(".response")]
            [request] = [file for file in files if file.owner == OTHER and file.name.endswith(".request")]
            answer.parent, answer.owner = request.parent, OTHER
        drive.remove(request.id)
        drive.touch(answer.id)
        clock.advance(60.0)
        me.rejected.subscribe(rejected.append)
        me.poll_once()
        assert me.get_response(future) is None
    assert [rejection.reason for rejection in rejected] == ["wrong_responder"]
