"""What strangers and participants write is data in every command that shows it, as text and as JSON."""

from __future__ import annotations

import json
import os
import pty
from pathlib import Path
from typing import Any

import pytest
from test_printing import HOSTILE, assert_quiet
from typer.testing import CliRunner

from accounts import APP, DO, DS, PlainAccount, owner, serving
from syft_flwr.cli.main import app
from syft_flwr.cli.send import _write
from syft_flwr.testing import DriveEmulator

MALLORY = "mallory@example.net"


def syft_flwr(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def quiet_lines(output: str) -> list[str]:
    lines = output.split("\n")
    for line in lines:
        assert_quiet(line)
    return lines


@pytest.fixture
def strangers_folders(drive: DriveEmulator) -> None:
    """Folders of a stranger that bear the names of inboxes: of a partner, and of what is no address."""
    with PlainAccount(drive, MALLORY) as mallory:
        for sender in (DS, "evil\x1b[2J\u202e\u200b@example.com", f"x\n{DS}", "\x9b31m@example.com"):
            mallory.share(mallory.folder(f"syft_outbox_inbox_{sender}_to_{DO}"), DO)


@pytest.mark.usefixtures("strangers_folders")
def test_peers_tells_a_strangers_folder_from_an_inbox_and_prints_no_name_as_it_is(drive: DriveEmulator) -> None:
    drive.clear_log()
    lines = quiet_lines(syft_flwr("peers", "--email", DO).output)
    assert lines[lines.index(DS) + 1] == "  from them: a stranger's, and not used"
    assert lines.count("  from them: a stranger's, and not used") == 4
    told = json.loads(syft_flwr("peers", "--email", DO, "--json").stdout)
    for peer in told:
        assert_quiet(peer["email"])
        assert [(inbox["is_foreign"], inbox["is_open"]) for inbox in peer["inboxes"]] == [(True, False)]
        assert_quiet(peer["inboxes"][0]["name"])
    assert len(drive.requests()) <= 4, "strangers' folders are not asked about one by one"


@pytest.mark.usefixtures("strangers_folders")
def test_the_doctor_counts_no_stranger_among_the_partners(drive: DriveEmulator) -> None:
    done = syft_flwr("doctor", "--email", DO)
    quiet_lines(done.output)
    assert "no inbox with anybody yet" in done.output
    [peers] = [
        s for s in json.loads(syft_flwr("doctor", "--email", DO, "--json").stdout)["steps"] if s["step"] == "peers"
    ]
    assert_quiet(json.dumps(peers, ensure_ascii=False))


@pytest.mark.usefixtures("strangers_folders")
def test_peers_remove_says_whose_a_folder_is_and_leaves_it(drive: DriveEmulator) -> None:
    done = syft_flwr("peers", "remove", DS, "--email", DO, "--yes")
    assert "is a stranger's, and stays" in done.output
    assert len([file for file in drive.files() if file.owner == MALLORY]) == 4


def test_a_reply_that_goes_to_a_terminal_steers_it_not_and_one_that_goes_to_a_file_is_whole(
    monkeypatch: pytest.MonkeyPatch, drive: DriveEmulator
) -> None:
    reply = f"one\n{HOSTILE}\xff".encode()
    terminal, end = pty.openpty()
    with os.fdopen(end, "w") as stdout:
        monkeypatch.setattr("sys.stdout", stdout)
        _write(reply)
        stdout.flush()
        shown = os.read(terminal, 10_000).decode().replace("\r\n", "\n")
    os.close(terminal)
    monkeypatch.undo()
    quiet_lines(shown)
    assert shown.startswith("one\n")

    monkeypatch.setenv("DRIVE_EMULATOR_HOST", drive.host)
    with serving(owner(lambda _: reply, allowed_senders=[DS])):
        done = CliRunner().invoke(app, ["send", DO, "messages", "--app", APP, "--email", DS], input=b"x")
    assert done.stdout_bytes == reply


def test_what_a_handler_says_in_its_error_is_quiet_in_the_shell(drive: DriveEmulator) -> None:
    def fail(_: bytes) -> bytes:
        raise ValueError(HOSTILE)

    with serving(owner(fail, allowed_senders=[DS], share_errors=True)):
        done = CliRunner().invoke(app, ["send", DO, "messages", "--app", APP, "--email", DS], input=b"x")
    assert done.exit_code == 1
    quiet_lines(done.stderr)
