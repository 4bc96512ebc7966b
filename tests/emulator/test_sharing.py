from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from emulator_steps import (
    ALICE,
    BOB,
    CAROL,
    FILES,
    FOLDER,
    Raw,
    changes,
    create,
    folder,
    found,
    get,
    refusal,
    share,
    start,
)

from drive_emulator import DriveEmulator


def permissions(client: Any, file_id: str) -> dict[str, str]:
    listed = client.permissions().list(fileId=file_id, fields="permissions(emailAddress,role,id)").execute()
    return {grant.get("emailAddress", grant["id"]): grant["role"] for grant in listed["permissions"]}


def test_what_cannot_be_seen_does_not_exist(alice: Any, bob: Any) -> None:
    file = create(alice, "private")

    assert refusal(bob.files().get(fileId=file)) == (404, "notFound")
    assert refusal(bob.files().update(fileId=file, body={"name": "x"})) == (404, "notFound")
    assert refusal(bob.permissions().list(fileId=file)) == (404, "notFound")


def test_a_folders_grants_hold_for_what_lies_in_it(alice: Any, bob: Any) -> None:
    top = folder(alice, "top")
    share(alice, top, BOB, "reader")
    file = create(alice, "file", folder(alice, "inner", top))

    assert permissions(alice, file) == {ALICE: "owner", BOB: "reader"}
    assert get(bob, file)["capabilities"]["canEdit"] is False
    assert refusal(bob.files().update(fileId=file, body={"name": "x"})) == (403, "insufficientFilePermissions")


def test_the_owner_of_a_folder_edits_but_does_not_own_what_others_put_there(alice: Any, bob: Any) -> None:
    inbox = folder(alice, "inbox")
    share(alice, inbox, BOB)
    file = create(bob, "bob's", inbox)

    assert permissions(bob, file) == {BOB: "owner", ALICE: "writer"}
    assert get(alice, file)["ownedByMe"] is False
    alice.files().update(fileId=file, body={"name": "renamed"}).execute()
    assert get(bob, file)["lastModifyingUser"]["emailAddress"] == ALICE


def test_a_grant_reaches_the_deepest_folder(alice: Any, raw: Callable[..., Raw]) -> None:
    top, owner = folder(alice, "top"), raw(ALICE)
    lowest = top
    for _ in range(1200):
        lowest = owner("POST", FILES, {"name": "x", "mimeType": FOLDER, "parents": [lowest]}).json["id"]
    share(alice, top, BOB, "reader")

    answer = raw(BOB)("GET", f"{FILES}/{lowest}?fields=shared,capabilities(canEdit)")
    assert answer.json == {"shared": True, "capabilities": {"canEdit": False}}
    assert len(owner("GET", f"{FILES}/{lowest}/permissions").json["permissions"]) == 2


def test_the_higher_of_two_grants_counts(alice: Any, bob: Any) -> None:
    top = folder(alice, "top")
    file = create(alice, "file", top)
    share(alice, top, BOB, "reader")
    share(alice, file, BOB, "writer")

    assert get(bob, file)["capabilities"]["canEdit"] is True
    assert get(bob, top)["capabilities"]["canEdit"] is False


def test_granting_again_changes_the_role_and_keeps_the_id(alice: Any) -> None:
    file = create(alice, "file")

    assert share(alice, file, BOB, "reader") == share(alice, file, BOB.upper(), "writer")
    assert permissions(alice, file)[BOB] == "writer"


def test_an_address_is_compared_without_case_and_shown_as_first_seen(connect: Any, alice: Any) -> None:
    file = create(alice, "file")
    share(alice, file, "Dave@Example.COM")

    assert get(connect("dave@example.com"), file)["name"] == "file"
    assert "Dave@Example.COM" in permissions(alice, file)


def test_an_account_has_the_same_permission_id_on_every_file(alice: Any, bob: Any) -> None:
    ids = {share(alice, create(alice, name), BOB) for name in "ab"}

    assert ids == {bob.about().get(fields="user").execute()["user"]["permissionId"]}


def test_a_permission_is_read_changed_and_taken_away(alice: Any, bob: Any) -> None:
    file = create(alice, "file")
    permission = share(alice, file, BOB, "reader")
    assert alice.permissions().get(fileId=file, permissionId=permission).execute() == {
        "kind": "drive#permission",
        "id": permission,
        "type": "user",
        "role": "reader",
    }

    alice.permissions().update(fileId=file, permissionId=permission, body={"role": "writer"}).execute()
    bob.files().update(fileId=file, body={"name": "x"}).execute()
    alice.permissions().delete(fileId=file, permissionId=permission).execute()

    assert refusal(bob.files().get(fileId=file)) == (404, "notFound")
    assert refusal(alice.permissions().get(fileId=file, permissionId=permission)) == (404, "notFound")


def test_anyone_may_give_up_their_own_access_but_a_reader_no_others(alice: Any, bob: Any) -> None:
    file = create(alice, "file")
    bobs, carols = share(alice, file, BOB, "reader"), share(alice, file, CAROL, "reader")

    assert refusal(bob.permissions().delete(fileId=file, permissionId=carols))[0] == 403
    bob.permissions().delete(fileId=file, permissionId=bobs).execute()
    assert refusal(bob.files().get(fileId=file)) == (404, "notFound")


def test_the_owner_cannot_be_removed_nor_an_inherited_grant(alice: Any) -> None:
    top = folder(alice, "top")
    file = create(alice, "file", top)
    bobs = share(alice, top, BOB)
    mine = alice.about().get(fields="user").execute()["user"]["permissionId"]

    assert refusal(alice.permissions().delete(fileId=file, permissionId=mine))[0] == 403
    assert refusal(alice.permissions().delete(fileId=file, permissionId=bobs))[0] == 403


def test_writers_may_share_unless_the_owner_forbids_it(alice: Any, bob: Any) -> None:
    file = create(alice, "file")
    share(alice, file, BOB)
    share(bob, file, CAROL, "reader")
    alice.files().update(fileId=file, body={"writersCanShare": False}).execute()

    body = {"type": "user", "role": "reader", "emailAddress": "dave@example.com"}
    assert refusal(bob.permissions().create(fileId=file, body=body)) == (403, "insufficientFilePermissions")


def test_ownership_changes_hands_only_when_asked_for_in_so_many_words(alice: Any, bob: Any) -> None:
    file = create(alice, "file")
    body = {"type": "user", "role": "owner", "emailAddress": BOB}
    assert refusal(alice.permissions().create(fileId=file, body=body)) == (403, "forbidden")

    alice.permissions().create(fileId=file, body=body, transferOwnership=True).execute()

    assert permissions(bob, file) == {BOB: "owner", ALICE: "writer"}
    assert refusal(alice.files().delete(fileId=file))[0] == 403


def test_what_changes_hands_moves_to_its_new_owners_root_when_asked_to(alice: Any, bob: Any, carol: Any) -> None:
    inbox = folder(alice, "inbox")
    share(alice, inbox, CAROL)
    stays, goes = create(alice, "stays", inbox), create(alice, "goes", inbox)
    owner = {"type": "user", "role": "owner", "emailAddress": BOB}
    token = start(carol)
    for file, move in ((stays, False), (goes, True)):
        alice.permissions().create(
            fileId=file, body=owner, transferOwnership=True, moveToNewOwnersRoot=move, fields="id"
        ).execute()

    assert found(alice, f"'{inbox}' in parents") == ["stays"]
    assert found(bob, "'root' in parents") == ["goes"]
    assert permissions(alice, goes) == {ALICE: "writer", BOB: "owner"}
    assert [(change["fileId"], change["removed"]) for change in changes(carol, token)[0]] == [
        (stays, False),
        (goes, True),
    ]


def test_shared_with_me_holds_what_was_shared_by_name(alice: Any, bob: Any) -> None:
    top = folder(alice, "top")
    create(alice, "inner", top)
    permission = share(alice, top, BOB)

    assert found(bob, "sharedWithMe") == ["top"]
    assert found(bob, "not sharedWithMe") == ["inner"]
    assert found(alice, "sharedWithMe") == []
    assert get(bob, top)["sharingUser"]["emailAddress"] == ALICE
    alice.permissions().delete(fileId=top, permissionId=permission).execute()
    assert found(bob, "sharedWithMe") == []


def test_a_domain_reads_what_is_shared_with_it(alice: Any, bob: Any, carol: Any) -> None:
    file = create(alice, "file")
    body = {"type": "domain", "role": "reader", "domain": "example.org"}
    alice.permissions().create(fileId=file, body=body).execute()

    assert get(bob, file)["name"] == "file"
    assert refusal(carol.files().get(fileId=file)) == (404, "notFound")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"role": "writer"},
        {"type": "user", "emailAddress": BOB},
        {"type": "user", "role": "king", "emailAddress": BOB},
        {"type": "robot", "role": "reader", "emailAddress": BOB},
        {"type": "user", "role": "reader"},
        {"type": "user", "role": "reader", "emailAddress": "nobody"},
        {"type": "user", "role": "reader", "emailAddress": "a@b@c"},
        {"type": "user", "role": "reader", "emailAddress": 7},
        {"type": "user", "role": ["reader"], "emailAddress": BOB},
        {"type": ["user"], "role": "reader", "emailAddress": BOB},
        {"type": "domain", "role": "reader", "domain": "a@b"},
        {"type": "anyone", "role": "reader", "allowFileDiscovery": "yes"},
        [],
        "x",
    ],
)
def test_a_malformed_permission_changes_nothing(alice: Any, raw: Any, body: Any) -> None:
    file = create(alice, "file")

    answer = raw()("POST", f"/drive/v3/files/{file}/permissions", body if body != "x" else '"x"')

    assert answer.status == 400
    assert permissions(alice, file) == {ALICE: "owner"}


def test_a_grant_ends_when_it_expires(emulator: DriveEmulator, alice: Any, bob: Any) -> None:
    top = folder(alice, "top")
    inner, token = create(alice, "inner", top), start(bob)
    body = {"type": "user", "role": "reader", "emailAddress": BOB, "expirationTime": in_seconds(emulator, 3600)}
    granted = alice.permissions().create(fileId=top, body=body, fields="id,expirationTime").execute()
    assert granted["expirationTime"] == body["expirationTime"]
    assert get(bob, inner)["name"] == "inner"

    emulator.advance(3601)

    assert refusal(bob.files().get(fileId=inner)) == (404, "notFound")
    assert {change["removed"] for change in changes(bob, token)[0]} == {True}
    assert [permission["role"] for permission in get(alice, top)["permissions"]] == ["owner"]


def test_the_end_of_a_grant_can_be_changed_and_taken_back(emulator: DriveEmulator, alice: Any, bob: Any) -> None:
    file = create(alice, "f")
    held = {"fileId": file, "permissionId": share(alice, file, BOB), "fields": "role,expirationTime"}
    end = in_seconds(emulator, 3600)
    changed = alice.permissions().update(**held, body={"expirationTime": end}).execute()
    assert changed == {"role": "writer", "expirationTime": end}
    kept = alice.permissions().update(**held, body={"role": "reader"}, removeExpiration=True).execute()
    assert kept == {"role": "reader"}
    emulator.advance(3601)
    assert get(bob, file)["name"] == "f"

    for expires in (in_seconds(emulator, -4000), in_seconds(emulator, 400 * 24 * 3600), "soon", 5):
        body = {"type": "user", "role": "reader", "emailAddress": BOB, "expirationTime": expires}
        assert refusal(alice.permissions().create(fileId=file, body=body)) == (400, "invalid")
    link = {"type": "anyone", "role": "reader", "expirationTime": end}
    assert refusal(alice.permissions().create(fileId=file, body=link)) == (400, "invalid")


def in_seconds(emulator: DriveEmulator, seconds: float) -> str:
    assert emulator._server
    time = emulator._server.drive.clock.time() + seconds
    return f"{datetime.fromtimestamp(time, UTC):%Y-%m-%dT%H:%M:%S.000Z}"
