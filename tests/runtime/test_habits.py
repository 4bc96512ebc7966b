"""What a probe found of Drive is kept for the account, and decides how its processes poll, sweep and write."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from runtimes import State, runtime_on, serve

from syft_flwr.drive.habits import Habits
from syft_flwr.exchange.requester import Request
from syft_flwr.exchange.routes import Route
from syft_flwr.feed.peek import Peek
from syft_flwr.resources import DriveFile
from syft_flwr.runtime import DriveRuntime
from syft_flwr.runtime.handle import engine_of
from syft_flwr.testing.memory_drive import MemoryDrive
from syft_flwr.testing.memory_gateway import MemoryGateway

ME, SENDERS = "do@example.com", [f"ds{number}@example.org" for number in range(4)]


class Asked(MemoryGateway):
    """Notes the queries, and finds nothing by one that names several parents."""

    def __init__(self, drive: MemoryDrive, account: str) -> None:
        super().__init__(drive, account)
        self.queries: list[str] = []

    def list_files(self, query: str, *, oldest_first: bool = False) -> Iterator[DriveFile]:
        self.queries.append(query)
        if query.count("in parents") <= 1:
            yield from super().list_files(query, oldest_first=oldest_first)


@contextmanager
def knowing(
    habits: Habits, gateway: MemoryGateway, state: State, clock: Any, **settings: Any
) -> Iterator[DriveRuntime]:
    state.habits = habits
    with runtime_on(gateway, state, clock, gateway.about().email, inline=True, **settings) as runtime:
        yield runtime


def ask(drive: MemoryDrive, clock: Any, directory: Path, sender: str, body: bytes) -> None:
    with runtime_on(drive.gateway(sender), State(directory / sender), clock, sender, inline=True) as asker:
        asker.send([Request(ME, "app", "messages", body)])


def test_what_was_found_is_kept_and_read_again(tmp_path: Path) -> None:
    found = Habits().learned({"token_tells": False, "feed_delay": 12.5})
    found.keep(tmp_path / "account")
    assert Habits.read(tmp_path / "account") == found
    assert Habits.read(tmp_path / "another") == Habits()


@pytest.mark.parametrize(
    "content", [b"", b"[" * 100_000, b"[]", b'{"token_tells": 1}', b'{"feed_delay": NaN}', b"\x80\x04N.", b"null"]
)
def test_what_cannot_be_read_is_as_if_there_were_no_probe(
    content: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "habits").write_bytes(content)
    assert Habits.read(tmp_path) == Habits()
    assert "what a probe found is not used" in caplog.text


def test_a_start_token_that_does_not_tell_is_not_asked(drive: MemoryDrive, clock: Any, tmp_path: Path) -> None:
    calls: dict[bool, Counter[str]] = {}
    for tells in (True, False):
        with knowing(Habits(token_tells=tells), drive.gateway(ME), State(tmp_path / str(tells)), clock) as runtime:
            runtime.poll_once()
            drive.calls.clear()
            for _ in range(20):
                clock.advance(1.0)
                runtime.poll_once()
        calls[tells] = Counter(method for account, method in drive.calls if account == ME)
    assert calls[True]["changes.list"] == 0 < calls[True]["changes.getStartPageToken"]
    assert calls[False]["changes.list"] == 20
    assert calls[False]["changes.getStartPageToken"] == 0


def test_a_feed_that_is_late_as_it_always_was_denies_nothing() -> None:
    for delay, trusted in ((0.0, False), (60.0, True)):
        peek = Peek("me", delay=delay)
        for now in (1_000.0, 2_000.0):
            peek.denies("token", "token", now)
            peek.listed(now + 1, now + 1, [now - 45.0], asked=True)
        assert peek.is_enough(2_010.0, 2_010.0) is trusted


@pytest.mark.parametrize("groups", [True, False])
def test_sweeps_name_one_folder_a_query_where_several_find_nothing(
    drive: MemoryDrive, clock: Any, tmp_path: Path, groups: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("syft_flwr.feed.sweep._FEW", 1)  # others' files don't fit into a page
    gateway = Asked(drive, ME)
    drive.gateway(ME)
    drive.hide = lambda account, file: account == ME
    for sender in SENDERS:
        ask(drive, clock, tmp_path, sender, b"x")
    handled: list[bytes] = []
    with knowing(Habits(groups_parents=groups), gateway, State(tmp_path), clock) as runtime:
        serve(runtime, Route("app", "messages", lambda body, _: handled.append(body)))
        runtime.poll_once()
        runtime.poll_once()
    if not groups:
        assert len(handled) == len(SENDERS), "all at once"
        assert max(query.count("in parents") for query in gateway.queries) <= 1
    else:
        assert max(query.count("in parents") for query in gateway.queries) > 1


def test_where_the_feed_tells_nothing_of_others_sweeps_keep_their_pace(
    drive: MemoryDrive, clock: Any, tmp_path: Path
) -> None:
    lists: dict[bool, int] = {}
    for tells in (True, False):
        habits = replace(Habits(), feed_tells_of_others=tells)
        with knowing(habits, drive.gateway(ME), State(tmp_path / str(tells)), clock, sweep_interval=60.0) as runtime:
            runtime.poll_once()
            drive.calls.clear()
            for _ in range(120):
                clock.advance(60.0)
                runtime.poll_once()
        lists[tells] = sum(method == "files.list" for _, method in drive.calls)
    assert lists[True] < 30
    assert lists[False] >= 120


@pytest.mark.parametrize("shows", [True, False])
def test_bodies_are_not_written_into_properties_that_nobody_sees(
    drive: MemoryDrive, clock: Any, tmp_path: Path, shows: bool
) -> None:
    drive.gateway(ME)
    with knowing(Habits(shows_properties=shows), drive.gateway(SENDERS[0]), State(tmp_path), clock) as runtime:
        runtime.send([Request(ME, "app", "messages", b"small")])
        assert engine_of(runtime).parts.habits.shows_properties is shows
    [request] = [file for file in drive._files.values() if file.name.endswith(".request")]
    assert ("b0" in request.properties) is shows
