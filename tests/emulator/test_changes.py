from __future__ import annotations

from typing import Any

FOLDER = "application/vnd.google-apps.folder"


def start(client: Any) -> str:
    return client.changes().getStartPageToken().execute()["startPageToken"]


def changes(client: Any, token: str, fields: str = "*") -> tuple[list[dict[str, Any]], str]:
    page = client.changes().list(pageToken=token, fields=fields, pageSize=1000).execute()
    return page["changes"], page["newStartPageToken"]


def create(client: Any, name: str, parent: str | None = None, mime_type: str = "text/plain") -> str:
    body = {"name": name, "mimeType": mime_type} | ({"parents": [parent]} if parent else {})
    return client.files().create(body=body, fields="id").execute()["id"]


def share(client: Any, file_id: str, email: str, role: str = "writer") -> str:
    body = {"type": "user", "role": role, "emailAddress": email}
    return client.permissions().create(fileId=file_id, body=body, sendNotificationEmail=False).execute()["id"]


def test_sharing_a_folder_tells_that_its_files_have_a_parent_now(alice: Any, bob: Any) -> None:
    folder = create(alice, "folder", mime_type=FOLDER)
    file = create(alice, "file", folder)
    share(alice, file, "bob@example.org")
    before, token = changes(bob, "1")
    assert "parents" not in before[0]["file"]

    share(alice, folder, "bob@example.org", "reader")

    after, _ = changes(bob, token)
    assert {change["fileId"]: change["file"].get("parents") for change in after} == {folder: None, file: [folder]}
