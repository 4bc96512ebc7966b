"""Recording beside an account's working processes: nothing is missing, or it is said what."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from accounts import APP, DO, DS, PATIENCE, owner, serving, wait_until
from onlookers import Recording, directory
from syft_flwr.errors import RecordingError
from syft_flwr.feed import read_recording
from syft_flwr.recording import recorder
from syft_flwr.recording.reader import repair
from syft_flwr.replay import replay
from syft_flwr.rpc import P2PFileRpc
from syft_flwr.runtime import DriveRuntime
from syft_flwr.runtime.taps import SharedTap, Tap
from syft_flwr.testing import DriveEmulator
from syft_flwr.testing.regression import compare

LARGE = 5_000
"""Bytes that no file's properties hold."""


def answer(body: bytes) -> bytes:
    return b"re:" + body[::-1]


def ask(bodies: list[bytes]) -> None:
    """Send requests, take the answers, and leave nothing of it in Drive."""
    with P2PFileRpc(DS, APP) as rpc:
        for body in bodies:
            future = rpc.send(DO, APP, "messages", body)
            assert rpc.wait([future], PATIENCE) == {future: answer(body)}
            rpc.delete_future(future)


def test_exchanges_that_are_gone_at_once_are_recorded_whole_and_replay_to_the_same_replies(
    drive: DriveEmulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "feed.jsonl"
    bodies = [b"%d" % number for number in range(5)] + [os.urandom(LARGE)]
    with serving(owner(answer)):
        ask([b"before"])
        with Recording(path):
            ask(bodies)
    with replay(path) as feed:
        feed.serve(owner(answer))
        feed.run()
        feed.raise_errors()
        assert [reply.body for reply in feed.replies] == [answer(body) for body in bodies]
        assert {upload.name: upload.body for upload in feed.uploads} == {
            upload.name: upload.body for upload in feed.recorded_uploads
        }
    assert compare(read_recording(path), answer).differences == []
    said = capsys.readouterr().err
    assert "6 requests with 6 replies" in said
    assert "lacks" not in said
    assert not (directory() / "taps").exists()


def test_a_requester_s_recording_has_what_it_sent_and_what_was_answered(
    drive: DriveEmulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "feed.jsonl"
    with serving(owner(answer)), P2PFileRpc(DS, APP) as rpc, DriveRuntime.open(DS) as runtime, Recording(path, DS):
        futures = rpc.send_many([(DO, APP, "messages", os.urandom(LARGE)) for _ in range(3)])
        assert len(rpc.wait(futures, PATIENCE)) == 3
        unread = rpc.send(DO, APP, "messages", b"nobody reads the answer")
        assert runtime.answered([unread], PATIENCE) == {unread}
    responses = []
    with replay(path) as feed:
        feed.responses.subscribe(responses.append)
        feed.run()
    assert {response.future_id for response in responses} == {*futures, unread}
    said = capsys.readouterr().err
    assert "4 sent with 4 responses" in said
    assert f"it lacks the body of {unread}.response, which no process downloaded meanwhile" in said


def test_a_process_that_comes_later_is_recorded_from_its_first_message_on(drive: DriveEmulator, tmp_path: Path) -> None:
    path = tmp_path / "feed.jsonl"
    with P2PFileRpc(DS, APP) as rpc, Recording(path):
        futures = [rpc.send(DO, APP, "messages", b"waits")]
        wait_until(lambda: '"download"' in path.read_text())
        with serving(owner(answer)):
            futures.append(rpc.send(DO, APP, "messages", b"comes"))
            assert len(rpc.wait(futures, PATIENCE)) == 2
    with replay(path) as feed:
        feed.serve(owner(answer))
        feed.run()
        assert sorted(reply.body for reply in feed.replies) == sorted([answer(b"waits"), answer(b"comes")])


def test_a_recording_that_goes_on_says_what_passed_meanwhile(
    drive: DriveEmulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "feed.jsonl"
    with serving(owner(answer)):
        with Recording(path):
            ask([b"1"])
        ask([b"2", b"3"])
        capsys.readouterr()
        with Recording(path):
            ask([b"4"])
    assert "it lacks 2 messages of the time when nothing recorded\n" in capsys.readouterr().err
    with replay(path) as feed:
        feed.serve(owner(answer))
        feed.run()
        assert [reply.body for reply in feed.replies] == [answer(b"1"), answer(b"4")]


def test_a_recording_that_lacks_rows_of_the_log_is_not_taken_for_the_whole(
    drive: DriveEmulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "feed.jsonl"
    with serving(owner(answer)), Recording(path) as recording:
        ask([b"1"])
        recording.recording._log.lost(7)
        ask([b"2"])
    assert "it lacks 7 rows of the event log" in capsys.readouterr().err
    with pytest.raises(RecordingError, match=r"has no end.*--repair"):
        read_recording(path)
    repair(path)
    assert len(compare(read_recording(path), answer).differences) == 0


def test_a_recording_ends_after_so_many_messages(drive: DriveEmulator, tmp_path: Path) -> None:
    path = tmp_path / "feed.jsonl"
    with serving(owner(answer)), Recording(path, until=2) as recording:
        ask([b"1", b"2"])
        recording.join()
    assert read_recording(path).ended


def test_a_full_disk_ends_the_recording_and_nobody_else(
    drive: DriveEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    append = recorder._append

    def full(descriptor: int, document: Mapping[str, Any]) -> None:
        if "download" in document:
            raise OSError(errno.ENOSPC, "No space left on device")
        append(descriptor, document)

    monkeypatch.setattr(recorder, "_append", full)
    with serving(owner(answer)), Recording(tmp_path / "feed.jsonl") as recording:
        ask([b"1", b"2"])
        recording.join()
    assert recording.recording.lost == ["No space left on device"]
    assert "has" not in capsys.readouterr().err.splitlines()[-1]


def test_what_a_dead_recorder_left_is_removed_and_a_full_disk_stops_nobody(tmp_path: Path) -> None:
    shared = SharedTap(tmp_path)
    shared.downloaded("file", None)  # nobody records
    tap = Tap(tmp_path, bodies=True)
    body = tmp_path / "body"
    body.write_bytes(b"content")
    shared.downloaded("file", body)
    shared.uploading("reply", "x.response", "folder", b"answer", {"status": "error"})
    taken = [(each.document, each.body and each.body.read_bytes()) for each in tap.take()]
    assert taken == [
        ({"download": "file", "size": 7}, b"content"),
        (
            {
                "upload": {
                    "id": "reply",
                    "name": "x.response",
                    "parent": "folder",
                    "properties": {"status": "error"},
                },
                "size": 6,
            },
            b"answer",
        ),
    ]
    for each in tap.take():
        each.drop()
    assert tap.take() == []
    shared.downloaded("file", tmp_path / "not there")
    assert tap.take() == []
    dead = tmp_path / "taps" / "1-0000000000000000"
    shutil.copytree(tap._directory, dead)
    shared.downloaded("file", body)
    assert not dead.exists()
    tap.close()
    tap.close()
