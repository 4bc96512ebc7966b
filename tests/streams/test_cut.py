"""One exchange out of a recording: a small recording of its own, which replays to the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from syft_flwr.cli.main import app
from syft_flwr.errors import RecordingError
from syft_flwr.events import P2PFileEvents
from syft_flwr.models import Message
from syft_flwr.recording.cut import cut
from syft_flwr.recording.reader import read_recording
from syft_flwr.replay import Replay, replay

RECORDINGS = Path(__file__).parents[1] / "recordings"


def play(path: Path) -> tuple[list[Message], Replay]:
    """Replay a recording; return what came, and the feed with what was answered."""
    messages: list[Message] = []
    with replay(path) as feed:
        feed.messages.subscribe(messages.append)
        for name in ("flwr/diabetes", "flwr/digits"):
            events = P2PFileEvents(name, feed.account)
            events.on_request("updates", lambda body: body)
            feed.serve(events)
        feed.run()
        return messages, feed


@pytest.mark.parametrize("name", ["complete.jsonl", "delayed.jsonl", "tombstones.jsonl"])
def test_each_exchange_replays_alone_as_it_did_among_the_others(tmp_path: Path, name: str) -> None:
    recording = read_recording(RECORDINGS / name)
    messages, whole = play(RECORDINGS / name)
    requests = [message for message in messages if message.kind == "request"]
    replies = {reply.message.future_id: reply.body for reply in whole.replies}
    assert requests
    for request in requests:
        small = tmp_path / f"{request.future_id}.jsonl"
        assert cut(recording, request.future_id, small) < len(recording.entries) + 1
        [alone], feed = play(small)
        assert (alone.sender, alone.endpoint, alone.file_id) == (request.sender, request.endpoint, request.file_id)
        assert [reply.body for reply in feed.replies] == [replies[request.future_id]]


def test_the_command_writes_it_with_its_bodies_alone(tmp_path: Path) -> None:
    messages, _ = play(RECORDINGS / "complete.jsonl")
    request, out = messages[0], tmp_path / "small.jsonl"
    arguments = ["replay", str(RECORDINGS / "complete.jsonl"), "--only", request.future_id, "--out", str(out)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert out.stat().st_mode & 0o777 == 0o600
    kept = {path.name for path in (tmp_path / "small.jsonl.bodies").iterdir()} - {".gitattributes"}
    assert request.sha256 in kept
    assert len(kept) <= 2
    again = CliRunner().invoke(app, arguments)
    assert again.exit_code == 2
    assert "exists" in again.output


def test_an_exchange_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    messages, _ = play(RECORDINGS / "complete.jsonl")
    with pytest.raises(RecordingError, match=f"has no exchange 'none'; it has .*{messages[0].future_id}"):
        cut(read_recording(RECORDINGS / "complete.jsonl"), "none", tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()


def test_a_recording_that_went_away_meanwhile_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "feed.jsonl"
    shutil.copy(RECORDINGS / "complete.jsonl", path)
    shutil.copytree(RECORDINGS / "complete.jsonl.bodies", tmp_path / "feed.jsonl.bodies")
    recording = read_recording(path)
    path.unlink()
    with pytest.raises(RecordingError, match="can't cut"):
        cut(recording, "any", tmp_path / "out.jsonl")
