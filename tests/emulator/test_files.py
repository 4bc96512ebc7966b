from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from emulator_steps import ALICE, BOB, FILES, FOLDER, Raw, create, folder, found, get, refusal, share
from googleapiclient.http import MediaInMemoryUpload

from drive_emulator import DriveEmulator


def test_a_file_made_by_its_metadata_alone_is_empty(alice: Any) -> None:
    file = get(alice, create(alice, "empty"))

    assert file["size"] == "0"
    assert file["md5Checksum"] == "d41d8cd98f00b204e9800998ecf8427e"
    assert alice.files().get_media(fileId=file["id"]).execute() == b""


def test_what_is_not_said_gets_drives_defaults(alice: Any) -> None:
    file = alice.files().create(body={}, fields="*").execute()

    assert file["name"] == "Untitled"
    assert file["mimeType"] == "application/octet-stream"
    assert file["parents"] == [get(alice, "root")["id"]]
    assert file["owners"][0]["emailAddress"] == ALICE
    assert file["ownedByMe"] is True
    assert file["trashed"] is False


def test_a_folder_has_neither_size_nor_checksum(alice: Any) -> None:
    made = get(alice, folder(alice, "folder"))

    assert not {"size", "md5Checksum", "sha1Checksum", "sha256Checksum", "headRevisionId"} & made.keys()


def test_without_a_mask_an_answer_has_the_documented_fields_only(alice: Any) -> None:
    made = alice.files().create(body={"name": "x"}).execute()

    assert set(made) == set(alice.files().get(fileId=made["id"]).execute()) == {"kind", "id", "name", "mimeType"}


def test_checksums_are_those_of_the_content(alice: Any) -> None:
    made = alice.files().create(body={}, media_body=MediaInMemoryUpload(b"hello"), fields="*").execute()

    assert made["size"] == "5"
    assert made["md5Checksum"] == "5d41402abc4b2a76b9719d911017c592"
    assert made["sha1Checksum"] == "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"
    assert made["sha256Checksum"] == "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"


def test_a_name_may_be_used_twice(alice: Any) -> None:
    assert create(alice, "twin") != create(alice, "twin")
    assert found(alice, "name = 'twin'") == ["twin", "twin"]


@pytest.mark.parametrize("name", ["../../etc/passwd", "/", "a/b", "..", "", " ", "emoji 🙂", "nul\u0000", "C:\\x", "'"])
def test_a_name_is_only_a_name(emulator: DriveEmulator, alice: Any, name: str) -> None:
    file = create(alice, name)

    assert get(alice, file)["name"] == name
    assert [stored.name for stored in emulator.files()] == [name]


def test_a_reserved_id_makes_one_file_however_often_it_is_sent(emulator: DriveEmulator, alice: Any) -> None:
    (reserved,) = alice.files().generateIds(count=1).execute()["ids"]
    body = {"id": reserved, "name": "once"}
    assert alice.files().create(body=body).execute()["id"] == reserved

    assert refusal(alice.files().create(body=body)) == (409, "fileIdInUse")
    assert refusal(alice.files().create(body=body, media_body=MediaInMemoryUpload(b"x"))) == (409, "fileIdInUse")
    assert len(emulator.files()) == 1


def test_of_many_who_use_a_reserved_id_at_once_one_wins(
    emulator: DriveEmulator, alice: Any, raw: Callable[..., Raw]
) -> None:
    (reserved,) = alice.files().generateIds(count=1).execute()["ids"]
    content = b'--b\r\n\r\n{"id": "%s"}\r\n--b\r\n\r\n%s\r\n--b--' % (reserved.encode(), b"x" * 100_000)
    path, headers = f"/upload{FILES}?uploadType=multipart", {"Content-Type": "multipart/related; boundary=b"}
    connections = [raw() for _ in range(8)]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda connection: connection("POST", path, content, headers), connections))

    assert sorted(answer.status for answer in answers) == [200, *[409] * 7]
    assert [(file.id, file.size) for file in emulator.files()] == [(reserved, 100_000)]


def test_the_id_of_a_deleted_file_is_not_free_again(alice: Any) -> None:
    (reserved,) = alice.files().generateIds(count=1).execute()["ids"]
    create(alice, "x", id=reserved)
    alice.files().delete(fileId=reserved).execute()

    assert refusal(alice.files().create(body={"id": reserved})) == (409, "fileIdInUse")


@pytest.mark.parametrize("made_up", ["x", "1" * 33, "", "root", "1AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"])
def test_an_id_that_was_not_reserved_is_refused(alice: Any, made_up: str) -> None:
    assert refusal(alice.files().create(body={"id": made_up}))[0] == 400


def test_modified_time_strictly_rises(alice: Any) -> None:
    file = create(alice, "0")
    times = [
        alice.files().update(fileId=file, body={"name": str(n)}, fields="modifiedTime").execute()["modifiedTime"]
        for n in range(20)
    ]

    assert sorted(set(times)) == times


def test_times_can_be_set_and_come_back_in_utc(alice: Any) -> None:
    body = {"createdTime": "2020-01-02T03:04:05+01:00", "modifiedTime": "2021-01-02T03:04:05.678Z"}
    file = alice.files().create(body=body, fields="createdTime,modifiedTime").execute()

    assert file == {"createdTime": "2020-01-02T02:04:05.000Z", "modifiedTime": "2021-01-02T03:04:05.678Z"}


def test_a_file_may_be_as_old_as_the_epoch(alice: Any) -> None:
    epoch = "1970-01-01T00:00:00.000Z"
    for body in ({"modifiedTime": epoch}, {"createdTime": epoch, "modifiedTime": epoch}):
        assert alice.files().create(body=body, fields=",".join(body)).execute() == body


def test_a_file_of_the_last_millisecond_can_be_changed(alice: Any) -> None:
    last = "9999-12-31T23:59:59.999Z"
    file = create(alice, "x", modifiedTime=last)
    alice.files().update(fileId=file, body={"name": "y"}).execute()

    assert get(alice, file)["modifiedTime"] == last
    assert found(alice, "") == ["y"]


def test_properties_are_merged_and_null_removes_one(alice: Any) -> None:
    file = create(alice, "x", properties={"a": "1", "b": "2"}, appProperties={"c": "3"})
    alice.files().update(fileId=file, body={"properties": {"a": None, "d": "4"}}).execute()

    after = get(alice, file)
    assert after["properties"] == {"b": "2", "d": "4"}
    assert after["appProperties"] == {"c": "3"}


def test_null_takes_a_setting_back_and_is_never_sent(alice: Any) -> None:
    file = create(alice, "x", description=None, folderColorRgb="#ff0000")
    alice.files().update(fileId=file, body={"description": "text", "writersCanShare": False}).execute()
    nulls = {"description": None, "writersCanShare": None, "folderColorRgb": None}
    alice.files().update(fileId=file, body=nulls).execute()

    after = get(alice, file)
    assert None not in after.values()
    assert (after.get("description"), after["writersCanShare"]) == (None, True)


def test_a_property_has_at_most_124_bytes(alice: Any) -> None:
    create(alice, "fits", properties={"k": "ä" * 61 + "x"})

    assert refusal(alice.files().create(body={"properties": {"k": "ä" * 62}}))[0] == 400


def test_a_file_has_at_most_30_properties(alice: Any) -> None:
    file = create(alice, "full", properties={str(n): "" for n in range(30)})

    assert refusal(alice.files().update(fileId=file, body={"properties": {"more": ""}}))[0] == 403


def test_content_hints_never_come_back(alice: Any) -> None:
    file = create(alice, "x", contentHints={"indexableText": "secret"})

    assert "contentHints" not in get(alice, file)


@pytest.mark.parametrize("field", ["size", "owners", "md5Checksum", "version", "shared"])
def test_fields_that_cannot_be_written_are_refused(alice: Any, field: str) -> None:
    assert refusal(alice.files().create(body={field: "1"})) == (403, "fieldNotWritable")


def test_an_unknown_field_is_ignored(alice: Any) -> None:
    assert create(alice, "x", surprise=[1, {"two": 3}])


def test_new_content_is_a_new_revision_under_the_same_id(alice: Any) -> None:
    before = alice.files().create(body={}, media_body=MediaInMemoryUpload(b"old"), fields="*").execute()
    after = alice.files().update(fileId=before["id"], media_body=MediaInMemoryUpload(b"new!"), fields="*").execute()

    assert (after["id"], after["size"]) == (before["id"], "4")
    assert after["headRevisionId"] != before["headRevisionId"]
    assert int(after["version"]) > int(before["version"])
    assert alice.files().get_media(fileId=before["id"]).execute() == b"new!"
    revisions = alice.revisions().list(fileId=before["id"]).execute()["revisions"]
    assert [revision["id"] for revision in revisions] == [after["headRevisionId"]]


def test_a_file_lies_in_one_folder(alice: Any) -> None:
    one, two = folder(alice, "one"), folder(alice, "two")
    file = create(alice, "x", one)

    assert refusal(alice.files().create(body={"parents": [one, two]})) == (403, "cannotAddParent")
    alice.files().update(fileId=file, addParents=two, removeParents=one).execute()
    assert get(alice, file)["parents"] == [two]
    alice.files().update(fileId=file, addParents=one).execute()
    assert get(alice, file)["parents"] == [one], "an owner's file moves"


def test_a_folder_cannot_lie_within_itself(alice: Any) -> None:
    top = folder(alice, "top")
    inner = folder(alice, "inner", top)
    root = get(alice, "root")["id"]

    assert refusal(alice.files().update(fileId=top, addParents=inner, removeParents=root))[0] == 400
    assert refusal(alice.files().update(fileId=top, addParents=top, removeParents=root))[0] == 400


def test_a_file_is_no_parent(alice: Any) -> None:
    assert refusal(alice.files().create(body={"parents": [create(alice, "x")]})) == (403, "parentNotAFolder")


def test_a_folder_that_cannot_be_seen_is_no_parent_either(alice: Any, bob: Any) -> None:
    private = folder(alice, "private")

    assert refusal(bob.files().create(body={"parents": [private]})) == (404, "notFound")


def test_a_reader_cannot_write_into_a_folder(alice: Any, bob: Any) -> None:
    inbox = folder(alice, "inbox")
    share(alice, inbox, BOB, "reader")

    assert refusal(bob.files().create(body={"parents": [inbox]})) == (403, "insufficientParentPermissions")


def test_root_is_an_alias_of_ones_own_my_drive(alice: Any, bob: Any) -> None:
    mine = get(alice, "root")

    assert mine["name"] == "My Drive"
    assert refusal(bob.files().get(fileId=mine["id"])) == (404, "notFound")
    create(alice, "x", "root")
    assert found(alice, "'root' in parents") == ["x"]
    assert found(bob, "'root' in parents") == []


def test_my_drive_itself_can_neither_be_changed_nor_shared_nor_deleted(alice: Any) -> None:
    body = {"type": "user", "role": "reader", "emailAddress": BOB}

    for change in ({"name": "x"}, {"starred": True}, {}):
        assert refusal(alice.files().update(fileId="root", body=change))[0] == 403
    assert refusal(alice.files().delete(fileId="root"))[0] == 403
    assert refusal(alice.permissions().create(fileId="root", body=body))[0] == 403


def test_deleting_needs_the_owner_and_an_editor_of_the_folder_can_only_take_the_file_out(
    alice: Any, bob: Any, carol: Any
) -> None:
    inbox = folder(alice, "inbox")
    share(alice, inbox, BOB)
    file = create(bob, "bob's", inbox)
    assert get(alice, file)["owners"][0]["emailAddress"] == BOB

    assert refusal(alice.files().delete(fileId=file)) == (403, "insufficientFilePermissions")
    assert refusal(alice.files().update(fileId=file, body={"trashed": True}))[0] == 403
    assert refusal(carol.files().delete(fileId=file)) == (404, "notFound")
    alice.files().update(fileId=file, removeParents=inbox).execute()

    assert get(bob, file)["parents"] == [get(bob, "root")["id"]]
    bob.files().delete(fileId=file).execute()
    assert refusal(bob.files().get(fileId=file)) == (404, "notFound")


def test_the_trash_keeps_files_until_it_is_emptied(emulator: DriveEmulator, alice: Any) -> None:
    top = folder(alice, "top")
    create(alice, "inner", top)
    kept = create(alice, "kept")
    alice.files().update(fileId=top, body={"trashed": True}).execute()
    assert sorted(found(alice, "trashed = true")) == ["inner", "top"]
    assert found(alice, "trashed = false") == ["kept"]

    alice.files().emptyTrash().execute()

    assert [stored.id for stored in emulator.files()] == [kept]


@pytest.mark.parametrize("parameter", ["driveId", "teamDriveId"])
def test_a_shared_drives_trash_is_not_ones_own(alice: Any, raw: Callable[..., Raw], parameter: str) -> None:
    alice.files().update(fileId=create(alice, "x"), body={"trashed": True}).execute()

    assert raw()("DELETE", f"{FILES}/trash?{parameter}=0AX").status == 404
    assert found(alice, "trashed = true") == ["x"]


def test_what_comes_out_of_the_trash_is_as_before(alice: Any) -> None:
    top = folder(alice, "top")
    inner = create(alice, "inner", top)
    alice.files().update(fileId=top, body={"trashed": True}).execute()
    assert not {"trashingUser", "trashedTime"} & get(alice, top).keys()  # both are for shared drives

    alice.files().update(fileId=top, body={"trashed": False}).execute()

    assert get(alice, inner)["trashed"] is False


def test_a_copy_is_ones_own(alice: Any, bob: Any) -> None:
    body = {"name": "original", "properties": {"a": "1"}}
    file = alice.files().create(body=body, media_body=MediaInMemoryUpload(b"content")).execute()["id"]
    share(alice, file, BOB, "reader")

    copy = bob.files().copy(fileId=file, body={}, fields="*").execute()

    assert copy["name"] == "Copy of original"
    assert copy["ownedByMe"] is True
    assert copy["properties"] == {"a": "1"}
    alice.files().delete(fileId=file).execute()
    assert bob.files().get_media(fileId=copy["id"]).execute() == b"content"
    assert refusal(alice.files().copy(fileId=folder(alice, "folder"), body={}))[0] == 403


def test_a_file_does_not_become_a_folder(alice: Any) -> None:
    assert refusal(alice.files().update(fileId=create(alice, "x"), body={"mimeType": FOLDER}))[0] == 400


def test_if_match_on_metadata_is_ignored(raw: Callable[..., Raw], alice: Any) -> None:
    file = create(alice, "x")

    assert raw()("PATCH", f"{FILES}/{file}", {"name": "y"}, {"If-Match": '"stale"'}).status == 200


@pytest.mark.parametrize("count", ["0", "1001", "-1", "x", ""])
def test_ids_are_reserved_by_up_to_a_thousand(raw: Callable[..., Raw], count: str) -> None:
    assert len(set(raw()("GET", f"{FILES}/generateIds?count=1000").json["ids"])) == 1000
    assert raw()("GET", f"{FILES}/generateIds?count={count}").status == 400


@pytest.mark.parametrize("parameter", ["space=photos", "type=folders"])
def test_ids_are_reserved_for_what_there_is(raw: Callable[..., Raw], parameter: str) -> None:
    assert raw()("GET", f"{FILES}/generateIds?type=shortcuts&space=drive").status == 200

    answer = raw()("GET", f"{FILES}/generateIds?{parameter}")
    assert (answer.status, answer.json["error"]["errors"][0]["location"]) == (400, parameter.partition("=")[0])


def test_every_answer_has_a_date(raw: Callable[..., Raw]) -> None:
    answers = [
        raw()("GET", f"{FILES}/generateIds"),
        raw()("GET", f"{FILES}/nothing"),
        raw(None)("GET", FILES),
        raw()("GET", "/nowhere"),
        raw()("PATCH", f"{FILES}/root", "{"),
    ]

    assert [answer.status for answer in answers] == [200, 404, 401, 404, 400]
    assert all(answer.headers["Date"].endswith("GMT") for answer in answers)


def test_about_says_who_one_is_and_wants_a_mask(alice: Any, raw: Callable[..., Raw]) -> None:
    user = alice.about().get(fields="user(emailAddress,permissionId,me)").execute()["user"]

    assert user["emailAddress"] == ALICE
    assert user["me"] is True
    assert user["permissionId"].isdecimal()
    assert raw()("GET", "/drive/v3/about").reason == "required"


def test_restricted_content_stays_as_it_is_until_the_restriction_is_lifted(alice: Any, bob: Any) -> None:
    file = create(alice, "f")
    share(alice, file, BOB)
    update, media = bob.files().update, MediaInMemoryUpload(b"new")
    locked = {"contentRestrictions": [{"readOnly": True, "reason": "done", "ownerRestricted": True}]}
    alice.files().update(fileId=file, body=locked).execute()

    (restriction,) = get(bob, file)["contentRestrictions"]
    assert (restriction["reason"], restriction["restrictingUser"]["emailAddress"]) == ("done", ALICE)
    assert get(bob, file)["capabilities"]["canModifyContent"] is False
    lifted = {"contentRestrictions": [{"readOnly": False}]}
    for call in (
        update(fileId=file, body={"name": "x"}),
        update(fileId=file, media_body=media),
        update(fileId=file, body=lifted),
    ):
        assert refusal(call) == (403, "insufficientFilePermissions")
    update(fileId=file, body={"description": "is no content"}).execute()
    alice.files().update(fileId=file, body={**lifted, "name": "y"}).execute()
    assert "contentRestrictions" not in get(bob, file)
    update(fileId=file, media_body=media).execute()


@pytest.mark.parametrize(
    "restriction", [{"readOnly": "yes"}, {"reason": "only"}, "locked", {"readOnly": True, "reason": 1}]
)
def test_a_restriction_that_makes_no_sense_is_refused(alice: Any, restriction: Any) -> None:
    call = alice.files().create(body={"name": "f", "contentRestrictions": [restriction]})
    assert refusal(call) == (400, "invalid")
