"""How commands end when something goes wrong: one line, an exit code, and a traceback only for those who ask."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from accounts import PlainAccount
from syft_flwr.cli import output
from syft_flwr.cli.main import app
from syft_flwr.cli.output import errors_end_the_command
from syft_flwr.recording import recorder
from syft_flwr.testing import DriveEmulator


def syft_flwr(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def ending(error: BaseException, *options: str) -> Any:
    """Return how a command ends in which an error happens."""
    command = typer.Typer()

    @command.command()
    def go(verbose: int = typer.Option(0, "-v", count=True)) -> None:
        with errors_end_the_command():
            raise error

    return CliRunner().invoke(command, options)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "/data/x: the disk is full"),
        (errno.EROFS, "/data/x: this file system is read-only"),
        (errno.EACCES, "/data/x: you may not do this"),
        (errno.ENOTDIR, "/data/x: a file is in the way"),
        (errno.EIO, "/data/x: Input/output error"),
    ],
)
def test_an_error_of_the_system_is_one_line_that_names_the_file(number: int, words: str) -> None:
    done = ending(OSError(number, os.strerror(number), "/data/x"))
    assert done.exit_code == 1
    (line,) = done.output.splitlines()
    assert line.startswith(f"error: {words}")


def test_a_mistake_of_ours_asks_for_a_report_and_shows_its_traceback_on_demand_only() -> None:
    quiet = ending(KeyError("x"))
    assert (quiet.exit_code, len(quiet.output.splitlines())) == (1, 1)
    assert "unexpected KeyError: 'x'" in quiet.output
    assert "Traceback" in ending(KeyError("x"), "-vv").output


@pytest.mark.parametrize("place", [["-vv", "watch"], ["watch", "-vv"]])
def test_tracebacks_can_be_asked_for_on_either_side_of_the_command(place: list[str], plain_environment: None) -> None:
    assert "Traceback" in syft_flwr(*place).output
    assert "Traceback" not in syft_flwr("watch").output


def test_what_a_command_does_is_logged_on_demand_only(drive: DriveEmulator) -> None:
    said = []
    for options in ([], ["-v"], []):
        with drive.fault("error", method="about.get", status=503, times=1):
            said.append(syft_flwr("peers", "--email", "do@example.com", *options).stderr)
    assert ["trying again after" in text for text in said] == [False, True, False]


def test_what_a_person_reads_is_folded_between_words_and_addresses_stay_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    address = "https://console.cloud.google.com/apis/library/drive-googleapis.com/" + "x" * 40
    text = f"error: the API is not enabled in the project of this client: enable it at {address} and wait some minutes"
    lines = output.folded(text, 60).splitlines()
    assert [line for line in lines if len(line) > 60] == [f"    {address}"]
    assert " ".join(line.strip() for line in lines) == text

    said: list[str] = []
    monkeypatch.setattr(typer, "echo", lambda line, **_: said.append(line))
    monkeypatch.setenv("COLUMNS", "60")
    for is_terminal in (True, False):
        monkeypatch.setattr(output.sys, "stdout", SimpleNamespace(isatty=lambda is_terminal=is_terminal: is_terminal))
        output.say(text)
    assert [line.count("\n") for line in said] == [len(lines) - 1, 0]


def test_a_wait_is_told_once_it_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    told, said = threading.Event(), []

    def echo(text: str, **_: Any) -> None:
        said.append(text)
        told.set()

    monkeypatch.setattr(output, "_SLOW", 0.0)
    monkeypatch.setattr(typer, "echo", echo)
    with output.told_if_slow("round trip"):
        assert told.wait(30)
    assert said == ["round trip: waiting …"]


def test_an_interrupted_command_is_one_line_and_130() -> None:
    done = ending(KeyboardInterrupt())
    assert (done.exit_code, done.output) == (130, "interrupted\n")


def test_a_question_without_anyone_to_answer_it_is_no_interruption() -> None:
    command = typer.Typer()

    @command.command()
    def ask() -> None:
        with errors_end_the_command():
            typer.confirm("Sure?")

    done = CliRunner().invoke(command)
    assert (done.exit_code, "standard input" in done.output) == (1, True)


def test_the_second_ctrl_c_ends_a_command_that_is_still_closing() -> None:
    code = (
        "import os, signal, threading\n"
        "import typer\n"
        "from syft_flwr.cli.output import errors_end_the_command\n"
        "def command():\n"
        "    with errors_end_the_command():\n"
        "        try:\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "            threading.Event().wait()\n"
        "        finally:\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "            threading.Event().wait()\n"
        "typer.run(command)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


def test_ctrl_c_during_the_imports_is_one_line_and_130(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text(
        "import os, signal, threading\nos.kill(os.getpid(), signal.SIGINT)\nthreading.Event().wait()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-m", "syft_flwr", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


def test_the_handlers_of_signals_are_as_they_were_after_a_command() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    ending(KeyboardInterrupt())
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


@pytest.mark.parametrize("command", [["watch"], ["record", "--out", "feed.jsonl"]])
def test_a_state_directory_that_is_a_file_is_refused(
    command: list[str], drive: DriveEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "a-file"
    state.touch()
    monkeypatch.setenv("SYFT_FLWR_STATE_DIR", str(state))
    monkeypatch.chdir(tmp_path)
    done = syft_flwr(*command, "--email", "do@example.com")
    assert done.exit_code == 1
    assert f"SYFT_FLWR_STATE_DIR names a file, {state}" in done.output


def test_a_recording_to_a_full_disk_fails(drive: DriveEmulator) -> None:
    done = syft_flwr("record", "--out", "/dev/full", "--email", "do@example.com", "--for", "1")
    assert done.exit_code == 1
    assert "Traceback" not in done.output


def test_a_recording_ends_when_the_disk_becomes_full(
    drive: DriveEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, lines = recorder._append, []

    def full_after_two(descriptor: int, document: Mapping[str, Any]) -> None:
        lines.append(document)
        if len(lines) > 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        append(descriptor, document)

    monkeypatch.setattr(recorder, "_append", full_after_two)
    with PlainAccount(drive, "do@example.com") as account:
        account.folder("SyftBox")
    done = syft_flwr("record", "--out", tmp_path / "feed", "--email", "do@example.com", "--poll-interval", "0.05")
    assert done.exit_code == 1
    assert "any more: No space left on device; --repair makes" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("arguments", [["version"], ["--version"]])
def test_the_version_is_told_by_a_command_as_well(arguments: list[str]) -> None:
    done = syft_flwr(*arguments)
    assert (done.exit_code, done.output.startswith("syft-flwr ")) == (0, True)


RECORDING = Path(__file__).parents[1] / "recordings" / "complete.jsonl"
COMMAND = [sys.executable, "-m", "syft_flwr.cli.main"]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_character_that_the_locale_lacks_ends_nothing(encoding: str) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run(
        [*COMMAND, "replay", RECORDING], env=environment, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert b"request a@hospital.example ? owner@example.com" in done.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
@pytest.mark.parametrize("arguments", [["replay", RECORDING], ["version"], ["--version"], ["--help"]])
def test_lines_that_find_no_room_are_an_error(arguments: list[str | Path]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*COMMAND, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert done.returncode == 1
    assert done.stderr == "error: the disk is full; make room and start again\n"


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-"])
def test_a_stream_that_is_closed_ends_nothing(plain_environment: None, closed: str) -> None:
    script = f'exec "$0" -m syft_flwr.cli.main status --email me@example.com {closed}'
    done = subprocess.run(["sh", "-c", script, sys.executable], capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_question_to_which_no_answer_can_come_is_followed_by_its_error_on_a_line_of_its_own(
    plain_environment: None, tmp_path: Path
) -> None:
    (tmp_path / "state" / "emulators" / "127.0.0.1%3A9" / "do@example.com-0").mkdir(parents=True)
    done = syft_flwr("clean")
    assert done.exit_code == 1
    assert done.stderr.splitlines() == [
        "Remove 1? [y/N]: ",
        "error: an answer is needed, and standard input has none",
    ]
