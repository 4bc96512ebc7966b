"""One exchange out of a recording: a small recording of its own, which replays to the same."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from syft_flwr.cli.main import app
from syft_flwr.errors import RecordingError
from syft_flwr.events import P2PFileEvents
from syft_flwr.models import Message
from syft_flwr.recording import Recording
from syft_flwr.recording.cut import cut, exchanges
from syft_flwr.recording.raw import read_lines, write_whole
from syft_flwr.recording.reader import bodies_directory, read_recording
from syft_flwr.replay import Replay, replay
from syft_flwr.testing import shrink

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


@cache
def complete() -> list[Message]:
    return play(RECORDINGS / "complete.jsonl")[0]


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


def test_a_recording_that_fails_shrinks_to_the_exchanges_that_it_fails_for(tmp_path: Path) -> None:
    recording = read_recording(RECORDINGS / "complete.jsonl")
    requests = [message.future_id for message in complete() if message.kind == "request"]
    guilty = {requests[1], requests[-1]}

    def fails(part: Recording) -> bool:
        came: set[str] = set()
        with replay(part) as feed:
            feed.messages.subscribe(lambda message: came.add(message.future_id))
            feed.run()
        return guilty <= came

    small = shrink(recording, fails, tmp_path / "small.jsonl")
    assert set(exchanges(small)) == guilty
    assert fails(small)
    with pytest.raises(ValueError, match="does not fail"):
        shrink(recording, lambda _: False, tmp_path / "other.jsonl")


def test_the_command_writes_it_with_its_bodies_alone(tmp_path: Path) -> None:
    messages = complete()
    request, out = messages[0], tmp_path / "small.jsonl"
    arguments = ["replay", str(RECORDINGS / "complete.jsonl"), "--only", request.future_id, "--out", str(out)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert out.stat().st_mode & 0o777 == 0o600
    kept = {path.name for path in (tmp_path / "small.jsonl.bodies").iterdir()} - {".gitattributes"}
    assert request.sha256 in kept
    assert len(kept) <= 2
    again = CliRunner().invoke(app, arguments)
    assert again.exit_code == 1
    assert f"{out} exists" in again.output
    out.unlink()
    again = CliRunner().invoke(app, arguments)
    assert again.exit_code == 1
    assert f"{out}.bodies exists" in again.output
    assert kept <= {path.name for path in (tmp_path / "small.jsonl.bodies").iterdir()}


def test_the_beginning_of_an_id_that_a_terminal_shows_is_enough(tmp_path: Path) -> None:
    recording, future_id = read_recording(RECORDINGS / "complete.jsonl"), complete()[0].future_id
    cut(recording, future_id[:8], tmp_path / "small.jsonl")
    assert {message.future_id for message in play(tmp_path / "small.jsonl")[0]} == {future_id}
    with pytest.raises(RecordingError, match="has no exchange"):
        cut(recording, future_id[:7], tmp_path / "other.jsonl")


def test_an_exchange_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    messages = complete()
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


def rewritten(name: str, target: Path, change: Any) -> Path:
    """Write a recording whose lines a function has changed, with all its bodies."""
    recording = read_recording(RECORDINGS / name)
    lines = [line for line in change(read_lines(recording)) if "end" not in line]
    bodies = {body.name: body for body in bodies_directory(recording.path).iterdir() if len(body.name) == 64}
    write_whole(target, [*lines, {"at": lines[-1]["at"], "end": True, "lines": len(lines) + 1}], bodies)
    return target


def folders_of(name: str) -> Iterator[dict[str, Any]]:
    for line in read_lines(read_recording(RECORDINGS / name)):
        for page in line.get("poll", ()):
            yield from (change["file"] for change in page["changes"] if "folder" in change["file"]["mimeType"])


def test_a_recording_without_an_end_is_cut_when_that_is_allowed(tmp_path: Path) -> None:
    messages = complete()
    path, out = tmp_path / "feed.jsonl", tmp_path / "small.jsonl"
    path.write_text((RECORDINGS / "complete.jsonl").read_text()[:-5])
    shutil.copytree(RECORDINGS / "complete.jsonl.bodies", tmp_path / "feed.jsonl.bodies")
    arguments = ["replay", str(path), "--only", messages[0].future_id, "--out", str(out)]
    assert CliRunner().invoke(app, arguments).exit_code == 1
    done = CliRunner().invoke(app, [*arguments, "--allow-cut-off"])
    assert done.exit_code == 0, done.output
    assert [message.future_id for message in play(out)[0]] == [messages[0].future_id]


def test_nothing_of_other_peers_is_left(tmp_path: Path) -> None:
    messages = complete()
    request = next(message for message in messages if message.sender == "c@hospital.example")
    cut(read_recording(RECORDINGS / "complete.jsonl"), request.future_id, tmp_path / "small.jsonl")
    text = (tmp_path / "small.jsonl").read_text()
    assert "c@hospital.example" in text
    assert not [name for name in ("a@hospital", "b@hospital", "eve@", "flwr/digits") if name in text]


def test_what_was_only_looked_up_or_known_before_belongs_to_the_exchange(tmp_path: Path) -> None:
    messages = complete()
    request = messages[0]
    answer = {"id": "answer", "name": f"{request.future_id}.response", "parents": ["somewhere"]}
    body = next(message.sha256 for message in messages if message.sha256 != request.sha256)

    def look_up(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
        at = lines[-2]["at"]
        lines[0]["start"] |= {
            "done": [[request.key, "copy", "f", None], ["[other]", "o", "f", None]],
            "marks": {"f": "2020"},
        }
        looked_up = {"at": at, "get": "answer", "file": answer}
        return [*lines[:-1], looked_up, {"at": at, "download": "answer", "size": 1, "sha256": body}]

    path = rewritten("complete.jsonl", tmp_path / "feed.jsonl", look_up)
    cut(read_recording(path), request.future_id, tmp_path / "small.jsonl")
    small = read_recording(tmp_path / "small.jsonl")
    assert [entry.value for entry in small.entries if entry.kind == "get"] == ["answer"]
    assert small.body(str(body)).exists()
    assert [row[1] for row in small.header.start["done"]] == ["copy"]
    assert small.header.start["marks"] == {}


def test_a_folder_that_was_looked_up_and_was_gone_later_shows_the_same_when_cut(tmp_path: Path) -> None:
    """The polls between the two look-ups have nothing of the exchange, but tell which answer came first."""
    messages = complete()
    request = messages[-1]
    folder = next(folder for folder in folders_of("complete.jsonl") if folder["id"] == request.folder_id)

    def look_up(lines: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for line in lines:
            for page in line.get("poll", ()):
                page["changes"] = [change for change in page["changes"] if change["fileId"] != folder["id"]]
            if "sweep" in line:
                line["sweep"] = []
            yield line
            if request.file_id in json.dumps(line.get("poll")):
                yield {"at": line["at"], "get": folder["id"], "file": folder}
        end = {"at": line["at"], "poll": [{"newStartPageToken": "9999", "changes": []}]}
        token = next(line["poll"][-1]["newStartPageToken"] for line in reversed(lines) if "poll" in line)
        yield end | {"token": token}
        yield {"at": line["at"], "get": folder["id"], "file": None}

    path = rewritten("complete.jsonl", tmp_path / "feed.jsonl", look_up)
    assert request.future_id in [message.future_id for message in play(path)[0]]
    cut(read_recording(path), request.future_id, tmp_path / "small.jsonl")
    assert [message.future_id for message in play(tmp_path / "small.jsonl")[0]] == [request.future_id]


def test_a_cut_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    messages = complete()
    path = rewritten("complete.jsonl", tmp_path / "feed.jsonl", lambda lines: lines)
    recording = read_recording(path)
    recording.body(str(messages[0].sha256)).unlink()
    with pytest.raises(RecordingError, match="can't cut"):
        cut(recording, messages[0].future_id, tmp_path / "small.jsonl")
    assert sorted(left.name for left in tmp_path.iterdir()) == ["feed.jsonl", "feed.jsonl.bodies"]
