"""``drive-emulator`` as a process of its own."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from emulator_steps import ALICE, FILES, Raw, create

from drive_emulator import DriveEmulator
from drive_emulator.__main__ import main

UPLOAD = f"/upload{FILES}"
COMMAND = [sys.executable, "-m", "drive_emulator"]


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_listens_and_ends_cleanly(tmp_path: Path, ending: signal.Signals) -> None:
    with subprocess.Popen(
        [*COMMAND, "--port", "0", "--json", "--data", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout
        ready = json.loads(child.stdout.readline())
        assert ready["host"] == f"127.0.0.1:{ready['port']}"
        raw = Raw(ready["port"], ALICE)
        assert raw("POST", FILES, {"name": "x"}).status == 200
        assert raw("GET", "/emulator/stats").status == 404

        child.send_signal(ending)

        _, errors = child.communicate(timeout=20)
        raw.close()
        assert (child.returncode, errors) == (0, "")


@pytest.mark.parametrize("interrupts", [1, 2])
@pytest.mark.parametrize("call", ["upload", "download", "batch"])
def test_it_ends_without_a_word_in_the_middle_of_a_call(call: str, interrupts: int) -> None:
    command = [*COMMAND, "--port", "0", "--json", "--control"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout
        ready = json.loads(child.stdout.readline())
        with closing(Raw(ready["port"], ready["control"])) as control:
            control("POST", "/emulator/faults", {"kind": "latency", "method": "files.list", "seconds": 100})
        with closing(Raw(ready["port"], ALICE)) as alice:
            large = alice("POST", f"{UPLOAD}?uploadType=media", bytes(32 * 1024**2)).json["id"]
        slow = "--b\r\nContent-Type: application/http\r\n\r\nGET /drive/v3/files\r\n\r\n" * 3 + "--b--"
        line, body = {
            "upload": (f"POST {UPLOAD}?uploadType=media", "half"),
            "download": (f"GET {FILES}/{large}?alt=media", ""),
            "batch": ("POST /batch", slow),
        }[call]
        length = 2 * len(body) if call == "upload" else len(body)
        head = f"{line} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {ALICE}\r\nExpect: 100-continue\r\n"
        head += f"Content-Type: multipart/mixed; boundary=b\r\nContent-Length: {length}\r\n\r\n"
        with closing(socket.create_connection(("127.0.0.1", ready["port"]), timeout=30)) as connection:
            connection.sendall(head.encode())
            assert connection.recv(8) == b"HTTP/1.1"
            connection.sendall(body.encode())
            for _ in range(interrupts):
                child.send_signal(signal.SIGINT)
            _, errors = child.communicate(timeout=20)
        assert (child.returncode, errors) == (0, "")


def test_people_are_told_what_to_export() -> None:
    with subprocess.Popen([*COMMAND, "--port", "0"], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        assert child.stdout.readline().startswith("Drive emulator on http://127.0.0.1:")
        assert child.stdout.readline().startswith("export DRIVE_EMULATOR_HOST=127.0.0.1:")
        child.terminate()
        child.communicate(timeout=20)


def test_a_port_in_use_is_a_clear_error(emulator: DriveEmulator) -> None:
    ended = subprocess.run(
        [*COMMAND, "--port", str(emulator.port)], capture_output=True, text=True, timeout=30, check=False
    )

    assert ended.returncode == 1
    assert (
        ended.stderr
        == f"error: port {emulator.port} is in use; choose another with --port, or --port 0 for a free one\n"
    )


def test_a_directory_that_cannot_be_used_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    ended = subprocess.run(
        [*COMMAND, "--port", "0", "--data", str(tmp_path / "file")],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert ended.returncode == 1
    assert ended.stderr.startswith("error: can't use")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("taken", "options"),
    [
        ("data/blobs", ["--data", "data"]),
        ("data/tls", ["--data", "data", "--tls"]),
        ("data/blobs/directory/file", ["--data", "data"]),
        ("file", ["--token-file", f"{ALICE}=file/token.json"]),
    ],
)
def test_a_file_that_cannot_be_used_is_named_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], taken: str, options: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    for path in (tmp_path / "temporary" / "x", tmp_path / taken):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    assert main(["--port", "0", *options]) == 1

    assert capsys.readouterr().err.startswith(f"error: can't use {taken.removesuffix('/file')}")
    assert [path.name for path in (tmp_path / "temporary").iterdir()] == ["x"]


def test_the_handle_reports_a_child_that_does_not_start(emulator: DriveEmulator) -> None:
    with pytest.raises(RuntimeError, match="is in use"):
        DriveEmulator(port=emulator.port, process=True).start()


def test_the_handle_in_this_process_reports_a_port_in_use(emulator: DriveEmulator) -> None:
    with pytest.raises(OSError, match="in use"):
        DriveEmulator(port=emulator.port).start()


@pytest.mark.parametrize("process", [False, True])
def test_an_emulator_can_be_stopped_twice_and_started_again_where_it_was(tmp_path: Path, process: bool) -> None:
    drive = DriveEmulator(data=tmp_path, process=process).start()
    port = drive.port
    raw = Raw(port, ALICE)
    raw("POST", FILES, {"name": "x"})
    drive.stop()
    drive.stop()
    raw.close()

    with drive:
        assert drive.port == port
        assert [file.name for file in drive.files()] == ["x"]


def test_only_a_child_can_be_killed(emulator: DriveEmulator) -> None:
    with pytest.raises(RuntimeError, match="child"):
        emulator.kill()


def test_a_state_is_saved_loaded_and_begun_with(
    emulator: DriveEmulator, alice: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRIVE_EMULATOR_HOST", emulator.host)
    monkeypatch.setenv("DRIVE_EMULATOR_CONTROL", emulator.control_token)
    state = str(tmp_path / "state")
    create(alice, "kept")
    assert main(["save", state]) == 0
    create(alice, "later")
    assert main(["load", state]) == 0
    assert [file.name for file in emulator.files()] == ["kept"]

    command = [*COMMAND, "--port", "0", "--json", "--load", state]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        raw = Raw(json.loads(child.stdout.readline())["port"], ALICE)
        assert [file["name"] for file in raw("GET", FILES).json["files"]] == ["kept"]
        raw.close()
        child.terminate()
        child.communicate(timeout=20)


def test_what_can_not_be_saved_or_loaded_is_a_clear_error(
    emulator: DriveEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = str(tmp_path / "missing")
    assert main(["--port", "0", "--load", missing]) == 1
    assert f"error: The snapshot {missing} can't be read" in capsys.readouterr().err
    assert main(["--port", str(emulator.port), "save", missing]) == 1
    assert "set DRIVE_EMULATOR_CONTROL as it printed it" in capsys.readouterr().err
    monkeypatch.setenv("DRIVE_EMULATOR_HOST", "127.0.0.1:1")
    assert main(["load", missing]) == 1
    assert "error: no emulator answers on 127.0.0.1:1" in capsys.readouterr().err
