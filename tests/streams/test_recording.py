"""Recording a feed while it goes on."""

from __future__ import annotations

import json
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from accounts import APP, DO, DS, PATIENCE, Observed, PlainAccount, owner, serving, wait_until
from syft_flwr.errors import ConfigurationError, RecordingError
from syft_flwr.events import P2PFileEvents
from syft_flwr.exchange.requester import Request
from syft_flwr.feed import read_recording
from syft_flwr.models import Message
from syft_flwr.recording import GatewayTap, Recorder
from syft_flwr.recording.reader import repair
from syft_flwr.replay import Replay, replay
from syft_flwr.resources import FOLDER_MIME_TYPE
from syft_flwr.rpc import P2PFileRpc
from syft_flwr.runtime import DriveRuntime
from syft_flwr.testing import DriveEmulator, ManualClock, MemoryDrive, MemoryState, runtime_on


def echo(body: bytes) -> bytes:
    return b"re:" + body


def ask(count: int, sender: str = DS) -> list[bytes]:
    """Send requests and return their answers, in order."""
    with P2PFileRpc(sender, APP) as rpc:
        futures = rpc.send_many([(DO, APP, "messages", b"%d" % number) for number in range(count)])
        answers = rpc.wait(futures, PATIENCE)
        return [answers[future] for future in futures]


def messages_of(path: Path, use: Callable[[Replay], object] = lambda _: None) -> list[Message]:
    found: list[Message] = []
    with replay(path) as feed:
        feed.messages.subscribe(found.append)
        use(feed)
        feed.run()
    return found


def test_a_recording_replays_to_the_same_messages_calls_and_replies(drive: DriveEmulator, tmp_path: Path) -> None:
    path = tmp_path / "feed.jsonl"
    calls: list[bytes] = []

    def handler(body: bytes) -> bytes:
        calls.append(body)
        return echo(body)

    with Observed(DO) as live:
        live.runtime.record_to(path, bodies=True)
        with serving(owner(handler)):
            ask(12)
        assert live.errors == []
    live_calls, calls[:] = calls.copy(), []
    with replay(path) as feed:
        found: list[Message] = []
        feed.messages.subscribe(found.append)
        feed.serve(owner(handler))
        feed.run()
        recorded = {upload.name: upload.body for upload in feed.recorded_uploads}
        assert {upload.name: upload.body for upload in feed.uploads} == recorded
        assert len(recorded) == 12
    assert found == live.messages
    assert calls == live_calls
    assert feed.recording.ended


def test_a_recording_can_be_read_while_it_is_written(drive: DriveEmulator, tmp_path: Path) -> None:
    path = tmp_path / "feed.jsonl"
    with DriveRuntime.open(DO) as runtime, runtime.record_to(path), P2PFileRpc(DS, APP) as rpc:
        runtime.poll_once()
        for polls in range(1, 4):
            rpc.send(DO, APP, "messages", b"x")
            runtime.poll_once()
            recording = read_recording(path, allow_cut_off=True)
            assert [entry.kind for entry in recording.entries].count("poll") == 1 + polls
            assert not recording.ended


def test_only_its_owner_may_read_a_recording(drive: DriveEmulator, tmp_path: Path) -> None:
    path = tmp_path / "feed.jsonl"
    with DriveRuntime.open(DO) as runtime, runtime.record_to(path, bodies=True):
        pass
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "feed.jsonl.bodies").stat().st_mode) == 0o700


def test_a_recording_goes_on_where_an_earlier_one_ended(drive: DriveEmulator, tmp_path: Path) -> None:
    path = tmp_path / "feed.jsonl"
    seen: list[str] = []
    for _ in range(2):
        with Observed(DO) as live, live.runtime.record_to(path), serving(owner(echo)):
            ask(3)
        seen += [message.file_id for message in live.messages]
    assert [message.file_id for message in messages_of(path)] == seen
    assert [entry.kind for entry in read_recording(path).entries].count("resume") == 1


def test_what_a_killed_recorder_left_of_a_line_is_cut_off(drive: DriveEmulator, tmp_path: Path) -> None:
    path = tmp_path / "feed.jsonl"
    with DriveRuntime.open(DO) as runtime:
        with runtime.record_to(path):
            runtime.poll_once()
        whole = len(path.read_text().splitlines())
        with path.open("a") as file:
            file.write('{"at":1.0,"poll":[{"chan')
        with runtime.record_to(path):
            runtime.poll_once()
    recording = read_recording(path)
    assert recording.cut_off is None
    assert [entry.kind for entry in recording.entries][whole - 1 :] == ["resume", "end"]


def test_a_recording_has_one_writer_at_a_time(drive: DriveEmulator, tmp_path: Path) -> None:
    path = tmp_path / "feed.jsonl"
    with DriveRuntime.open(DO) as runtime:
        with runtime.record_to(path):
            runtime.poll_once()
            with pytest.raises(RecordingError, match="a recorder is at work on it"):
                runtime.record_to(path)
            with pytest.raises(RecordingError, match="a recorder is at work on it"):
                repair(path)
        runtime.record_to(path).close()
    assert [entry.kind for entry in read_recording(path).entries][-3:] == ["end", "resume", "end"]


def test_a_recording_begun_in_mid_stream_knows_what_was_done_before(drive: DriveEmulator, tmp_path: Path) -> None:
    path = tmp_path / "feed.jsonl"
    with Observed(DO) as live, serving(owner(echo)):
        ask(3)
        before = len(live.messages)
        with live.runtime.record_to(path):
            first = live.messages[0]
            polls = len(path.read_text().splitlines())
            drive.touch(DO, first.file_id)
            wait_until(lambda: first.file_id in "".join(path.read_text().splitlines(keepends=True)[polls:]))
            ask(2)
    assert messages_of(path) == live.messages[before:]


def test_a_requester_s_recording_replays_to_the_responses(drive: DriveEmulator, tmp_path: Path) -> None:
    path = tmp_path / "feed.jsonl"
    with Observed(DS) as requester, requester.runtime.record_to(path), serving(owner(echo)):
        ask(4)
        wait_until(lambda: len(requester.responses) == 4)
    responses: list[Message] = []
    messages_of(path, lambda feed: feed.responses.subscribe(responses.append))
    assert responses == requester.responses


def test_a_page_token_that_is_lost_is_part_of_the_recording(drive: DriveEmulator, tmp_path: Path) -> None:
    path = tmp_path / "feed.jsonl"
    with Observed(DO) as live, live.runtime.record_to(path), serving(owner(echo)):
        ask(1)
        with drive.fault("error", method="changes.list", account=DO, status=410, times=1):
            ask(2)
    assert "restart" in [entry.kind for entry in read_recording(path).entries]
    assert messages_of(path) == live.messages
    assert len(live.messages) == 3


def test_a_recording_belongs_to_one_account_and_one_choice_of_options(drive: DriveEmulator, tmp_path: Path) -> None:
    path = tmp_path / "feed.jsonl"
    with DriveRuntime.open(DO) as runtime:
        runtime.record_to(path).close()
        with pytest.raises(RecordingError, match="recorded with bodies False, not True"):
            runtime.record_to(path, bodies=True)
        with pytest.raises(RecordingError, match="recorded without redaction"):
            runtime.record_to(path, redact=True)
    with DriveRuntime.open(DS) as runtime, pytest.raises(RecordingError, match="recorded with account"):
        runtime.record_to(path)
    assert read_recording(path).ended


def test_what_is_no_recording_is_left_alone(drive: DriveEmulator, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("my notes\n")
    with DriveRuntime.open(DO) as runtime, pytest.raises(RecordingError, match="line 1 is not JSON"):
        runtime.record_to(path)
    assert path.read_text() == "my notes\n"


def test_a_file_that_can_t_be_written_is_an_error_at_once(drive: DriveEmulator, tmp_path: Path) -> None:
    with DriveRuntime.open(DO) as runtime:
        with pytest.raises(RecordingError, match="can't write"):
            runtime.record_to(tmp_path / "no" / "feed.jsonl")
        with pytest.raises(ConfigurationError, match="can't be redacted and keep bodies"):
            runtime.record_to(tmp_path / "feed.jsonl", redact=True, bodies=True)


def test_a_disk_that_fails_ends_the_recording_and_not_the_feed(drive: DriveEmulator, tmp_path: Path) -> None:
    with Observed(DO) as live:
        recorder = live.runtime.record_to(tmp_path / "feed.jsonl")
        live.runtime.poll_once()
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, recorder._file)
        os.close(full)
        with serving(owner(echo)):
            assert ask(2) == [b"re:0", b"re:1"]
        assert [each.where for each in live.errors] == ["recording the feed"]
        recorder.close()
    assert len(live.messages) == 2


def test_what_finds_messages_is_recorded_as_a_sweep_whichever_thread_asked_for_the_start_token(
    tmp_path: Path, manual_clock: ManualClock
) -> None:
    drive = MemoryDrive(manual_clock)
    with runtime_on(drive.gateway(DS), MemoryState(tmp_path), manual_clock, DS, inline=True) as scientist:
        scientist.send([Request(DO, APP, "messages", b"early")])
    tap, start = GatewayTap(drive.gateway(DO)), {"token": "1", "folders": [], "pending": [], "futures": [], "done": []}
    path = tmp_path / "feed.jsonl"
    with Recorder(path, tap, account=DO, start=start, clock=manual_clock, report=lambda error: None):
        sender = threading.Thread(target=tap.get_start_page_token)
        sender.start()
        sender.join(PATIENCE)
        for query in ("trashed = false", f"mimeType = '{FOLDER_MIME_TYPE}' and trashed = false"):
            assert list(tap.list_files(query))
    assert [entry.kind for entry in read_recording(path).entries] == ["restart", "sweep", "folders", "end"]


def test_redaction_replaces_addresses_and_names_each_by_the_same(drive: DriveEmulator, tmp_path: Path) -> None:
    plain, redacted = tmp_path / "plain.jsonl", tmp_path / "redacted.jsonl"
    with PlainAccount(drive, DO) as me:
        me.folder("holiday pictures")
    with Observed(DO) as live:
        live.runtime.record_to(plain)
        live.runtime.record_to(redacted, redact=True)
        live.runtime.poll_once()
        with serving(owner(echo)):
            with PlainAccount(drive, DO) as me:
                me.put("diary.txt", me.folder("secrets of mine"), b"", {"mood": "glad"})
            ask(2)
            ask(1, "other@example.net")
            wait_until(lambda: "diary.txt" in plain.read_text())
    text = redacted.read_text()
    for name in (DO, DS, "other@", "example.org", "diary", "secrets", "mood"):
        assert name not in text, name
    before, after = messages_of(plain), messages_of(redacted)
    assert [m.file_id for m in after] == [m.file_id for m in before]
    assert len({m.sender for m in after}) == 2
    assert [m.sender == after[0].sender for m in after] == [m.sender == before[0].sender for m in before]
    assert {m.recipient for m in after} == {read_recording(redacted).header.account}
    assert {(m.app, m.endpoint) for m in after} == {(APP, "messages")}, "so that handlers are called"
    assert not {m.sha256 for m in before} & {m.sha256 for m in after}


def test_a_feed_in_memory_can_be_recorded(tmp_path: Path) -> None:
    clock = ManualClock()
    drive = MemoryDrive(clock)
    path = tmp_path / "feed.jsonl"
    with (
        runtime_on(drive.gateway(DO), MemoryState(tmp_path / "do"), clock, DO, inline=True) as answers,
        runtime_on(drive.gateway(DS), MemoryState(tmp_path / "ds"), clock, DS, inline=True) as asks,
        answers.record_to(path, bodies=True),
    ):
        owner(echo).attach(answers)
        asks.send([Request(DO, APP, "messages", b"hello")])
        answers.poll_once()
    with replay(path) as feed:
        feed.serve(owner(echo))
        feed.run()
        assert feed.uploads == feed.recorded_uploads
        assert [reply.body for reply in feed.replies] == [b"re:hello"]


def test_a_redacted_recording_goes_on_with_the_same_pseudonyms(drive: DriveEmulator, tmp_path: Path) -> None:
    path = tmp_path / "feed.jsonl"
    for _ in range(2):
        with Observed(DO) as live, live.runtime.record_to(path, redact=True), serving(owner(echo)):
            ask(1)
    assert len({message.sender for message in messages_of(path)}) == 1
    assert stat.S_IMODE((tmp_path / "feed.jsonl.key").stat().st_mode) == 0o600
    key = (tmp_path / "feed.jsonl.key").read_bytes()
    assert key.hex() not in path.read_text()


@pytest.mark.parametrize("is_known", [True, False], ids=["known inbox", "stranger's folders"])
def test_a_redacted_recording_keeps_endpoints_that_are_met_before_their_inbox(tmp_path: Path, is_known: bool) -> None:
    """A new state looks for the endpoints' folders first, and asks for what is above them then."""
    clock = ManualClock()
    drive = MemoryDrive(clock)
    path = tmp_path / "feed.jsonl"
    with runtime_on(drive.gateway(DS), MemoryState(tmp_path / "ds"), clock, DS, inline=True) as asks:
        asks.send([Request(DO, APP, "messages", b"hello")])
        clock.advance(3600.0)
        if not is_known:
            drive.gateway(DS).share(drive.gateway(DS).create_folder("rpc", "rpc", None).id, DO)
            drive.gateway(DS).create_folder("letters", "letters to ann", "rpc")
        account = drive.gateway(DO), MemoryState(tmp_path / "do"), clock, DO
        with runtime_on(*account, inline=True) as answers, answers.record_to(path, redact=True):
            answers.poll_once()
    assert "letters to ann" not in path.read_text()
    called: list[bytes] = []
    with replay(path) as feed:
        events = P2PFileEvents(APP, feed.account)
        events.on_request("messages", called.append)
        feed.serve(events)
        feed.run()
    assert called == [bytes(5)]


def test_names_that_no_encoding_holds_can_be_recorded(drive: DriveEmulator, tmp_path: Path) -> None:
    path = tmp_path / "feed.jsonl"
    with DriveRuntime.open(DO) as runtime, runtime.record_to(path):
        runtime.poll_once()
        with PlainAccount(drive, DO) as me:
            me.folder("line\nbreak \u2028 \U0001f600")
        runtime.poll_once()
    assert "line\nbreak \u2028 \U0001f600" in [
        change.file.name
        for entry in read_recording(path).entries
        if entry.kind == "poll"
        for page in entry.value
        for change in page.changes
        if change.file is not None
    ]
    for line in path.read_bytes().split(b"\n")[:-1]:
        json.loads(line)


def test_the_environment_can_ask_every_runtime_for_a_recording(
    drive: DriveEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYFT_FLWR_RECORD_DIR", str(tmp_path / "feeds"))
    with DriveRuntime.open(DO) as runtime:
        runtime.poll_once()
        with DriveRuntime.open(DO):
            pass
    [path] = (tmp_path / "feeds").glob("*.jsonl")
    recording = read_recording(path)
    assert path.name == f"{DO}-{os.getpid()}.jsonl"
    assert recording.header.bodies
    assert recording.ended


def test_a_recording_that_the_environment_asks_for_and_can_t_be_made_is_an_error(
    drive: DriveEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "feeds").write_text("a file")
    monkeypatch.setenv("SYFT_FLWR_RECORD_DIR", str(tmp_path / "feeds"))
    with pytest.raises(RecordingError, match="SYFT_FLWR_RECORD_DIR"):
        DriveRuntime.open(DO)
    monkeypatch.delenv("SYFT_FLWR_RECORD_DIR")
    with DriveRuntime.open(DO) as runtime:
        runtime.poll_once()
