"""What a redacted recording tells of sizes: enough to replay, too little to know a body by it."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from syft_flwr.recording.redaction import Redactor, coarse
from syft_flwr.resources import FOLDER_MIME_TYPE


@given(size=st.integers(0, 2**40), power=st.integers(0, 40))
def test_a_coarse_size_is_on_the_same_side_of_each_power_of_two(size: int, power: int) -> None:
    assert (coarse(size) <= 2**power) == (size <= 2**power)
    assert size / 2 <= coarse(size) <= size
    assert coarse(coarse(size)) == coarse(size)


def test_of_the_folders_in_an_inbox_those_of_apps_and_endpoints_alone_keep_their_names() -> None:
    redactor = Redactor(b"key", "owner@example.com")
    path = ["syft_outbox_inbox_ann@example.org_to_owner@example.com", "flwr/app", "rpc", "mean"]
    names = [*path, "patients of ann", "private", "letter to bob"]
    parents = ["root", "0", "1", "2", "3", "1", "5"]
    folders = [
        {"id": str(number), "name": name, "mimeType": FOLDER_MIME_TYPE, "parents": [parent]}
        for number, (name, parent) in enumerate(zip(names, parents, strict=True))
    ]
    shown = [folder["name"] for folder in redactor.line({"folders": folders})["folders"]]
    assert shown[1:4] == ["flwr/app", "rpc", "mean"]
    assert not [name for name in (shown[0], *shown[4:]) if "ann" in name or "bob" in name or "private" in name]


def test_what_was_refused_before_a_recording_began_has_no_key_to_redact() -> None:
    key = json.dumps(["request", "ann@example.org", "flwr/app", "mean", "3f1c8e52-0d5e-4c1b-9a53-6a2d7e90b1f4"])
    done = [
        [None, "refused", "folder", "now"],
        ["rejected\nold", "refused", None, None],
        [key, "file", "folder", "now"],
    ]
    start = {"token": "1", "folders": [], "pending": [], "futures": [], "done": done, "marks": {}}
    redacted = Redactor(b"key", "owner@example.com").start(start)["done"]
    assert redacted[:2] == done[:2]
    assert json.loads(redacted[2][0])[2:] == json.loads(key)[2:]
    assert "ann" not in redacted[2][0]


def test_no_line_tells_an_exact_size() -> None:
    redactor = Redactor(b"key", "owner@example.com")
    file = {"id": "f", "name": "a.txt", "size": "1000", "mimeType": "text/plain"}
    upload = {"id": "u", "name": "b.txt", "parent": "p", "properties": {}, "size": 1000, "sha256": None}
    lines = [
        {"poll": [{"changes": [{"fileId": "f", "file": file}], "newStartPageToken": "2"}], "token": "1"},
        {"sweep": [file]},
        {"get": "f", "file": file},
        {"download": "f", "size": 1000, "sha256": None},
        {"download": "gone", "size": None, "sha256": None},
        {"upload": upload},
    ]
    redacted = [redactor.line(line) for line in lines]
    assert not [line for line in redacted if "1000" in str(line)]
    assert [line.get("size") for line in redacted] == [None, None, None, 513, None, None]
    assert redacted[2]["file"]["size"] == "513"
    assert redacted[5]["upload"]["size"] == 513
