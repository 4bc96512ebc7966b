"""Status, peers, send and clean: one account's housekeeping from the shell."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from accounts import APP, DO, DS, PlainAccount, messages, owner, serving
from syft_flwr.cli.account import account_of
from syft_flwr.cli.main import app
from syft_flwr.rpc import P2PFileRpc
from syft_flwr.runtime import DriveRuntime
from syft_flwr.testing import DriveEmulator


def syft_flwr(*arguments: str | Path, typed: str | bytes | None = None) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=typed)


def test_the_status_of_an_account_without_a_state_tells_that_there_is_none(plain_environment: None) -> None:
    done = syft_flwr("status", "--email", DO)
    assert done.exit_code == 0, done.output
    assert "open in 0 processes" in done.output
    assert "no page token yet" in done.output


def test_the_status_tells_what_waits_without_asking_drive(
    drive: DriveEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYFT_FLWR_QUOTA_PER_DAY", "100000")
    with P2PFileRpc(DS, APP) as rpc:
        rpc.send(DO, APP, "messages", b"x")
        rpc.send(DO, APP, "messages", b"y")
    with DriveRuntime.open(DO) as runtime:
        runtime.poll_once()
        drive.clear_log()
        here = json.loads(syft_flwr("status", "--email", DO, "--json").stdout)
        assert here["drive"] == drive.url
        assert (here["processes"], here["pending"], here["spooled"], here["awaited"]) == (1, 2, 0, 0)
        assert here["swept_at"]
        assert here["cursor_at"]
        assert here["lately"]["waiting"] == 2
        assert here["budget_units"] == runtime.meter.snapshot().units
        assert here["quota_units_per_day"] == 100_000
    there = syft_flwr("status", "--email", DS).output
    assert "2 requests without an answer, the oldest for " in there
    assert "open in 0 processes" in there
    assert "2 sent; the last event was " in there
    assert "budget: 100,000 a day" in there
    assert drive.requests() == []


def test_the_status_tells_how_late_requests_are_handled_and_what_the_last_sweep_brought(drive: DriveEmulator) -> None:
    with drive.behaviour(foreign_children="omitted"), P2PFileRpc(DS, APP) as rpc:
        events = owner(bytes.upper)
        rpc.send(DO, APP, "messages", b"x")
        drive.advance(90.0)
        events.drain(20)
    told = json.loads(syft_flwr("status", "--email", DO, "--json").stdout)
    assert told["swept_found"] == 1
    assert 85 < told["handled_lag"] < 120
    shown = syft_flwr("status", "--email", DO).output
    assert "and brought 1 message that the feed had not" in shown
    assert re.search(r"was handled .* ago, begun .* after it was made", shown)
    assert re.search(r"a minute +[\d,]+ of 325,000", shown)
    assert "no request yet" in syft_flwr("status", "--email", DS).output


def test_a_request_from_the_shell_prints_its_reply(drive: DriveEmulator, tmp_path: Path) -> None:
    (tmp_path / "body").write_bytes(b"from a file")
    with serving(owner(lambda body: body.upper() + b"\x00", email=DO)):
        one = syft_flwr("send", DO, "messages", "--app", APP, "--email", DS, typed=b"hello")
        other = syft_flwr("send", DO, "messages", "--app", APP, "--email", DS, "--file", tmp_path / "body")
    assert (one.exit_code, one.stdout_bytes) == (0, b"HELLO\x00"), one.output
    assert (other.exit_code, other.stdout_bytes) == (0, b"FROM A FILE\x00")
    assert f"waiting for {DO}" in one.stderr


def test_a_request_that_is_not_answered_in_time_is_withdrawn(drive: DriveEmulator) -> None:
    done = syft_flwr("send", DO, "messages", "--app", APP, "--email", DS, "--timeout", "0.1", typed="hello")
    assert done.exit_code == 1
    assert f"{DO} did not answer within 0.1 s" in done.stderr
    assert done.stdout == ""
    assert messages(drive) == []


def test_a_handler_that_fails_fails_the_request(drive: DriveEmulator) -> None:
    def fail(_: bytes) -> bytes:
        raise ValueError("no such table")

    with serving(owner(fail, email=DO)):
        done = syft_flwr("send", DO, "messages", "--app", APP, "--email", DS, typed="hello")
    assert done.exit_code == 1
    sent, spent, error = done.stderr.splitlines()
    assert sent.startswith("sent 5 bytes")
    assert spent.startswith("spent ")
    assert "could not handle request" in error


def test_peers_are_added_listed_and_removed(drive: DriveEmulator) -> None:
    assert "no inbox with anybody" in syft_flwr("peers", "--email", DO).output
    added = syft_flwr("peers", "add", DS, "--app", APP, "--email", DO)
    assert added.stdout == f"{DO} and {DS} have inboxes for {APP}\n"
    roots = [file for file in drive.files() if file.name.startswith("syft_outbox_inbox_")]
    assert [file.roles for file in roots] == [{DO: "owner", DS: "writer"}] * 2
    listed = syft_flwr("peers", "list", "--email", DO).stdout
    assert listed.splitlines()[0] == DS
    assert sorted(listed.splitlines()[1:]) == [
        "  from them: yours, both can write",
        "  to them:  yours, both can write",
    ]
    assert [peer["email"] for peer in json.loads(syft_flwr("peers", "--json", "--email", DS).stdout)] == [DO]

    refused = syft_flwr("peers", "remove", DS, "--email", DO, typed="n\n")
    assert (refused.exit_code, "nothing was deleted" in refused.output) == (1, True)
    theirs = syft_flwr("peers", "remove", DO, "--email", DS, "--yes")
    assert f"belongs to {DO}, and stays" in theirs.output
    done = syft_flwr("peers", "remove", DS, "--email", DO, "--yes")
    assert done.output.endswith("2 deleted\n")
    assert not [file for file in drive.files() if file.name.startswith("syft_outbox_inbox_")]


def test_what_is_told_after_a_question_without_an_answer_stands_on_lines_of_its_own(drive: DriveEmulator) -> None:
    assert syft_flwr("peers", "add", DO, "--app", APP, "--email", DS).exit_code == 0
    question, spent, error = syft_flwr("peers", "remove", DO, "--email", DS).stderr.splitlines()
    assert question == "Delete, with all messages in them? [y/N]: "
    assert spent.startswith("spent ")
    assert error.startswith("error: an answer is needed")


def test_an_option_before_the_command_that_it_is_for_is_not_passed_over() -> None:
    done = syft_flwr("peers", "--email", DO, "list")
    assert (done.exit_code, "put it behind list" in done.output) == (2, True)


def test_a_peer_that_was_mistyped_is_suggested(drive: DriveEmulator) -> None:
    syft_flwr("peers", "add", DS, "--app", APP, "--email", DO)
    done = syft_flwr("peers", "remove", DS.replace("example", "exmaple"), "--email", DO, "--yes")
    assert (done.exit_code, f"did you mean {DS}?" in done.output) == (1, True)


def test_the_state_of_an_emulator_that_is_gone_is_shown_and_then_removed(
    drive: DriveEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    with DriveEmulator() as other:
        monkeypatch.setenv("DRIVE_EMULATOR_HOST", other.host)
        with DriveRuntime.open(DO) as runtime:
            runtime.poll_once()
        gone = account_of(DO).directory
    monkeypatch.setenv("DRIVE_EMULATOR_HOST", drive.host)
    with DriveRuntime.open(DO) as runtime:
        runtime.poll_once()
    stays = account_of(DO).directory

    kept = syft_flwr("clean", typed="n\n")
    assert str(gone) in kept.output
    assert str(stays) not in kept.output
    assert gone.exists()
    assert syft_flwr("clean", "--yes").exit_code == 0
    assert (gone.exists(), stays.exists()) == (False, True)
    assert syft_flwr("clean").output == "nothing to remove\n"


def test_old_messages_in_drive_are_shown_and_then_removed(drive: DriveEmulator) -> None:
    with P2PFileRpc(DS, APP) as rpc:
        old = rpc.send(DO, APP, "messages", b"x")
        drive.advance(10 * 86_400)
        new = rpc.send(DO, APP, "messages", b"y")
    with PlainAccount(drive, DS) as account:
        account.put("notes.txt", "root", b"not ours")
    done = syft_flwr("clean", "--drive", "--email", DS, typed="y\n")
    assert done.exit_code == 0, done.output
    assert old in done.output
    assert messages(drive) == [f"{new}.request"]
    assert "notes.txt" in [file.name for file in drive.files()]
