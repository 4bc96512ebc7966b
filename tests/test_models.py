from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import fields
from msgspec.structs import replace as altered

from syft_flwr.models import Message, Rejection, RejectionReason
from syft_flwr.printable import printable
from syft_flwr.resources import FOLDER_MIME_TYPE, Change, ChangePage, DriveFile

TEXT = st.text(max_size=10)
FILES = st.builds(
    DriveFile,
    id=TEXT,
    name=TEXT,
    mime_type=TEXT,
    parents=st.lists(TEXT, max_size=2).map(tuple),
    trashed=st.booleans(),
    size=st.none() | st.integers(0, 2**63),
    created_time=TEXT,
    sha256=st.none() | TEXT,
    owned_by_me=st.booleans(),
    owners=st.lists(TEXT, max_size=2).map(tuple),
    last_modifying_user=st.none() | TEXT,
    properties=st.dictionaries(TEXT, TEXT, max_size=2),
)
MESSAGES = st.builds(
    Message,
    kind=st.sampled_from(["request", "response"]),
    sender=st.sampled_from(["a@x", "A@X", "b@x"]),
    recipient=st.just("me@x"),
    app=st.text('a\n"\ud800/', max_size=4),
    endpoint=st.text('a\n"\ud800/', max_size=4),
    future_id=st.text("a\n", max_size=2),
    file_id=TEXT,
    folder_id=TEXT,
    size=st.integers(0, 10),
    created_time=TEXT,
    properties=st.dictionaries(TEXT, TEXT, max_size=2),
)


@given(FILES)
def test_a_file_survives_the_way_through_the_apis_json(file):
    assert DriveFile.from_api(json.loads(json.dumps(file.to_api()))) == file


@given(FILES, st.data())
def test_a_file_is_read_from_whatever_fields_a_mask_lets_through(file, data):
    raw = file.to_api()
    shown = {"id", *data.draw(st.sets(st.sampled_from(sorted(raw))))}

    read = DriveFile.from_api({key: value for key, value in raw.items() if key in shown})

    defaults = DriveFile(file.id, "")
    for field in fields(DriveFile):
        assert getattr(read, field.name) in (getattr(file, field.name), getattr(defaults, field.name))


def test_a_folder_is_told_by_its_type():
    assert DriveFile("id", "name", FOLDER_MIME_TYPE).is_folder
    assert not DriveFile("id", "name").is_folder


@given(FILES | st.none(), st.booleans(), TEXT)
def test_a_change_carries_its_file_or_none(file, removed, time):
    raw = {"fileId": "id", "removed": removed, "time": time}
    if file is not None:
        raw["file"] = file.to_api()

    assert Change.from_api(raw) == Change("id", removed, time, file)


def test_a_file_in_a_change_has_the_changes_id_if_the_mask_left_out_its_own():
    change = Change.from_api({"fileId": "id", "file": {"name": "n"}})

    assert change.file == DriveFile("id", "n")


def test_a_page_passes_over_changes_of_shared_drives_themselves():
    raw = {
        "changes": [{"changeType": "drive", "driveId": "d", "removed": False}, {"changeType": "file", "fileId": "f"}],
        "newStartPageToken": "18",
    }

    page = ChangePage.from_api(raw)

    assert page == ChangePage((Change("f"),), new_start_page_token="18")
    assert page.raw is raw


def test_an_empty_page_still_has_its_token():
    assert ChangePage.from_api({"nextPageToken": "t"}) == ChangePage((), next_page_token="t")


@given(MESSAGES, MESSAGES)
def test_two_messages_have_one_key_only_if_they_are_one_message(one, other):
    def identity(message):
        return (message.kind, message.sender.lower(), message.app, message.endpoint, message.future_id)

    assert (one.key == other.key) == (identity(one) == identity(other))
    assert one.key.isascii()


@given(FILES, MESSAGES)
def test_equal_files_and_messages_are_one_member_of_a_set(file, message):
    assert len({file, altered(file)}) == 1
    assert len({Change("id", file=file), Change("id", file=altered(file))}) == 1
    assert len({message, replace(message)}) == 1
    refused = Rejection(RejectionReason.BAD_NAME, "id", "", message=message)
    assert len({refused, replace(refused, message=replace(message))}) == 1


@given(MESSAGES)
def test_only_the_status_property_makes_a_message_an_error(message):
    assert not message.is_error
    assert replace(message, properties={"status": "error"}).is_error
    assert not replace(message, properties={"status": "ok"}).is_error


@given(MESSAGES)
def test_the_rejection_of_a_message_says_where_it_came_from(message):
    refused = Rejection.of(RejectionReason.TOO_LARGE, message, "too large")

    assert (refused.file_id, refused.message) == (message.file_id, message)
    assert refused.file_name == printable(f"{message.future_id}.{message.kind}", 400)
    assert refused.claimed_sender == refused.owner == printable(message.sender, 400)


ODD: list[dict[str, Any]] = [
    {"createdTime": 7},
    {"mimeType": []},
    {"sha256Checksum": 7},
    {"parents": [7]},
    {"parents": 7},
    {"properties": {"a": 7}},
    {"owners": [{"emailAddress": 7}]},
    {"owners": [{"permissionId": {"a": 1}}]},
    {"owners": "me"},
    {"lastModifyingUser": {"emailAddress": ["a"]}},
    {"lastModifyingUser": 7},
]
"""Files with a field of another type than Drive's."""


def test_an_entry_that_can_not_be_read_costs_no_other() -> None:
    good = {"fileId": "a", "file": {"id": "a", "name": "n"}}
    bad: list[Any] = [
        {"fileId": "b", "file": {"name": "n", "size": "many"}},
        {"fileId": "c", "file": {"id": "c", "name": 7}},
        *({"fileId": "d", "file": {"id": "d", **odd}} for odd in ODD),
        {"fileId": "e", "time": 7},
        {"fileId": 7},
        {},
        None,
    ]
    page = ChangePage.from_api({"changes": [*bad, good, {"changeType": "drive"}], "newStartPageToken": "8"})
    assert [change.file_id for change in page.changes] == ["a"]
    assert [entry.file_id for entry in page.unreadable] == ["b", "c", *"d" * len(ODD), "e", "", "", ""]


def test_what_files_have_in_common_is_kept_once() -> None:
    text = '{"id": "%s", "name": "n", "parents": ["inbox"], "owners": [{"emailAddress": "ann@example.org"}]}'
    one, other = (DriveFile.from_api(json.loads(text % number)) for number in (1, 2))
    assert one.owners[0] is other.owners[0]
    assert one.parents[0] is other.parents[0]
