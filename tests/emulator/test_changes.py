from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from emulator_steps import ALICE, BOB, CAROL, FILES, Raw, changed, changes, create, folder, found, refusal, share, start

from drive_emulator import DriveEmulator, changelog


def test_a_start_token_yields_only_what_happens_afterwards(alice: Any) -> None:
    create(alice, "before")
    token = start(alice)
    after = create(alice, "after")

    assert changed(alice, token) == [after]


def test_an_entry_is_the_current_state_and_several_edits_give_one(alice: Any) -> None:
    token = start(alice)
    file = create(alice, "first")
    other = create(alice, "other")
    for name in ("second", "third"):
        alice.files().update(fileId=file, body={"name": name}).execute()

    entries, _ = changes(alice, token)

    assert [(entry["fileId"], entry["file"]["name"]) for entry in entries] == [(other, "other"), (file, "third")]


def test_create_then_delete_leaves_only_a_tombstone_without_a_file(alice: Any) -> None:
    token = start(alice)
    file = create(alice, "short-lived")
    alice.files().delete(fileId=file).execute()

    (entry,), _ = changes(alice, token)

    assert entry["fileId"] == file
    assert entry["removed"] is True
    assert "file" not in entry


def test_tombstones_can_be_left_out(alice: Any) -> None:
    token = start(alice)
    file = create(alice, "short-lived")
    alice.files().delete(fileId=file).execute()

    assert alice.changes().list(pageToken=token, includeRemoved=False).execute()["changes"] == []


def test_the_feed_can_be_restricted_to_my_drive(alice: Any, bob: Any) -> None:
    token = start(bob)
    shared, inbox = folder(alice, "shared"), folder(bob, "inbox")
    share(alice, shared, BOB)
    elsewhere = create(bob, "elsewhere", shared)
    share(bob, inbox, ALICE)
    mine = create(alice, "in Bob's folder", inbox)
    gone = create(bob, "gone")
    bob.files().delete(fileId=gone).execute()

    page = bob.changes().list(pageToken=token, restrictToMyDrive=True).execute()

    assert {shared, elsewhere} < set(changed(bob, token))
    assert [change["fileId"] for change in page["changes"]] == [inbox, mine, gone]
    assert page["newStartPageToken"] == start(bob)


def test_pages_hold_no_more_than_asked_and_only_the_last_has_a_new_start_token(alice: Any) -> None:
    token = start(alice)
    made = [create(alice, str(number)) for number in range(5)]
    seen: list[str] = []
    sizes: list[int] = []
    while True:
        page = alice.changes().list(pageToken=token, pageSize=2).execute()
        seen += [entry["fileId"] for entry in page["changes"]]
        sizes.append(len(page["changes"]))
        assert ("nextPageToken" in page) != ("newStartPageToken" in page)
        if "newStartPageToken" in page:
            break
        token = page["nextPageToken"]

    assert seen == made
    assert sizes == [2, 2, 1]
    assert changed(alice, page["newStartPageToken"]) == []


def test_an_edit_between_two_pages_is_not_lost(alice: Any) -> None:
    token = start(alice)
    made = [create(alice, str(number)) for number in range(3)]
    page = alice.changes().list(pageToken=token, pageSize=2).execute()

    alice.files().update(fileId=made[0], body={"name": "again"}).execute()

    assert changed(alice, page["nextPageToken"]) == [made[2], made[0]]


def test_tokens_never_go_back_and_an_old_one_still_works(alice: Any) -> None:
    first = start(alice)
    create(alice, "one")
    _, second = changes(alice, first)
    create(alice, "two")
    _, third = changes(alice, second)

    assert int(first) < int(second) < int(third)
    assert len(changed(alice, first)) == 2
    assert start(alice) == third


@pytest.mark.parametrize("token", ["", "0", "-1", "x", "1.5", "9999999", "1" * 50, "½"])
def test_a_token_that_no_feed_gave_out_is_refused(alice: Any, token: str) -> None:
    create(alice, "one")

    status, _ = refusal(alice.changes().list(pageToken=token))

    assert status == 400


def test_the_refusal_names_the_page_token(raw: Callable[..., Raw]) -> None:
    error = raw()("GET", "/drive/v3/changes?pageToken=nonsense").json["error"]["errors"][0]

    assert (error["reason"], error["location"], error["locationType"]) == ("invalid", "pageToken", "parameter")


def test_strangers_see_nothing_of_each_other(alice: Any, bob: Any) -> None:
    token = start(bob)
    file = create(alice, "private")
    alice.files().delete(fileId=file).execute()

    assert changed(bob, token) == []


def test_sharing_a_folder_makes_its_subtree_appear(alice: Any, bob: Any) -> None:
    top = folder(alice, "top")
    inner = folder(alice, "inner", top)
    file = create(alice, "file", inner)
    token = start(bob)

    share(alice, top, BOB)

    assert changed(bob, token) == [top, inner, file]


def test_losing_access_looks_like_deletion_in_the_whole_subtree(alice: Any, bob: Any) -> None:
    top = folder(alice, "top")
    file = create(alice, "file", top)
    permission = share(alice, top, BOB)
    token = start(bob)

    alice.permissions().delete(fileId=top, permissionId=permission).execute()

    entries, _ = changes(bob, token)
    assert {entry["fileId"]: entry["removed"] for entry in entries} == {top: True, file: True}


def test_deleting_a_folder_reaches_everyone_who_saw_what_was_in_it(alice: Any, bob: Any) -> None:
    top = folder(alice, "top")
    file = create(alice, "file", top)
    share(alice, top, BOB)
    token = start(bob)

    alice.files().delete(fileId=top).execute()

    entries, _ = changes(bob, token)
    assert {entry["fileId"]: entry["removed"] for entry in entries} == {top: True, file: True}


def test_a_deleted_folder_leaves_what_others_own_in_it_without_a_parent(alice: Any, bob: Any) -> None:
    top = folder(alice, "top")
    share(alice, top, BOB)
    file = create(bob, "bob's", top)
    token = start(bob)

    alice.files().delete(fileId=top).execute()

    entries = {entry["fileId"]: entry for entry in changes(bob, token)[0]}
    assert entries[top]["removed"]
    assert "parents" not in entries[file]["file"]
    assert refusal(alice.files().get(fileId=file)) == (404, "notFound")


def test_moving_a_file_out_of_a_shared_folder_takes_it_from_view(alice: Any, bob: Any) -> None:
    top = folder(alice, "top")
    file = create(alice, "file", top)
    share(alice, top, BOB)
    token = start(bob)

    alice.files().update(fileId=file, addParents="root", removeParents=top).execute()

    (entry,), _ = changes(bob, token)
    assert (entry["fileId"], entry["removed"]) == (file, True)


def test_trashing_a_folder_shows_in_the_feed_for_all_that_lies_in_it(alice: Any, bob: Any) -> None:
    top = folder(alice, "top")
    file = create(alice, "file", top)
    share(alice, top, BOB)
    token = start(bob)

    alice.files().update(fileId=top, body={"trashed": True}).execute()

    entries = {entry["fileId"]: entry["file"] for entry in changes(bob, token)[0]}
    assert {file_id: entry["trashed"] for file_id, entry in entries.items()} == {top: True, file: True}
    assert {file_id: entry["explicitlyTrashed"] for file_id, entry in entries.items()} == {top: True, file: False}


def test_ones_own_writes_show_up(alice: Any, bob: Any) -> None:
    top = folder(alice, "top")
    share(alice, top, BOB)
    token = start(bob)

    file = create(bob, "mine", top)

    (entry,), _ = changes(bob, token)
    assert entry["fileId"] == file
    assert entry["file"]["ownedByMe"] is True


def test_a_star_is_nobody_elses_business(alice: Any, bob: Any) -> None:
    file = create(alice, "file")
    share(alice, file, BOB)
    tokens = start(alice), start(bob)

    bob.files().update(fileId=file, body={"starred": True}).execute()

    assert changed(alice, tokens[0]) == []
    assert changed(bob, tokens[1]) == [file]


def test_sharing_with_one_more_is_news_to_the_owner_and_to_that_one_only(alice: Any, bob: Any, carol: Any) -> None:
    inbox = folder(alice, "inbox")
    share(alice, inbox, BOB)
    file = create(bob, "x", inbox)
    tokens = [(client, start(client)) for client in (alice, bob, carol)]

    permission = share(alice, inbox, CAROL)
    assert [changed(client, token) for client, token in tokens] == [[inbox], [file], [inbox, file]]

    tokens = [(client, start(client)) for client in (alice, bob, carol)]
    alice.permissions().delete(fileId=inbox, permissionId=permission).execute()
    assert [changed(client, token) for client, token in tokens] == [[inbox], [file], [inbox, file]]


def test_a_new_owner_is_news_to_everyone(alice: Any, bob: Any, carol: Any) -> None:
    file = create(alice, "x")
    share(alice, file, BOB)
    share(alice, file, CAROL)
    token = start(carol)
    body = {"type": "user", "role": "owner", "emailAddress": BOB}
    alice.permissions().create(fileId=file, body=body, transferOwnership=True).execute()

    assert changed(carol, token) == [file]


def test_a_parent_is_shown_only_to_those_who_can_see_it(alice: Any, bob: Any) -> None:
    top = folder(alice, "top")
    file = create(alice, "file", top)
    token = start(bob)

    share(alice, file, BOB)

    (entry,), _ = changes(bob, token)
    assert "parents" not in entry["file"]


def test_sharing_a_folder_tells_that_its_files_have_a_parent_now(alice: Any, bob: Any) -> None:
    top = folder(alice, "top")
    file = create(alice, "file", top)
    share(alice, file, BOB)
    token = start(bob)

    share(alice, top, BOB, "reader")

    entries, _ = changes(bob, token)
    assert {entry["fileId"]: entry["file"].get("parents") for entry in entries} == {top: None, file: [top]}


def test_without_a_mask_an_entry_has_the_documented_fields_only(alice: Any) -> None:
    token = start(alice)
    create(alice, "file")

    page = alice.changes().list(pageToken=token).execute()

    assert set(page) == {"kind", "newStartPageToken", "changes"}
    assert set(page["changes"][0]) == {"kind", "type", "changeType", "time", "removed", "fileId", "file"}
    assert set(page["changes"][0]["file"]) == {"kind", "id", "name", "mimeType"}


def test_a_poll_reads_the_log_by_its_index(emulator: DriveEmulator, alice: Any) -> None:
    server = emulator._server
    assert server is not None
    database = server.drive.database
    sql = changelog._PAGE.format(space="v.app IS NULL")
    plan = [row[3] for row in database.rows(f"EXPLAIN QUERY PLAN {sql}", ALICE, 1, True, True, "", 100)]

    assert "view_feed (account=? AND seq>?)" in plan[0]
    assert not any("TEMP B-TREE" in step or step.startswith("SCAN") for step in plan)


def test_a_file_shared_by_link_is_in_no_feed_but_can_be_read(alice: Any, bob: Any, raw: Callable[..., Raw]) -> None:
    file = create(alice, "public")
    token = start(bob)
    alice.permissions().create(fileId=file, body={"type": "anyone", "role": "reader"}).execute()

    assert changed(bob, token) == []
    assert raw(BOB)("GET", f"{FILES}/{file}").status == 200
    assert refusal(bob.files().update(fileId=file, body={"name": "x"})) == (403, "insufficientFilePermissions")


def test_who_sees_a_file_by_its_link_may_star_it_and_is_told_of_no_removal(alice: Any, bob: Any) -> None:
    file = create(alice, "public")
    alice.permissions().create(fileId=file, body={"type": "anyone", "role": "writer"}).execute()
    token = start(bob)

    assert bob.files().update(fileId=file, body={"starred": True}, fields="starred").execute() == {"starred": True}
    bob.files().update(fileId=file, body={"name": "renamed"}).execute()

    assert changed(bob, token) == []
    seen = bob.files().get(fileId=file, fields="starred,name,modifiedByMe").execute()
    assert seen == {"starred": True, "name": "renamed", "modifiedByMe": True}
    share(alice, file, BOB)
    assert changed(bob, token) == [file]
    assert found(bob, "starred = true") == ["renamed"]
