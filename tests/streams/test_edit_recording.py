"""Another body in the place of a recorded one: the recording replays, and handlers get the new one."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from syft_flwr.cli.main import app
from syft_flwr.events import P2PFileEvents
from syft_flwr.inline import to_properties
from syft_flwr.models import Message
from syft_flwr.recording.raw import read_lines, shown_files
from syft_flwr.recording.reader import read_recording
from syft_flwr.replay import replay

COMPLETE = Path(__file__).parents[1] / "recordings" / "complete.jsonl"


def edit(path: Path, out: Path, *names: str, body: bytes = b"poison", code: int = 0) -> str:
    """Run the command with one body for all names; return what it said."""
    file = out.with_name("body")
    file.write_bytes(body)
    pairs = [argument for name in names for argument in ("--body", f"{name}={file}")]
    done = CliRunner().invoke(app, ["edit-recording", str(path), *pairs, "--out", str(out)])
    assert done.exit_code == code, done.output
    return done.output


def handled(path: Path) -> dict[str, bytes]:
    """Return what handlers get of a recording, by exchange."""
    with replay(path) as feed:
        for name in ("flwr/diabetes", "flwr/digits"):
            events = P2PFileEvents(name, feed.account)
            events.on_request("updates", lambda body: body)
            feed.serve(events)
        feed.run()
        feed.raise_errors()
        return {reply.message.future_id: reply.body or b"" for reply in feed.replies}


@cache
def requests() -> list[Message]:
    messages: list[Message] = []
    with replay(COMPLETE) as feed:
        feed.messages.subscribe(messages.append)
        feed.run()
    return messages


def rewritten(tmp_path: Path, change: Any) -> Path:
    path = tmp_path / "feed.jsonl"
    lines = read_lines(read_recording(COMPLETE))
    change(lines)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    shutil.copytree(f"{COMPLETE}.bodies", f"{path}.bodies")
    return path


@pytest.mark.parametrize("name", [lambda it: it.future_id, lambda it: it.sha256, lambda it: it.future_id[:8]])
def test_a_handler_gets_the_new_body_and_nothing_else_changes(tmp_path: Path, name: Callable[[Message], str]) -> None:
    request, out = requests()[0], tmp_path / "new.jsonl"
    assert f"{request.future_id}.request" in edit(COMPLETE, out, name(request))
    before, after = handled(COMPLETE), handled(out)
    assert after.pop(request.future_id) == b"poison"
    assert before.pop(request.future_id) == b"weights of a, round 1"
    assert after == before
    assert request.sha256 not in out.read_text()
    assert not read_recording(out).body(str(request.sha256)).exists()


def test_a_reply_that_was_written_is_named_by_its_file(tmp_path: Path) -> None:
    request, out = requests()[0], tmp_path / "new.jsonl"
    edit(COMPLETE, out, f"{request.future_id}.response", body=b"no thanks")
    with replay(out) as feed:
        written = {upload.name: upload.body for upload in feed.recorded_uploads}
    assert written[f"{request.future_id}.response"] == b"no thanks"
    assert handled(out) == handled(COMPLETE)


@pytest.mark.parametrize("size", [6, 60_000])
def test_a_body_that_was_recorded_in_properties_is_mended_there_or_taken_out(tmp_path: Path, size: int) -> None:
    request, out = requests()[0], tmp_path / "new.jsonl"
    body = hashlib.shake_256(b"new").digest(size)

    def inline(lines: list[dict[str, Any]]) -> None:
        for file in (file for line in lines for file in shown_files(line) if file["id"] == request.file_id):
            [held] = to_properties(b"weights of a, round 1")
            file["properties"] = held | {"kept": "yes"}

    edit(rewritten(tmp_path, inline), out, request.future_id, body=body)
    assert handled(out)[request.future_id] == body
    shown = [file for line in read_lines(read_recording(out)) for file in shown_files(line)]
    properties = [file["properties"] for file in shown if file["id"] == request.file_id]
    assert properties
    assert all(each == {"kept": "yes"} | (to_properties(body) or [{}])[0] for each in properties)


def test_what_it_can_t_do_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    request, out = requests()[0], tmp_path / "new.jsonl"
    name = request.future_id
    assert f"there are those of {min(message.future_id for message in requests())}" in edit(COMPLETE, out, "x", code=1)
    assert "no body of" in edit(COMPLETE, out, "0" * 64, code=1)
    assert "--body" in edit(COMPLETE, out, "", code=2)
    assert "twice" in edit(COMPLETE, out, name, name, code=2)
    arguments = ["edit-recording", str(COMPLETE), "--out", str(out)]
    assert CliRunner().invoke(app, [*arguments, "--body", f"{name}={tmp_path}/none"]).exit_code == 1
    other = tmp_path / "other"
    other.write_bytes(b"another")
    pairs = ["--body", f"{name}={tmp_path}/body", "--body", f"{request.sha256}={other}"]
    assert "replaced already" in CliRunner().invoke(app, [*arguments, *pairs]).output
    assert sorted(left.name for left in tmp_path.iterdir()) == ["body", "other"]


def test_a_file_that_had_two_bodies_needs_the_checksum(tmp_path: Path) -> None:
    first, second = requests()[:2]

    def twice(lines: list[dict[str, Any]]) -> None:
        again = {"download": first.file_id, "size": second.size, "sha256": second.sha256}
        lines[-1:] = [{"at": lines[-1]["at"], **again}, lines[-1] | {"lines": len(lines) + 1}]

    path = rewritten(tmp_path, twice)
    assert "several bodies" in edit(path, tmp_path / "new.jsonl", first.future_id, code=1)
    edit(path, tmp_path / "new.jsonl", str(first.sha256))


def test_a_recording_without_bodies_has_none_to_replace(tmp_path: Path) -> None:
    path = rewritten(tmp_path, lambda lines: lines[0].update(bodies=False))
    assert "recorded without bodies" in edit(path, tmp_path / "new.jsonl", requests()[0].future_id, code=1)
