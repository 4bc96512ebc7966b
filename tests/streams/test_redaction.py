"""What a redacted recording tells of sizes: enough to replay, too little to know a body by it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from syft_flwr.recording.redaction import Redactor, coarse


@given(size=st.integers(0, 2**40), power=st.integers(0, 40))
def test_a_coarse_size_is_on_the_same_side_of_each_power_of_two(size: int, power: int) -> None:
    assert (coarse(size) <= 2**power) == (size <= 2**power)
    assert size / 2 <= coarse(size) <= size
    assert coarse(coarse(size)) == coarse(size)


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
