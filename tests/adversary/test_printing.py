"""What a peer writes is data: it moves no cursor, forges no line and hides nothing, wherever it is shown."""

from __future__ import annotations

import json
import logging

import pytest
from hostile import instruction, pending
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from accounts import APP, DO, DS, owner, serving
from syft_flwr.cli.view import Board, Lines, metrics_table
from syft_flwr.errors import RemoteHandlerError
from syft_flwr.feed.event_text import describe, to_json
from syft_flwr.feed.streams import Streams
from syft_flwr.flower._compat import Error, Message, RecordDict
from syft_flwr.flower.codec import Stamp, decode, encode
from syft_flwr.flower.recorder import Recorder
from syft_flwr.flower.replies import read_reply
from syft_flwr.models import FeedError, Rejection, RejectionReason
from syft_flwr.printable import printable, printable_error, printable_traceback
from syft_flwr.resources import Change, DriveFile
from syft_flwr.rpc import P2PFileRpc
from syft_flwr.testing import DriveEmulator

HOSTILE = "ok\x1b[2J\x1b]0;owned\x07\r\n2026-01-01 INFO approved\x9b31m\u202egnp.exe\u2066\u200b\x7f\u2028"
LOUD = [*map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0)), *"\u061c\u200b\u200e\u200f\u2028\u2029\ufeff\u3164\ufe0f"]
LOUD += [chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))]


def assert_quiet(text: str) -> None:
    assert not [char for char in text if char in LOUD or "\ud800" <= char <= "\udfff"], ascii(text)


@pytest.mark.parametrize("char", LOUD, ids=ascii)
def test_each_loud_character_is_shown_as_an_escape(char: str) -> None:
    assert printable(f"a{char}b") == f"a{ascii(char)[1:-1]}b"


@given(st.text(st.characters(categories=("L", "N", "Cc", "Cf", "Cs", "Zl", "Zs", "M"))), st.integers(1, 300))
def test_printable_text_is_one_line_of_at_most_the_length_asked_for(text: str, longest: int) -> None:
    shown = printable(text, longest)
    assert_quiet(shown)
    assert len(shown) <= longest
    assert printable(shown, longest) == shown


def test_ordinary_text_of_any_script_stays_as_it_is() -> None:
    for text in ("Zürich, 東京, القاهرة", "C:\\new", "no such column: 'âge'"):
        assert printable(text) == text


def test_a_rejection_holds_nothing_loud_and_nothing_long() -> None:
    rejection = Rejection(RejectionReason.BAD_NAME, "f", HOSTILE * 99, HOSTILE * 99, HOSTILE, HOSTILE)
    for text in (rejection.detail, rejection.file_name, rejection.claimed_sender, rejection.owner):
        assert_quiet(text)
        assert len(text) <= 400


def test_what_watch_prints_is_quiet_as_lines_and_as_json() -> None:
    events = [
        Rejection(RejectionReason.BAD_NAME, "f", HOSTILE, HOSTILE, HOSTILE, HOSTILE),
        Change("f", file=DriveFile("f", HOSTILE)),
        FeedError(HOSTILE, ValueError(HOSTILE)),
    ]
    for event in events:
        assert_quiet(describe(event))
        assert_quiet(json.dumps(to_json(event), ensure_ascii=False))
        for value in to_json(event).values():
            assert_quiet(str(value))  # also once a reader has decoded it


def test_the_log_of_rejections_and_contained_errors_has_the_lines_that_we_wrote(
    caplog: pytest.LogCaptureFixture,
) -> None:
    streams = Streams()
    streams.reject(Rejection(RejectionReason.BAD_NAME, "f", HOSTILE, HOSTILE))
    streams.report("handler", ValueError(HOSTILE))
    for record in caplog.records:
        for line in logging.Formatter().format(record).split("\n"):
            assert_quiet(line)
            assert not line.startswith("2026-01-01")


def test_an_error_reply_is_quoted_on_one_short_line() -> None:
    error = RemoteHandlerError.from_body("id", json.dumps({"error": HOSTILE * 99}).encode())
    assert_quiet(str(error))
    assert len(str(error)) < 400


def test_an_exception_is_told_by_type_and_two_hundred_characters() -> None:
    assert printable_error(ValueError("x" * 999)) == "ValueError: " + "x" * 199 + "…"
    assert printable_error(KeyError()) == "KeyError"
    assert_quiet(printable_traceback(ValueError(HOSTILE)).replace("\n", ""))


def test_an_owners_reason_is_quiet_before_the_strategy_sees_it() -> None:
    sent = pending()
    reply = Message(Error(code=1, reason=HOSTILE * 999), reply_to=sent.instruction)
    got, stamp = read_reply(sent, encode(reply, Stamp(flwr=HOSTILE, project=HOSTILE)), 0.0)
    assert_quiet(got.error.reason)
    assert len(got.error.reason) <= 5_000
    assert_quiet(stamp.flwr + stamp.project)
    told, _ = read_reply(sent, json.dumps({"error": HOSTILE}).encode(), 0.0)
    assert_quiet(told.error.reason)


def test_what_an_aggregator_says_of_itself_is_quiet() -> None:
    _, stamp = decode(encode(instruction(RecordDict()), Stamp(flwr=HOSTILE, project=HOSTILE)))
    assert_quiet(stamp.flwr + stamp.project)


def test_progress_in_a_terminal_is_quiet_and_reads_no_markup() -> None:
    console = Console(force_terminal=True, width=400, color_system=None, legacy_windows=False)
    fields = {"owner": HOSTILE, "type": HOSTILE, "group": HOSTILE, "seconds": 1.0, "error": HOSTILE, "bytes": 1}
    with console.capture() as shown:
        Lines(console)("done", **fields)
        Lines(console)("stopped", owner=HOSTILE, reason=HOSTILE)
        board = Board()
        board("done", **fields)
        console.print(board.render())
        console.print(metrics_table([{"round": 1, "train": {f"[link=http://x]{HOSTILE}": 1.0}}]))
    text = shown.get().replace("\n", "")
    assert_quiet(text)
    assert "[link=http://x]" in text


def test_a_peer_learns_of_an_error_no_more_than_its_owner_shares(drive: DriveEmulator) -> None:
    def fail(body: bytes) -> bytes:
        raise ValueError("secret row: " + HOSTILE + "x" * 999)

    told = {}
    for endpoint, share in (("quiet", False), ("open", True)):
        with serving(owner(fail, endpoint=endpoint, share_errors=share)), P2PFileRpc(DS, APP) as rpc:
            future = rpc.send(DO, APP, endpoint, b"")
            told[endpoint] = json.loads(rpc.wait([future], 20, raise_errors=False)[future])["error"]
    assert told["quiet"].startswith("ValueError: secret row: ok\\x1b[2J")
    assert len(told["quiet"]) == len("ValueError: ") + 200
    assert_quiet(told["quiet"])
    assert "Traceback" in told["open"]
    assert_quiet(told["open"].replace("\n", ""))


def test_the_name_of_a_metric_is_quiet_in_the_result() -> None:
    recorder = Recorder()
    recorder.note(1, "train", {HOSTILE: 1.0})
    [row] = recorder.rounds()
    [name] = row["train"]
    assert_quiet(name)
    assert name.startswith("ok\\x1b[2J")
