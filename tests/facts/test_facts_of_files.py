"""What creating, changing, finding and reading files does."""

from __future__ import annotations

import hashlib
import json
from email.utils import parsedate_to_datetime

import pytest
from drive_world import FOLDER, World, refusal
from googleapiclient.errors import HttpError
from googleapiclient.http import MediaInMemoryUpload


def test_a_reserved_id_makes_one_file_however_often_it_is_sent(world: World) -> None:
    ids = world.mine.files.generateIds(count=1000).execute()["ids"]
    assert len(set(ids)) == 1000
    world.mine.create("x", world.top, id=ids[0])

    again = world.mine.files.create(body={"name": "x", "id": ids[0], "parents": [world.top]})
    assert refusal(again) == (409, "fileIdInUse")
    world.mine.finds(["x"], "name = 'x'", world.top)


def test_a_name_may_be_used_twice_and_a_file_is_there_at_once_by_its_id(world: World) -> None:
    first, second = world.mine.create("x", world.top), world.mine.create("x", world.top)

    assert first != second
    assert world.mine.get(second)["name"] == "x"
    world.mine.finds(["x", "x"], "name = 'x'", world.top)


def test_a_file_belongs_to_who_made_it_and_an_editor_of_the_folder_can_only_take_it_out(world: World) -> None:
    world.mine.share(world.top, world.yours)
    file = world.yours.create("x", world.top)
    world.also.append(file)
    assert world.mine.get(file)["owners"][0]["emailAddress"] == world.yours.email

    assert refusal(world.mine.files.delete(fileId=file)) == (403, "insufficientFilePermissions")
    trash = world.mine.files.update(fileId=file, body={"trashed": True})
    assert refusal(trash) == (403, "insufficientFilePermissions")
    world.mine.files.update(fileId=file, removeParents=world.top).execute()
    world.mine.finds([], "name = 'x'", world.top)


def test_what_an_account_can_t_see_does_not_exist(world: World) -> None:
    file = world.mine.create("x", world.top)

    with pytest.raises(HttpError) as refused:
        world.yours.files.get(fileId=file).execute()

    (error,) = json.loads(refused.value.content)["error"]["errors"]
    assert refused.value.status_code == 404
    assert error | {"message": ""} == {
        "domain": "global",
        "location": "fileId",
        "locationType": "parameter",
        "message": "",
        "reason": "notFound",
    }


def test_names_are_escaped_and_words_are_found_by_their_beginnings(world: World) -> None:
    world.mine.create("it's a \\ HelloWorld 🌱", world.top)
    name = ["it's a \\ HelloWorld 🌱"]

    world.mine.finds(name, r"name = 'it\'s a \\ HelloWorld 🌱'", world.top)
    world.mine.finds(name, "name contains 'hello'", world.top)
    assert world.mine.found("name contains 'World'", world.top) == []


def test_and_binds_tighter_than_or_and_blanks_are_needless(world: World) -> None:
    for name in ("a", "b"):
        world.mine.create(name, world.top)

    world.mine.finds(["a", "b"], "name='a'or name='b'and trashed=true or name='b'", world.top)
    world.mine.finds(["a"], "name='a' or name='b' and trashed=true", world.top)
    world.mine.finds(["b"], "not name='a' and modifiedTime>'2020-01-01T00:00:00'", world.top)


def test_what_is_in_the_trash_is_found_unless_it_is_left_out(world: World) -> None:
    world.mine.update(world.mine.create("x", world.top), trashed=True)

    world.mine.finds(["x"], "name = 'x'", world.top)
    world.mine.finds([], "name = 'x' and trashed = false", world.top)


def test_a_query_names_dozens_of_parents(world: World) -> None:
    inner = world.mine.folder("inner", world.top)
    world.mine.create("x", inner)
    q = " or ".join(f"'{folder}' in parents" for folder in [world.top] * 40 + [inner])

    names = world.mine.until(
        lambda: sorted(file["name"] for file in world.mine.files.list(q=q).execute()["files"]),
        lambda found: len(found) == 2,
    )
    assert names == ["inner", "x"]


def test_the_dates_of_a_file_are_what_its_maker_says(world: World) -> None:
    dates = {"createdTime": "2001-02-03T04:05:06.789Z", "modifiedTime": "2031-02-03T04:05:06.789Z"}

    shown = world.mine.get(world.mine.create("x", world.top, **dates))
    assert {name: shown[name] for name in dates} == dates


def test_modified_times_strictly_rise_and_if_match_is_ignored(world: World) -> None:
    file = world.mine.create("x", world.top)
    times = [world.mine.update(file, description=str(number))["modifiedTime"] for number in range(3)]
    assert times == sorted(set(times))

    body = json.dumps({"name": "y"}).encode()
    path, json_type = f"/drive/v3/files/{file}", "application/json"
    answer, _ = world.mine.plain("PATCH", path, body, Content_Type=json_type, If_Match='"other"')
    assert (answer.status, world.mine.get(file)["name"]) == (200, "y")


def test_a_property_has_at_most_124_bytes(world: World) -> None:
    world.mine.create("x", world.top, properties={"k": "é" * 61})
    call = world.mine.files.create(body={"name": "x", "parents": [world.top], "properties": {"k": "é" * 62}})

    status, _ = refusal(call)
    assert status in {400, 403}


def test_an_account_has_one_permission_id_everywhere(world: World) -> None:
    file = world.mine.create("x", world.top)
    about = world.yours.client.about().get(fields="user").execute()["user"]

    assert world.mine.share(file, world.yours) == about["permissionId"]
    assert about["me"]


def test_checksums_and_size_are_those_of_the_content(world: World) -> None:
    content = b'{"a": 1}\r\n'
    shown = world.mine.get(world.mine.create("x", world.top, content=content, mimeType="application/json"))

    assert shown["size"] == "10"
    for kind in ("md5", "sha1", "sha256"):
        assert shown[f"{kind}Checksum"] == hashlib.new(kind, content).hexdigest()


def test_content_comes_back_verbatim_with_its_type_and_in_ranges(world: World) -> None:
    file = world.mine.create("x", world.top, content=b'{"a": 1}\r\n', mimeType="application/json")
    path = f"/drive/v3/files/{file}?alt=media"
    answer, whole = world.mine.plain("GET", path)
    part_answer, part = world.mine.plain("GET", path, Range="bytes=2-4")

    assert (answer["content-type"].partition(";")[0], whole) == ("application/json", b'{"a": 1}\r\n')
    assert (part_answer.status, part) == (206, b'a":')
    assert world.mine.files.get_media(fileId=world.mine.create("empty", world.top)).execute() == b""


def test_answers_hold_the_fields_that_were_asked_for_or_the_documented_ones(world: World) -> None:
    file = world.mine.create("x", world.top)

    assert world.mine.files.get(fileId=file).execute().keys() == {"kind", "id", "name", "mimeType"}
    assert world.mine.get(file, "owners/me,parents") == {"owners": [{"me": True}], "parents": [world.top]}
    assert refusal(world.mine.files.get(fileId=file, fields="nothing"))[0] == 400


def test_root_is_an_alias_and_every_answer_has_a_date(world: World) -> None:
    answer, content = world.mine.plain("GET", "/drive/v3/files/root?fields=mimeType")

    assert json.loads(content) == {"mimeType": FOLDER}
    assert parsedate_to_datetime(answer["date"])


def test_large_content_goes_up_in_pieces_and_the_session_says_how_far(world: World) -> None:
    first, rest = bytes(262_144), b"the end"
    body = json.dumps({"name": "x", "parents": [world.top]}).encode()
    path = "/upload/drive/v3/files?uploadType=resumable&fields=id,size"
    begun, _ = world.mine.plain("POST", path, body, Content_Type="application/json")
    path, total = begun["location"].removeprefix(world.mine.root), len(first) + len(rest)

    answer, _ = world.mine.plain("PUT", path, first, Content_Range=f"bytes 0-{len(first) - 1}/{total}")
    assert (answer.status, answer["range"]) == (308, f"bytes=0-{len(first) - 1}")
    asked, _ = world.mine.plain("PUT", path, Content_Range=f"bytes */{total}", Content_Length="0")
    assert (asked.status, asked["range"]) == (308, f"bytes=0-{len(first) - 1}")
    _, content = world.mine.plain("PUT", path, rest, Content_Range=f"bytes {len(first)}-{total - 1}/{total}")
    assert json.loads(content)["size"] == str(total)


def test_an_upload_s_path_takes_no_put_without_a_session(world: World) -> None:
    answer, _ = world.mine.plain("PUT", "/upload/drive/v3/files?uploadType=media", b"x")

    assert answer.status == 404


def test_a_batch_answers_each_call_on_its_own(world: World) -> None:
    file = world.mine.create("x", world.top)
    answers: dict[str, object] = {}
    batch = world.mine.client.new_batch_http_request(
        lambda name, answer, error: answers.update({name: error.status_code if error else answer["name"]})
    )
    batch.add(world.mine.files.get(fileId=file), request_id="there")
    batch.add(world.mine.files.get(fileId="1" * 33), request_id="missing")
    batch.execute()

    assert answers == {"there": "x", "missing": 404}


def test_new_content_keeps_the_id_and_makes_a_revision(world: World) -> None:
    file = world.mine.create("x", world.top, content=b"one")
    before = world.mine.get(file)["headRevisionId"]
    media = MediaInMemoryUpload(b"two", mimetype="text/plain")
    shown = world.mine.files.update(fileId=file, media_body=media, fields="id,headRevisionId").execute()

    assert shown["id"] == file
    assert shown["headRevisionId"] != before
