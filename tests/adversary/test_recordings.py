"""A recorded feed of somebody else's is read as data: hostile ones are refused with a word, and keep nobody waiting."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_printing import HOSTILE, assert_quiet
from typer.testing import CliRunner

from accounts import APP, DO, DS, PlainAccount, owner
from syft_flwr.cli.main import app
from syft_flwr.errors import RecordingError
from syft_flwr.inline import to_properties
from syft_flwr.recording import read_recording
from syft_flwr.recording.recorder import Recorder
from syft_flwr.recording.tap import GatewayTap
from syft_flwr.replay import replay
from syft_flwr.replay.recorded_drive import recorded_uploads
from syft_flwr.rpc import P2PFileRpc
from syft_flwr.runtime import DriveRuntime
from syft_flwr.testing import DriveEmulator
from syft_flwr.testing.clock import ManualClock
from syft_flwr.testing.memory_drive import MemoryDrive

COMPLETE = Path(__file__).parents[1] / "recordings" / "complete.jsonl"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    copy = tmp_path / "feed.jsonl"
    shutil.copyfile(COMPLETE, copy)
    shutil.copytree(f"{COMPLETE}.bodies", f"{copy}.bodies")
    return copy


def change(path: Path, spoil: Callable[[list[dict[str, Any]]], object]) -> None:
    documents = [json.loads(line) for line in path.read_text().splitlines()]
    spoil(documents)
    path.write_text("".join(json.dumps(document) + "\n" for document in documents))


HUGE = 10**400


@pytest.mark.parametrize(
    "spoil",
    [
        lambda lines: lines[0].update(time=1e300),
        lambda lines: lines[0].update(time=float("nan")),
        lambda lines: lines[0].update(time=float("-inf")),
        lambda lines: lines[0].update(time=HUGE),
        lambda lines: lines[-1].update(at=1e300),
        lambda lines: lines[-1].update(at=float("inf")),
        lambda lines: lines[-1].update(at=float("nan")),
        lambda lines: lines[-1].update(at=HUGE),
        lambda lines: lines[1].update(at=-1),
        lambda lines: lines.insert(1, {"at": 0, "download": "f", "size": -1, "sha256": None}),
        lambda lines: lines.insert(1, {"at": 0, "download": "f", "size": HUGE, "sha256": None}),
        lambda lines: lines.insert(1, {"at": 0, "download": "f", "size": 1, "sha256": "../../../etc/passwd"}),
        lambda lines: lines.insert(1, {"at": 0, "sweep": [{"id": "f", "size": "9" * 5_000}]}),
        lambda lines: lines.insert(1, {"at": 0, HOSTILE: HOSTILE * 99}),
    ],
)
def test_absurd_numbers_and_names_are_refused(path: Path, spoil: Callable[..., object]) -> None:
    change(path, spoil)
    with pytest.raises(RecordingError) as error:
        read_recording(path)
    assert_quiet(str(error.value))
    assert len(str(error.value)) < 1_000
    done = CliRunner().invoke(app, ["replay", str(path)])
    assert done.exit_code == 1
    assert "error:" in done.output


def test_a_line_nested_deep_is_refused(path: Path) -> None:
    path.write_text(path.read_text() + '{"at": 1, "poll": ' + "[" * 200_000 + "\n")
    with pytest.raises(RecordingError, match="is not JSON"):
        read_recording(path)


def pipe(place: Path) -> None:
    os.mkfifo(place)


def device(place: Path) -> None:
    place.symlink_to("/dev/zero")


def directory(place: Path) -> None:
    place.mkdir()


@pytest.mark.parametrize("make", [pipe, device, directory])
def test_what_is_no_plain_file_is_refused_at_once(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / "feed.jsonl")
    with pytest.raises(RecordingError, match="can't read it"):
        read_recording(tmp_path / "feed.jsonl")


def link(place: Path) -> None:
    place.with_name("secret").write_bytes(b"secret")
    place.symlink_to(place.with_name("secret"))


@pytest.mark.parametrize("make", [pipe, device, directory, link])
def test_a_body_that_is_no_plain_file_is_refused_at_once(make: Callable[[Path], None], path: Path) -> None:
    body = next(body for body in Path(f"{path}.bodies").iterdir() if not body.name.startswith("."))
    body.unlink()
    make(body)
    with pytest.raises(RecordingError, match="its body can't be read"):
        read_recording(path)


def test_a_body_that_is_exchanged_after_the_check_is_not_followed(path: Path) -> None:
    recording = read_recording(path)
    for body in list(Path(f"{path}.bodies").iterdir()):
        if not body.name.startswith("."):
            body.unlink()
            body.symlink_to("/dev/zero")
    with pytest.raises(OSError, match="symbolic"):
        recorded_uploads(recording)


def test_a_recording_keeps_no_more_bodies_than_it_may(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tap = GatewayTap(MemoryDrive(ManualClock()).gateway("me@example.com"))
    with Recorder(
        tmp_path / "feed.jsonl",
        tap,
        account="me@example.com",
        start={"token": "1", "folders": [], "pending": [], "futures": [], "done": [], "marks": {}},
        clock=ManualClock(),
        bodies=True,
        max_bodies=1_000,
        report=lambda error: pytest.fail(str(error)),
    ) as recorder:
        for number in range(5):
            recorder.uploading(f"id{number}", f"{number}.request", "p", bytes([number]) * 400, None)
    kept = [body for body in (tmp_path / "feed.jsonl.bodies").iterdir() if not body.name.startswith(".")]
    assert len(kept) == 2
    assert caplog.text.count("no more room") == 1
    assert len(read_recording(tmp_path / "feed.jsonl").entries) == 6


def test_redaction_says_that_it_is_no_anonymisation() -> None:
    assert "no anonymisation" in " ".join(
        CliRunner().invoke(app, ["record", "--help"]).output.replace("│", " ").split()
    )


def test_only_the_bodies_of_admitted_messages_are_kept(drive: DriveEmulator, tmp_path: Path) -> None:
    path = tmp_path / "feed.jsonl"
    [strange] = to_properties(b"strange body")
    with PlainAccount(drive, "mallory@example.net") as mallory, P2PFileRpc(DS, APP) as rpc:
        with DriveRuntime.open(DO) as runtime, runtime.record_to(path, bodies=True):
            events = owner(bytes.upper, allowed_senders=[DS])
            detach = events.attach(runtime)
            runtime.poll_once()
            folder = mallory.inbox(DS, DO)
            mallory.put("00000000-0000-4000-8000-000000000001.request", folder, b"strange body", strange)
            future = rpc.send(DO, APP, "messages", b"genuine body")
            runtime.poll_once()
            runtime.drain(20)
            detach()
        assert rpc.wait([future], 20)
    kept = {body.read_bytes() for body in Path(f"{path}.bodies").iterdir() if not body.name.startswith(".")}
    assert kept == {b"genuine body", b"GENUINE BODY"}
    assert strange["b0"] not in path.read_text()
    with replay(path) as replayed:
        events = owner(bytes.upper, allowed_senders=[DS])
        events.attach(replayed.runtime)
        replayed.run()
        assert [upload.body for upload in replayed.uploads] == [b"GENUINE BODY"]
