"""Recordings that can't be read are refused before anything is replayed, with the number of the line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syft_flwr.errors import RecordingError
from syft_flwr.feed import read_recording
from syft_flwr.recording.entries import parse_entry, parse_line, parse_poll
from syft_flwr.recording.raw import shown_files
from syft_flwr.recording.reader import repair
from syft_flwr.replay import replay
from syft_flwr.runtime import DriveRuntime
from syft_flwr.testing import DriveEmulator

RECORDINGS = Path(__file__).parents[1] / "recordings"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A copy of a recording, with its bodies."""
    shutil.copytree(RECORDINGS / "delayed.jsonl.bodies", tmp_path / "feed.jsonl.bodies")
    return Path(shutil.copy(RECORDINGS / "delayed.jsonl", tmp_path / "feed.jsonl"))


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def write(path: Path, documents: list[Any]) -> None:
    path.write_text("".join(f"{json.dumps(document)}\n" for document in documents))


def line_of(path: Path, kind: str) -> int:
    return next(number for number, document in enumerate(lines(path), 1) if kind in document)


def refused(path: Path, match: str) -> int | None:
    with pytest.raises(RecordingError, match=match) as error:
        replay(path)
    assert str(path) in str(error.value)
    return error.value.line


def test_a_last_line_that_is_cut_off(path: Path) -> None:
    whole = len(lines(path))
    path.write_text(path.read_text()[:-10])
    assert refused(path, "is cut off") == whole
    recording = read_recording(path, allow_cut_off=True)
    assert recording.cut_off == whole
    assert len(recording.entries) == whole - 2
    assert not recording.ended


def test_a_header_that_is_cut_off_is_never_left_out(path: Path) -> None:
    path.write_text(path.read_text()[:50])
    with pytest.raises(RecordingError, match="line 1 is cut off") as error:
        read_recording(path, allow_cut_off=True)
    assert error.value.line == 1


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("", "line 1 is missing"),
        ("hello\n", "line 1 is not JSON"),
        ("[1]\n", "line 1 is not a JSON object"),
        ('{"a": 1}\n', "line 1 is not the header"),
        ('{"syft_flwr_feed": true}\n', "line 1 is not the header"),
        ('{"syft_flwr_feed": 0}\n', "line 1 is not the header"),
        ('{"syft_flwr_feed": 2}\n', "format 2.*reads up to 1.*upgrade"),
        ('{"syft_flwr_feed": 1}\n', "line 1: 'account' is missing"),
    ],
)
def test_another_kind_of_file(tmp_path: Path, content: str, match: str) -> None:
    path = tmp_path / "feed.jsonl"
    path.write_text(content)
    assert refused(path, match) == 1


def test_a_file_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    refused(tmp_path / "none.jsonl", "can't read")
    path = tmp_path / "binary"
    path.write_bytes(b"\xff\xfe\x00")
    refused(path, "not UTF-8")


@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (lambda document: document.pop("poll"), "of no known kind"),
        (lambda document: document.pop("at"), "'at' is missing"),
        (lambda document: document.update(at=True), "'at' is missing"),
        (lambda document: document.update(poll="x"), "'poll' is missing or not what it should be"),
        (lambda document: document.update(poll=[]), "a 'poll' that can't be read"),
        (lambda document: document["poll"][0].pop("newStartPageToken"), "a 'poll' that can't be read"),
        (lambda document: document.pop("token"), "a 'poll' that can't be read"),
    ],
)
def test_a_line_that_is_not_what_it_should_be(path: Path, spoil: Callable[[dict[str, Any]], Any], match: str) -> None:
    documents, number = lines(path), line_of(path, "poll")
    spoil(documents[number - 1])
    write(path, documents)
    assert refused(path, f"line {number}.*{match}") == number


def test_time_that_goes_back(path: Path) -> None:
    documents = lines(path)
    documents[5]["at"] = documents[4]["at"] - 0.001
    write(path, documents)
    assert refused(path, "line 6: time goes back") == 6


def test_time_that_is_no_number(path: Path) -> None:
    documents = lines(path)
    documents[5]["at"] = float("nan")
    write(path, documents)
    assert refused(path, "line 6: 'at' is nan, which is no time") == 6


def test_polls_that_are_missing(path: Path) -> None:
    documents = lines(path)
    polls = [index for index, document in enumerate(documents) if "poll" in document]
    moved = next(i for i in polls if documents[i]["poll"][-1]["newStartPageToken"] != documents[i]["token"])
    del documents[moved]
    following = next(index for index in range(moved, len(documents)) if "poll" in documents[index])
    write(path, documents)
    assert refused(path, "lines are missing") == following + 1


def test_a_body_that_is_missing(path: Path) -> None:
    number = line_of(path, "download")
    sha256 = lines(path)[number - 1]["sha256"]
    (path.with_name("feed.jsonl.bodies") / sha256).unlink()
    assert refused(path, f"line {number}: its body .* is missing; copy the bodies") == number


def test_a_body_that_is_damaged(path: Path) -> None:
    number = line_of(path, "download")
    sha256 = lines(path)[number - 1]["sha256"]
    (path.with_name("feed.jsonl.bodies") / sha256).write_bytes(b"something else")
    assert refused(path, f"line {number}: the body .* is damaged") == number


def test_a_checksum_can_t_name_a_file_elsewhere(path: Path) -> None:
    documents, number = lines(path), line_of(path, "download")
    documents[number - 1]["sha256"] = "../../secret"
    write(path, documents)
    assert refused(path, f"line {number}: a 'download' that can't be read") == number


def test_a_start_that_can_t_be_read(path: Path) -> None:
    documents = lines(path)
    documents[0]["start"] = {"token": "1"}
    write(path, documents)
    with pytest.raises(RecordingError, match="a start that can't be read") as error:
        replay(path)
    assert error.value.line == 1


@given(st.data())
def test_damage_of_any_kind_is_refused_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray((RECORDINGS / "delayed.jsonl").read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] = data.draw(st.integers(0, 255))
    directory = tmp_path_factory.mktemp("damaged")
    path = directory / "feed.jsonl"
    path.write_bytes(bytes(content))
    (directory / "feed.jsonl.bodies").symlink_to(RECORDINGS / "delayed.jsonl.bodies")
    try:
        with replay(path) as feed:
            feed.run()
    except RecordingError:
        pass


ODD = [None, 7, -1, 1e400, True, "", "7", "\ud800", [], {}, [{}], {"changes": [None]}, {"fileId": "a", "file": {}}]


@given(st.data())
def test_a_poll_that_is_read_fast_is_read_as_any_other_line(data: st.DataObject) -> None:
    polls = [document for path in RECORDINGS.glob("*.jsonl") for document in lines(path) if "poll" in document]
    place = document = data.draw(st.sampled_from(polls))
    while isinstance(place, dict | list) and place:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if not place[key] or not isinstance(place[key], dict | list) or data.draw(st.booleans()):
            place[key] = data.draw(st.sampled_from([*ODD, place[key]]))
            break
        place = place[key]
    text = json.dumps(document | data.draw(st.sampled_from([{}, {"sweep": []}, {"other": 1}])))
    fast = parse_poll(text, 2)
    if fast is not None:
        assert fast == parse_entry(parse_line(text, 2), 2)


@pytest.mark.parametrize("path", sorted(RECORDINGS.glob("*.jsonl")), ids=lambda path: path.stem)
def test_every_poll_of_a_recording_is_read_fast(path: Path) -> None:
    for number, text in enumerate(path.read_text().splitlines(), 1):
        assert (parse_poll(text, number) is not None) is ("poll" in json.loads(text))


@pytest.mark.parametrize("empty", ["\n", "  \r\n"])
@pytest.mark.parametrize("number", [5, -1], ids=["in the middle", "at the end"])
def test_an_empty_line_is_named(path: Path, empty: str, number: int) -> None:
    texts = path.read_text().splitlines(keepends=True)
    before = texts if number < 0 else texts[:number]
    path.write_text("".join([*before, empty, *texts[len(before) :]]))
    assert refused(path, "is empty: remove it") == len(before) + 1


def test_what_is_wrong_with_a_line_is_not_told_as_another_line_s(path: Path) -> None:
    path.write_text(path.read_text() + '{"at":\n')
    assert (
        refused(path, r"line \d+ is not JSON: Expecting value at column")
        == len(lines(RECORDINGS / "delayed.jsonl")) + 1
    )


def exchange_bodies(documents: list[dict[str, Any]]) -> None:
    one, other = [document for document in documents if "download" in document][:2]
    one["sha256"], other["sha256"] = other["sha256"], one["sha256"]


def change_a_checksum(documents: list[dict[str, Any]]) -> None:
    wanted = next(document for document in documents if "download" in document)["download"]
    for file in (file for document in documents[1:] for file in shown_files(document) if file["id"] == wanted):
        file["sha256Checksum"] = "0" * 64


@pytest.mark.parametrize("spoil", [exchange_bodies, change_a_checksum])
def test_a_body_that_is_another_file_s_is_refused(path: Path, spoil: Callable[[list[dict[str, Any]]], None]) -> None:
    documents, number = lines(path), line_of(path, "download")
    spoil(documents)
    write(path, documents)
    assert refused(path, f"line {number}: its body is not that of file") == number


# -- incomplete ones -------------------------------------------------------------------------------------------


def test_a_recording_without_its_end_is_refused_and_can_be_repaired(path: Path) -> None:
    documents = lines(path)
    write(path, documents[:-1])
    assert refused(path, "has no end.*record --repair") == len(documents) - 1
    assert "whatever its recorder had not written" in repair(path)
    assert read_recording(path).ended
    assert repair(path).startswith("nothing")


@pytest.mark.parametrize("whole", [-1, None], ids=["before its end", "when it went on"])
def test_a_last_line_that_is_not_whole_is_cut_off_by_the_repair(path: Path, whole: int | None) -> None:
    text = "".join(path.read_text().splitlines(keepends=True)[:whole])
    path.write_text(text + '{"at":1.0,"poll":[{"ch')
    assert "which was not whole" in repair(path)
    assert [entry.kind for entry in read_recording(path).entries].count("end") == 1


def test_a_recording_from_which_any_line_is_missing_is_refused(tmp_path: Path, drive: DriveEmulator) -> None:
    recorded = tmp_path / "feed.jsonl"
    with DriveRuntime.open("do@example.com") as runtime, runtime.record_to(recorded):
        runtime.poll_once()
        runtime.poll_once()
    documents = lines(recorded)
    assert len(documents) > 3
    for number in range(1, len(documents)):
        write(recorded, documents[:number] + documents[number + 1 :])
        refused(recorded, "missing|no end")
        write(recorded, [*documents[:number], *documents[number - 1 :]])
        refused(recorded, "too many|header of another|goes on")


def test_nothing_follows_the_end_but_a_recorder_that_goes_on(path: Path) -> None:
    whole = lines(path)
    for late in (whole[-1], {"at": whole[-1]["at"], "sweep": []}):
        write(path, [*whole, late])
        assert refused(path, "goes on") == len(whole) + 1
    start = {"token": None, "folders": [], "pending": [], "futures": [], "done": [], "marks": {}}
    write(path, [*whole, {"at": whole[-1]["at"], "resume": start}, whole[-1]])
    assert read_recording(path).ended


@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (lambda text: text.replace("\n", "\n<<<<<<< HEAD\n", 1), "line 2 is a conflict marker"),
        (lambda text: "\ufeff" + text, "line 1 begins with a byte-order mark"),
        (lambda text: text + text, "is the header of another recording"),
        (lambda text: text.rstrip("\n"), "is cut off"),
    ],
)
def test_what_version_control_and_editors_do_is_named(path: Path, spoil: Callable[[str], str], match: str) -> None:
    path.write_text(spoil(path.read_text()), newline="")
    refused(path, match)


def test_line_ends_of_windows_are_read(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_recording(path).ended
