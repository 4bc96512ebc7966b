from __future__ import annotations

from typing import Any

from googleapiclient.http import MediaInMemoryUpload

from drive_emulator import DriveEmulator

FOLDER = "application/vnd.google-apps.folder"


def test_a_message_travels_from_one_account_to_another(emulator: DriveEmulator, alice: Any, bob: Any) -> None:
    token = bob.changes().getStartPageToken().execute()["startPageToken"]
    folder_id, file_id = alice.files().generateIds(count=2).execute()["ids"]
    alice.files().create(body={"id": folder_id, "name": "inbox", "mimeType": FOLDER}).execute()
    alice.permissions().create(
        fileId=folder_id,
        body={"type": "user", "role": "writer", "emailAddress": "Bob@Example.org"},
        sendNotificationEmail=False,
    ).execute()
    alice.files().create(
        body={"id": file_id, "name": "1.request", "parents": [folder_id]}, media_body=MediaInMemoryUpload(b"hello")
    ).execute()

    page = bob.changes().list(pageToken=token, fields="newStartPageToken,changes(fileId,removed,file(name))").execute()

    assert {change["fileId"]: change["file"]["name"] for change in page["changes"]} == {
        folder_id: "inbox",
        file_id: "1.request",
    }
    assert bob.files().get_media(fileId=file_id).execute() == b"hello"
    assert [file.path for file in emulator.files()] == ["My Drive/inbox", "My Drive/inbox/1.request"]
    assert emulator.stats()["bob@example.org"]["changes.list"]["units"] == 100
