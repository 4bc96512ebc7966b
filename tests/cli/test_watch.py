"""What "watch" makes of what happens, and where it hears of it."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from accounts import APP, DO, DS, PATIENCE, owner, serving, wait_until
from onlookers import Looking
from syft_flwr.cli.lines import Filter
from syft_flwr.cli.lives import Lives
from syft_flwr.cli.record import whole_id
from syft_flwr.cli.watch import LifePrinter
from syft_flwr.rpc import P2PFileRpc
from syft_flwr.runtime.onlooker import Onlooker
from syft_flwr.state.events import FEED, EventLog, Happened
from syft_flwr.state.store import DiskStore
from syft_flwr.testing import DriveEmulator, ManualClock

FUTURE = "3f1c8e52-0d5e-4c1b-9a53-6a2d7e90b1f4"
BY = "4711-00000000abcdef00"
MESSAGE = {"kind": "request", "sender": DS, "app": APP, "endpoint": "messages", "future_id": FUTURE, "size": 1_234}
FILE = {"id": "f", "name": f"{FUTURE}.request", "size": "1234", "owners": [{"emailAddress": DS}]}
HANDLED = {**MESSAGE, "seconds": 0.21, "attempts": 1, "reply_size": 12_345, "is_error": False}
SENT = {"future_id": FUTURE, "recipient": DO, "app": APP, "endpoint": "messages"}


def event(what: str, at: float = 1e9, **fields: Any) -> Happened:
    return Happened(1, at, BY, what, fields)


def printer(*, as_json: bool = False, **options: Any) -> LifePrinter:
    wanted = Filter(*(options.pop(name, None) for name in ("apps", "endpoints", "senders")))
    return LifePrinter(wanted, **{"kinds": None, "count": None, "on_end": lambda: None, **options}, as_json=as_json)


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line.partition(" ")[2] for line in capsys.readouterr().out.splitlines()]


def test_a_request_s_life_is_one_line_that_completes(capsys: pytest.CaptureFixture[str]) -> None:
    shown = printer()
    shown.take(event("seen", file=FILE))
    shown.take(event("admitted", **MESSAGE))
    shown.take(event("handled", **HANDLED))
    assert lines(capsys) == []
    shown.take(event("replied", **MESSAGE, reply_size=12_345))
    shown.take(event("deleted", file_ids=["reply"]))
    assert lines(capsys) == [f"{FUTURE} ← {DS} {APP}/messages 1.2 kB: seen → handled in 0.2 s → replied, 12.3 kB"]


@pytest.mark.parametrize(
    ("steps", "line"),
    [
        ([("rejected", {**MESSAGE, "reason": "forged_sender", "detail": ""})], "seen → rejected: forged_sender"),
        ([("waiting", MESSAGE)], "seen → waits …"),
        ([("admitted", MESSAGE)], "seen → taken …"),
        ([("withdrawn", {"name": FILE["name"], "file_id": "f"})], "seen → withdrawn"),
        ([("admitted", MESSAGE), ("handled", {**HANDLED, "reply_size": None})], "seen → handled in 0.2 s → no reply"),
        ([("handled", {**HANDLED, "is_error": True, "attempts": 2})], "seen → failed in 0.2 s (attempt 2) …"),
        ([("waiting", MESSAGE), ("consumed", MESSAGE)], "seen → waits → acknowledged"),
    ],
)
def test_a_life_says_what_became_of_it(steps: list[tuple[str, Any]], line: str) -> None:
    lives = Lives()
    lives.take(event("seen", file=FILE))
    for what, fields in steps:
        taken = lives.take(event(what, **fields))
    assert taken is not None
    assert taken[1].line(80).endswith(f": {line}")


def test_a_request_of_one_s_own_is_a_line_as_well(capsys: pytest.CaptureFixture[str]) -> None:
    shown = printer()
    shown.take(event("sent", **SENT))
    response = {**MESSAGE, "kind": "response", "sender": DO, "size": 2_048}
    shown.take(event("answered", at=1e9 + 1.26, **response, is_error=False))
    assert lines(capsys) == [f"{FUTURE} → {DO} {APP}/messages: sent → answered after 1.3 s, 2.0 kB"]


def test_a_line_keeps_to_eighty_columns_whatever_names_are_in_it() -> None:
    lives = Lives()
    lives.take(event("seen", file=FILE))
    lives.take(event("admitted", **{**MESSAGE, "app": "a" * 200, "sender": "\x1b" * 10 + "b" * 300}))
    lives.take(event("handled", **HANDLED | {"app": "a" * 200}))
    taken = lives.take(event("replied", **{**MESSAGE, "app": "a" * 200}, reply_size=5))
    assert taken is not None
    line = taken[1].line(80)
    assert len(line) == 80
    assert line.isprintable()
    assert line[9:17] == FUTURE[:8]


def test_a_line_that_stands_still_is_printed_as_it_is_once(capsys: pytest.CaptureFixture[str]) -> None:
    shown = printer()
    shown.take(event("seen", file=FILE))
    shown.take(event("waiting", **MESSAGE))
    shown.look()
    shown.look()
    with shown:
        pass
    assert len(lines(capsys)) == 1


def test_what_is_of_no_message_is_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    shown = printer()
    shown.take(event("paused", why="Drive throttles the account"))
    shown.take(event("rejected", name="x.request", file_id="f", reason="bad_name", detail="no future ID"))
    shown.take(event("swept"))
    assert lines(capsys) == ["paused: Drive throttles the account", "rejected x.request: bad_name, no future ID"]


def test_a_failure_that_goes_on_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    shown = printer()
    for at in (0.0, 60.0, 120.0, 3_600.0):
        shown.take(event("error", at=1e9 + at, where="sweeping", error="no answer"))
    shown.take(event("error", at=2e9, where="sweeping", error="another reason"))
    assert len(lines(capsys)) == 3


def test_filters_hold_for_lines_and_for_json(capsys: pytest.CaptureFixture[str]) -> None:
    for as_json in (False, True):
        for options in ({"senders": ["other@example.com"]}, {"apps": ["other"]}, {"kinds": ["rejected"]}):
            shown = printer(as_json=as_json, **options)
            shown.take(event("admitted", **MESSAGE))
            shown.take(event("replied", **MESSAGE, reply_size=5))
        shown = printer(as_json=as_json, senders=[DS.upper()], apps=[APP], endpoints=["/messages"], kinds=["replied"])
        shown.take(event("admitted", **MESSAGE))
        shown.take(event("replied", **MESSAGE, reply_size=5))
        assert len(capsys.readouterr().out.splitlines()) == 1


def test_json_has_the_documented_schema(capsys: pytest.CaptureFixture[str]) -> None:
    ended: list[bool] = []
    shown = printer(as_json=True, count=2, on_end=lambda: ended.append(True))
    shown.take(event("replied", **MESSAGE, reply_size=5))
    shown.take(Happened(0, 1e9, FEED, "waiting", MESSAGE))
    shown.take(Happened(0, 1e9, FEED, "waiting", MESSAGE))
    log, feed = map(json.loads, capsys.readouterr().out.splitlines())
    time = "2001-09-09T01:46:40.000+00:00"
    assert log == {
        "version": 1,
        "time": time,
        "source": "log",
        "process": 4711,
        "event": "replied",
        **MESSAGE,
        "reply_size": 5,
    }
    assert feed == {"version": 1, "time": time, "source": "feed", "event": "waiting", **MESSAGE}
    assert ended == [True]


def ask(body: bytes) -> None:
    with P2PFileRpc(DS, APP) as rpc:
        future = rpc.send(DO, APP, "messages", body)
        rpc.wait([future], PATIENCE)
        rpc.delete_future(future)


def test_beside_a_working_process_each_exchange_is_seen_whole_without_a_call_to_drive(drive: DriveEmulator) -> None:
    with serving(owner(bytes.upper)):
        ask(b"before")
        with Looking() as watcher:
            for _ in range(3):
                ask(b"x")
            wait_until(lambda: watcher.whats().count("replied") == 3)
        assert watcher.sources == [1]
        assert watcher.onlooker.bill is None
    assert [watcher.whats().count(what) for what in ("seen", "admitted", "handled", "replied")] == [3] * 4
    assert "replied" in {event.what for event in watcher.past}


def test_where_no_process_works_the_feed_shows_what_waits_and_a_process_that_comes_is_followed(
    drive: DriveEmulator,
) -> None:
    with Looking() as watcher, P2PFileRpc(DS, APP) as rpc:
        future = rpc.send(DO, APP, "messages", b"x")
        wait_until(lambda: watcher.whats() == ["waiting"])
        with serving(owner(bytes.upper)):
            rpc.wait([future], PATIENCE)
            wait_until(lambda: watcher.sources == [0, 1])
            wait_until(lambda: "replied" in watcher.whats())
        wait_until(lambda: watcher.sources == [0, 1, 0])
    assert watcher.whats() == ["waiting", "seen", "admitted", "handled", "replied"]


def test_what_happened_since_a_time_is_told_first(drive: DriveEmulator) -> None:
    with serving(owner(bytes.upper)):
        ask(b"x")
        with Looking(since=0.0) as watcher:
            assert watcher.past == []
            assert "replied" in watcher.whats()


def test_the_beginning_of_an_id_that_a_terminal_shows_is_enough_to_record_the_message(tmp_path: Path) -> None:
    with closing(DiskStore(tmp_path / "ledger")) as store:
        log = EventLog(store, ManualClock(), holder=BY)
        log.tell("admitted", **MESSAGE)
        assert whole_id(tmp_path, FUTURE[:8]) == FUTURE
        log.tell("answered", **{**MESSAGE, "future_id": f"{FUTURE[:-1]}0"})
        assert whole_id(tmp_path, FUTURE[:8]) == FUTURE[:8]
    assert whole_id(tmp_path / "nothing", FUTURE[:8]) == FUTURE[:8]


def test_rows_that_were_given_up_before_they_were_read_are_told_of(tmp_path: Path) -> None:
    store = DiskStore(tmp_path / "ledger")
    log = EventLog(store, ManualClock(), holder=BY, keep=5)
    gaps: list[int] = []
    seen: list[Happened] = []
    onlooker = Onlooker(
        tmp_path, open_feed=pytest.fail, on_event=seen.append, on_source=lambda _: None, on_gap=gaps.append
    )
    log.tell("swept")
    onlooker.begin()
    for _ in range(12):
        log.tell("swept")
    onlooker._read_all()
    onlooker.close()
    store.close()
    assert (len(seen), gaps) == (5, [7])
