"""What other people do to files, and what Drive keeps from telling of them, at the moment that a test names."""

from __future__ import annotations

from typing import Any

import pytest
from emulator_steps import ALICE, BOB, CAROL, changed, changes, folder, get, refusal, share, start
from googleapiclient.http import MediaInMemoryUpload

from drive_emulator import DriveEmulator

TEXT = MediaInMemoryUpload(b"as it was", mimetype="text/plain")


def upload(client: Any, parent: str | None = None) -> str:
    body = {"name": "x"} | ({"parents": [parent]} if parent else {})
    return client.files().create(body=body, media_body=TEXT, fields="id").execute()["id"]


def read(client: Any, file_id: str) -> bytes:
    return client.files().get_media(fileId=file_id).execute()


def test_an_address_can_be_hidden_from_others(emulator: DriveEmulator, alice: Any, bob: Any) -> None:
    file = upload(alice)
    share(alice, file, BOB)
    with emulator.behaviour(hidden_addresses=[ALICE.upper()]):
        seen, own = get(bob, file), get(alice, file)

    for user in (seen["owners"][0], seen["lastModifyingUser"], seen["sharingUser"]):
        assert "emailAddress" not in user
        assert user["permissionId"] == own["owners"][0]["permissionId"]
    assert [p.get("emailAddress") for p in seen["permissions"]].count(None) == 1
    assert own["owners"][0]["emailAddress"] == ALICE
    assert get(bob, file)["owners"][0]["emailAddress"] == ALICE


def test_users_can_be_missing_altogether_in_the_feed_too(emulator: DriveEmulator, alice: Any, bob: Any) -> None:
    token = start(bob)
    file = upload(alice)
    share(alice, file, BOB)
    with emulator.behaviour(hidden_users=[ALICE]):
        (change,), _ = changes(bob, token)

    assert change["fileId"] == file
    assert not {"owners", "lastModifyingUser", "sharingUser"} & change["file"].keys()


def test_an_editor_renames_anothers_folder(emulator: DriveEmulator, alice: Any, bob: Any) -> None:
    inbox = folder(alice, "inbox")
    share(alice, inbox, BOB)
    token = start(alice)

    emulator.alter(inbox, metadata={"name": "outbox"}, by=BOB)

    assert (get(alice, inbox)["name"], get(alice, inbox)["lastModifyingUser"]["emailAddress"]) == ("outbox", BOB)
    assert changed(alice, token) == [inbox]


def test_a_stranger_can_alter_nothing(emulator: DriveEmulator, alice: Any) -> None:
    file = upload(alice)

    with pytest.raises(ValueError, match="not found"):
        emulator.alter(file, content=b"forged", by=CAROL)
    assert read(alice, file) == b"as it was"


def test_ownership_is_transferred(emulator: DriveEmulator, alice: Any, bob: Any) -> None:
    file = upload(alice)

    emulator.alter(file, owner=BOB)

    assert get(bob, file)["ownedByMe"]
    assert get(alice, file)["owners"][0]["emailAddress"] == BOB


def test_content_changes_just_before_it_is_downloaded(emulator: DriveEmulator, alice: Any) -> None:
    file, other = upload(alice), upload(alice)
    with emulator.fault("alter", method="files.get_media", file_id=file, content=b"forged", times=1):
        assert (read(alice, other), read(alice, file)) == (b"as it was", b"forged")
        emulator.alter(file, content=b"again")
        assert read(alice, file) == b"again"


def test_content_changes_as_soon_as_it_is_uploaded(emulator: DriveEmulator, alice: Any) -> None:
    with emulator.fault("alter", method="files.create", when="after", content=b"", metadata={"name": "y"}):
        file = upload(alice)

    assert (read(alice, file), get(alice, file)["name"]) == (b"", "y")


def test_another_file_changes_at_the_moment_of_a_call(emulator: DriveEmulator, alice: Any, bob: Any) -> None:
    inbox = folder(alice, "inbox")
    share(alice, inbox, BOB)
    with emulator.fault("alter", account=BOB, method="changes.list", target=inbox, metadata={"name": "z"}):
        assert get(alice, inbox)["name"] == "inbox"
        (change,), _ = changes(bob, "1")

    assert change["file"]["name"] == "z"


def test_the_downloads_of_one_file_are_refused(emulator: DriveEmulator, alice: Any) -> None:
    file, other = upload(alice), upload(alice)
    refused = {"method": "files.get_media", "status": 403, "reason": "cannotDownloadFile"}
    with emulator.fault("error", file_id=file, **refused):
        assert refusal(alice.files().get_media(fileId=file)) == (403, "cannotDownloadFile")
        assert read(alice, other) == b"as it was"
        assert get(alice, file)["size"] == "9"


@pytest.mark.parametrize(
    "settings", [{"content": "½"}, {"by": "nobody"}, {"owner": ""}, {"metadata": {"size": "1"}}, {"file_id": 1}]
)
def test_an_alteration_that_makes_no_sense_is_refused(emulator: DriveEmulator, settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"base64|address|writable|can.t be"):
        emulator.add_fault("alter", **settings)
