"""What the tests of the emulator do over and over: connect as an account, plainly or through Google's client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any

from googleapiclient.discovery import build_from_document
from googleapiclient.discovery_cache import get_static_doc
from googleapiclient.errors import HttpError

ALICE, BOB, CAROL = "alice@example.com", "bob@example.org", "carol@example.net"
FOLDER = "application/vnd.google-apps.folder"
FILES = "/drive/v3/files"


def google_client(url: str, credentials: Any) -> Any:
    """Return the unmodified google-api-python-client, pointed at the emulator by its discovery document alone."""
    document = json.loads(get_static_doc("drive", "v3"))
    document |= {"rootUrl": f"{url}/", "baseUrl": f"{url}/drive/v3/"}
    document.pop("mtlsRootUrl", None)
    return build_from_document(document, credentials=credentials)


class Answer:
    """An HTTP answer, read to its end."""

    def __init__(self, status: int, headers: Any, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def reason(self) -> str:
        return self.json["error"]["errors"][0]["reason"]


class Raw:
    """One account's plain HTTP connection, for what the client library would never send."""

    def __init__(self, port: int, email: str | None) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=30)
        self._headers = {} if email is None else {"Authorization": f"Bearer {email}"}

    def __call__(self, verb: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        if body is not None and not isinstance(body, bytes | str | Iterator):  # the pieces of one are sent in chunks
            body = json.dumps(body)
        self._connection.request(verb, path, body, self._headers | (headers or {}))
        answer = self._connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())

    def close(self) -> None:
        self._connection.close()


def start(client: Any) -> str:
    return client.changes().getStartPageToken().execute()["startPageToken"]


def changes(client: Any, token: str, fields: str = "*") -> tuple[list[dict[str, Any]], str]:
    """Return the changes since the token, which fit one page, and the next token."""
    page = client.changes().list(pageToken=token, fields=fields, pageSize=1000).execute()
    return page["changes"], page["newStartPageToken"]


def changed(client: Any, token: str) -> list[str]:
    """Return the IDs of the files that changed since the token, oldest change first."""
    return [change["fileId"] for change in changes(client, token)[0]]


def create(client: Any, name: str, parent: str | None = None, mime_type: str = "text/plain", **body: Any) -> str:
    body |= {"name": name, "mimeType": mime_type} | ({"parents": [parent]} if parent else {})
    return client.files().create(body=body, fields="id").execute()["id"]


def folder(client: Any, name: str, parent: str | None = None) -> str:
    return create(client, name, parent, FOLDER)


def share(client: Any, file_id: str, email: str, role: str = "writer") -> str:
    """Share without a notice by mail, and return the permission's ID."""
    body = {"type": "user", "role": role, "emailAddress": email}
    return client.permissions().create(fileId=file_id, body=body, sendNotificationEmail=False).execute()["id"]


def get(client: Any, file_id: str) -> dict[str, Any]:
    return client.files().get(fileId=file_id, fields="*").execute()


def found(client: Any, q: str, **options: Any) -> list[str]:
    """Return the names of the files that a query finds on its first page."""
    return [file["name"] for file in client.files().list(q=q, **options).execute()["files"]]


def refusal(call: Any) -> tuple[int, str]:
    """Carry a call out that must be refused; return status and reason."""
    try:
        answer = call.execute()
    except HttpError as error:
        return error.status_code, json.loads(error.content)["error"]["errors"][0]["reason"]
    raise AssertionError(f"it was not refused: {answer}")
