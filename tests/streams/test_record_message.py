"""One message recorded after the fact: handlers get it in a replay as they got it in production."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from accounts import APP, DO, DS
from syft_flwr.cli.main import app
from syft_flwr.cli.record_message import record_message
from syft_flwr.clock import SystemClock
from syft_flwr.errors import RecordingError
from syft_flwr.events import P2PFileEvents
from syft_flwr.exchange.requester import Request
from syft_flwr.recording.reader import read_recording
from syft_flwr.replay import Upload, replay
from syft_flwr.rpc import P2PFileRpc
from syft_flwr.runtime import DriveRuntime
from syft_flwr.runtime.sharing import state_directory
from syft_flwr.settings import load_endpoint, state_root
from syft_flwr.testing import DriveEmulator, MemoryDrive, MemoryState, runtime_on
from syft_flwr.wire import new_future_id


def echo(events_for: str) -> P2PFileEvents:
    events = P2PFileEvents(APP, events_for, allowed_senders=[DS])
    events.on_request("messages", lambda body: b"got " + body)
    return events


def record(email: str, future_id: str, out: Path, *more: str, code: int = 0) -> str:
    arguments = ["record", "--message", future_id, "--email", email, "--out", str(out), *more]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == code, done.output
    return done.output


@pytest.mark.parametrize("size", [6, 100_000])
def test_a_request_that_is_still_in_drive_replays_to_its_handler(
    drive_emulator: DriveEmulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, size: int
) -> None:
    monkeypatch.setenv("DRIVE_EMULATOR_HOST", drive_emulator.host)
    monkeypatch.setenv("SYFT_FLWR_STATE_DIR", str(tmp_path / "state"))
    body, out = b"poison" * (size // 6), tmp_path / "poison.jsonl"
    with P2PFileRpc(DS, APP) as rpc:
        future = rpc.send(DO, APP, "messages", body)
        assert f"{future}.request" in record(DO, future, out)
        assert "exists" in record(DO, future, out, code=1)
        assert "sent to another account" in record(DO, new_future_id(), tmp_path / "none.jsonl", code=1)
        assert "is no message's ID" in record(DO, "../x", tmp_path / "none.jsonl", code=1)
        assert "--redact" in record(DO, future, tmp_path / "none.jsonl", "--redact", code=2)
        assert "that came to" in record(DS, future, tmp_path / "none.jsonl", code=1)
    assert not list(tmp_path.glob("none*"))
    with replay(out) as feed:
        feed.serve(echo(DO))
        feed.run()
        feed.raise_errors()
        assert [(reply.message.sender, reply.body) for reply in feed.replies] == [(DS, b"got " + body)]


class Exchange:
    """A request and its answer in a Drive in memory."""

    def __init__(self, tmp_path: Path) -> None:
        self.clock = SystemClock()
        self.drive = MemoryDrive(self.clock)
        self.tmp_path = tmp_path
        with self.runtime(DS) as scientist, self.runtime(DO) as owner:
            detach = echo(DO).attach(owner)
            [self.future] = scientist.send([Request(DO, APP, "messages", b"question")])
            owner.poll_once()
            scientist.poll_once()
            detach()

    def runtime(self, email: str) -> DriveRuntime:
        return runtime_on(self.drive.gateway(email), MemoryState(self.tmp_path / email), self.clock, email, inline=True)

    def record(self, email: str) -> Path:
        out = self.tmp_path / f"{email}.jsonl"
        record_message(self.drive.gateway(email), email, self.future, out, state=self.tmp_path / "none")
        return out


def test_the_answer_that_was_given_is_there_to_compare(tmp_path: Path) -> None:
    exchange = Exchange(tmp_path)
    with replay(exchange.record(DO)) as feed:
        feed.serve(echo(DO))
        feed.run()
        assert feed.uploads == feed.recorded_uploads
        assert feed.uploads == [Upload(f"{exchange.future}.response", b"got question", {})]


@pytest.mark.parametrize("keeps_request", [True, False])
def test_an_answer_is_recorded_on_the_side_that_asked(tmp_path: Path, keeps_request: bool) -> None:
    exchange = Exchange(tmp_path)
    gateway = exchange.drive.gateway(DS)
    if not keeps_request:
        [request] = gateway.list_files(f"name = '{exchange.future}.request'")
        gateway.delete(request.id)
    with replay(exchange.record(DS)) as feed:
        responses: list[str] = []
        feed.responses.subscribe(lambda message: responses.append(message.future_id))
        feed.run()
        assert responses == [exchange.future]


def test_what_a_killed_process_was_handling_is_found_though_its_sender_took_it_back(
    drive_emulator: DriveEmulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DRIVE_EMULATOR_HOST", drive_emulator.host)
    monkeypatch.setenv("SYFT_FLWR_STATE_DIR", str(tmp_path / "state"))
    out = tmp_path / "poison.jsonl"
    with P2PFileRpc(DS, APP) as rpc, DriveRuntime.open(DO) as runtime:
        future = rpc.send(DO, APP, "messages", b"poison")
        runtime.poll_once()  # the journal has it now
        state = state_directory(state_root(), DO, load_endpoint().url)
        [file] = [each for each in drive_emulator.files() if each.name == f"{future}.request"]
        rpc.delete_future(future)
    assert "no body of it is left" in record(DO, future, out, code=1)
    (state / "bodies" / f"request-{file.id}.1f.part").write_bytes(b"poison")
    record(DO, future, out)
    assert read_recording(out).ended
    with replay(out) as feed:
        feed.serve(echo(DO))
        feed.run()
        assert [reply.body for reply in feed.replies] == [b"got poison"]


def test_a_disk_that_fails_is_a_clear_error(tmp_path: Path) -> None:
    exchange = Exchange(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(RecordingError, match="can't write"):
        record_message(
            exchange.drive.gateway(DO), DO, exchange.future, tmp_path / "file" / "out", state=tmp_path / "none"
        )
