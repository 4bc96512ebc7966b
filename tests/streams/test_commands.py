"""The commands watch, record and replay."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

import pytest
from typer.testing import CliRunner

from accounts import APP, DO, DS, PATIENCE, owner, serving, wait_until
from syft_flwr.cli.main import app
from syft_flwr.feed import read_recording
from syft_flwr.rpc import P2PFileRpc
from syft_flwr.testing import DriveEmulator

RECORDINGS = Path(__file__).parents[1] / "recordings"
COMPLETE = str(RECORDINGS / "complete.jsonl")


def run(*arguments: str, code: int = 0) -> Any:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == code, result.output
    return result


def documents(*arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run("replay", COMPLETE, "--json", *arguments).stdout.splitlines()]


def test_a_recording_is_printed_as_lines() -> None:
    lines = run("replay", COMPLETE).stdout.splitlines()
    assert len(lines) == 10
    assert "request a@hospital.example → owner@example.com flwr/diabetes/updates 21 B" in lines[0]
    assert sum("rejected foreign_folder" in line for line in lines) == 1


def test_a_recording_is_printed_as_json_with_the_recorded_times() -> None:
    first = documents()[0]
    header = read_recording(COMPLETE).header
    assert first["event"] == "request"
    assert first["sender"] == "a@hospital.example"
    assert first["time"].startswith("20")
    assert header.account == first["recipient"]


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        (["--app", "flwr/digits"], 2),
        (["--app", "flwr/digits", "--app", "flwr/diabetes"], 9),
        (["--endpoint", "/updates"], 9),
        (["--sender", "A@hospital.example"], 6),
        (["--sender", "a@hospital.example", "--app", "flwr/diabetes"], 4),
        (["--kind", "rejected"], 1),
        (["--kind", "request", "--kind", "rejected"], 10),
        (["--kind", "change", "--count", "3"], 3),
        (["--count", "2"], 2),
        (["--app", "none"], 0),
    ],
)
def test_filters_choose_what_is_printed(filters: list[str], count: int) -> None:
    assert len(documents(*filters)) == count


def test_a_recording_is_printed_at_a_pace() -> None:
    assert len(run("replay", str(RECORDINGS / "delayed.jsonl"), "--speed", "100000").stdout.splitlines()) == 3
    assert "must be positive" in run("replay", COMPLETE, "--speed", "0", code=2).output


def test_what_can_t_be_read_is_one_line_of_error(tmp_path: Path) -> None:
    path = tmp_path / "feed.jsonl"
    path.write_text(Path(COMPLETE).read_text()[:-5])
    shutil.copytree(f"{COMPLETE}.bodies", f"{path}.bodies")
    result = run("replay", str(path), code=1)
    assert result.stderr.startswith(f"error: {path}: line ")
    assert "--allow-cut-off" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert "has no end" in run("replay", str(path), "--allow-cut-off").stderr


def test_a_reader_who_has_seen_enough_ends_it() -> None:
    command = f"{sys.executable} -m syft_flwr.cli.main replay {COMPLETE} | head -1"
    shell = ["bash", "-o", "pipefail", "-c", command]
    done = subprocess.run(shell, capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1


class Command:
    """A command in a child process."""

    def __init__(self, *arguments: str) -> None:
        self.child = subprocess.Popen(
            [sys.executable, "-m", "syft_flwr.cli.main", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
        assert self.child.stderr is not None
        notice = self.child.stderr.readline()
        assert "Ctrl-C ends it" in notice, notice + self.child.stderr.read()

    def end(self, number: int = signal.SIGINT) -> tuple[str, str]:
        self.child.send_signal(number)
        out, errors = self.child.communicate(timeout=PATIENCE)
        assert self.child.returncode == 0, errors
        return out, errors

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.child.kill()
        self.child.communicate()


def ask(*bodies: bytes) -> None:
    with P2PFileRpc(DS, APP) as rpc:
        futures = rpc.send_many([(DO, APP, "messages", body) for body in bodies])
        assert len(rpc.wait(futures, PATIENCE)) == len(bodies)


def test_watching_shows_the_live_feed_and_takes_nothing_away(drive: DriveEmulator) -> None:
    options = ("--json", "--poll-interval", "0.1", "--count", "2", "--kind", "replied")
    with Command("watch", "--email", DO, *options) as command, serving(owner(bytes.upper)):  # until it was noticed
        ask(b"x", b"y")
        out, errors = command.child.communicate(timeout=PATIENCE)
    assert [json.loads(line)["reply_size"] for line in out.splitlines()] == [1, 1]
    assert "by the event log" in errors


def test_recording_writes_the_live_feed_with_bodies_until_ctrl_c(drive: DriveEmulator, tmp_path: Path) -> None:
    path = tmp_path / "feed.jsonl"
    bodies = {os.urandom(5_000), os.urandom(5_000)}  # too large to ride in the feed
    with Command("record", "--email", DO, "--out", str(path), "--bodies", "--poll-interval", "0.1") as command:
        with serving(owner(bytes.upper)):
            ask(*bodies)
        # Two or more: until the command sees that a process works, it follows the feed, and downloads as well.
        wait_until(lambda: path.read_text().count('"download"') >= 2 or command.child.poll() is not None)
        command.end()
    recording = read_recording(path)
    assert recording.ended
    downloads = (entry for entry in recording.entries if entry.kind == "download")
    assert {recording.body(entry.raw["sha256"]).read_bytes() for entry in downloads} == bodies


def test_recording_ends_after_a_time_or_by_sigterm(drive: DriveEmulator, tmp_path: Path) -> None:
    path = tmp_path / "feed.jsonl"
    run("record", "--email", DO, "--out", str(path), "--redact", "--for", "0.2")
    assert read_recording(path).ended
    with Command("record", "--email", DO, "--out", str(path), "--redact") as command:
        command.end(signal.SIGTERM)
    assert [entry.kind for entry in read_recording(path).entries].count("end") == 2
    assert (
        "can't be redacted and keep bodies"
        in run("record", "--email", DO, "--out", str(path), "--redact", "--bodies", code=1).stderr
    )


def test_a_recording_that_could_not_begin_leaves_no_file(
    plain_environment: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DRIVE_EMULATOR_HOST", "127.0.0.1:9")
    done = run("record", "--email", DO, "--out", str(tmp_path / "feed.jsonl"), "--bodies", code=1)
    assert "no answer from Drive" in done.stderr
    assert not list(tmp_path.glob("feed.jsonl*"))
