"""Two accounts on the emulator or on Google Drive, as the facts about Drive are asked of them."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from googleapiclient.errors import HttpError
from googleapiclient.http import MediaInMemoryUpload

FOLDER = "application/vnd.google-apps.folder"
FEED = (
    "nextPageToken,newStartPageToken,changes(fileId,removed,time,changeType,file(id,name,parents,mimeType,trashed,size,"
    "createdTime,sha256Checksum,headRevisionId,properties,ownedByMe,owners(emailAddress),"
    "lastModifyingUser(emailAddress)))"
)
PATIENCE = 90.0
"""Seconds that Google's feeds and lists may lag behind; the emulator's do not."""

Found = TypeVar("Found")


@dataclass
class Account:
    """One account: Google's client library, unmodified, and what the tests do over and over."""

    client: Any
    root: str
    email: str
    lags: bool

    @property
    def files(self) -> Any:
        return self.client.files()

    def create(self, name: str, parent: str, *, content: bytes | None = None, **body: Any) -> str:
        media = None if content is None else MediaInMemoryUpload(content, mimetype=body.get("mimeType", "text/plain"))
        body |= {"name": name, "parents": [parent]}
        created: str = self.files.create(body=body, media_body=media, fields="id").execute()["id"]
        return created

    def folder(self, name: str, parent: str) -> str:
        return self.create(name, parent, mimeType=FOLDER)

    def get(self, file_id: str, fields: str = "*") -> dict[str, Any]:
        shown: dict[str, Any] = self.files.get(fileId=file_id, fields=fields).execute()
        return shown

    def update(self, file_id: str, **body: Any) -> dict[str, Any]:
        changed: dict[str, Any] = self.files.update(fileId=file_id, body=body, fields="*").execute()
        return changed

    def share(self, file_id: str, other: Account, role: str = "writer") -> str:
        body = {"type": "user", "role": role, "emailAddress": other.email}
        call = self.client.permissions().create(fileId=file_id, body=body, sendNotificationEmail=False)
        shared: str = call.execute()["id"]
        return shared

    def start(self) -> str:
        token: str = self.client.changes().getStartPageToken().execute()["startPageToken"]
        return token

    def changes(self, token: str) -> list[dict[str, Any]]:
        """Follow the feed to its end."""
        changes: list[dict[str, Any]] = []
        while True:
            page = self.client.changes().list(pageToken=token, fields=FEED, pageSize=1000).execute()
            changes += page["changes"]
            if "newStartPageToken" in page:
                return changes
            token = page["nextPageToken"]

    def news(self, token: str, *file_ids: str) -> list[dict[str, Any]]:
        """Return the entries of these files, once each has one."""
        return self.until(
            lambda: [change for change in self.changes(token) if change["fileId"] in file_ids],
            lambda found: {change["fileId"] for change in found} == set(file_ids),
        )

    def found(self, q: str, parent: str, **options: Any) -> list[str]:
        """Return the names of what a query finds in a folder, sorted."""
        listed = self.files.list(q=f"'{parent}' in parents and ({q})", **options).execute()["files"]
        return sorted(file["name"] for file in listed)

    def finds(self, names: list[str], q: str, parent: str) -> None:
        """Assert what a query finds, once the list has caught up."""
        assert self.until(lambda: self.found(q, parent), lambda found: found == names) == names

    def until(self, ask: Callable[[], Found], suits: Callable[[Found], bool]) -> Found:
        """Ask until the answer suits, as long as Drive may lag; return the last one."""
        end, never = time.monotonic() + (PATIENCE if self.lags else 0), threading.Event()
        while not suits(answer := ask()) and time.monotonic() < end:
            never.wait(2)
        return answer

    def plain(self, verb: str, path: str, body: bytes = b"", **headers: str) -> tuple[Any, bytes]:
        """Send a request that the client library would not; return the answer's headers and its body."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer, content = self.client._http.request(f"{self.root}{path}", verb, body or None, named)
        return answer, content


@dataclass
class World:
    """Two accounts; ``top`` is a folder of the first, which holds all that a test makes."""

    mine: Account
    yours: Account
    top: str
    also: list[str] = field(default_factory=list)
    """What the second account made outside."""


def refusal(call: Any) -> tuple[int, str]:
    """Carry a call out that must be refused; return status and reason."""
    try:
        answer = call.execute()
    except HttpError as error:
        return error.status_code, json.loads(error.content)["error"]["errors"][0]["reason"]
    raise AssertionError(f"it was not refused: {answer}")
