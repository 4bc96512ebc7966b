"""A plain client of Drive: one kept connection, one lock around all calls, IDs of folders remembered."""

from __future__ import annotations

import json
import threading
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlencode, urlsplit

from syft_flwr import wire

FOLDER = "application/vnd.google-apps.folder"
INBOXES = f"name contains 'syft_outbox_inbox' and mimeType='{FOLDER}'"


class PlainDrive:
    """One account's calls to a local Drive."""

    def __init__(self, host: str, email: str) -> None:
        self.email = email
        self._connection = HTTPConnection(host.removeprefix("http://"), timeout=60)
        self._lock = threading.RLock()
        self._folders: dict[tuple[str, ...], str] = {}

    def find(self, query: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        page: dict[str, str] = {}
        while True:
            terms = {"q": f"({query}) and trashed=false", "fields": "nextPageToken,files(id,name,owners,parents)"}
            answer = self._json("GET", "/drive/v3/files", query={**terms, "pageSize": "1000", **page})
            found += answer["files"]
            if "nextPageToken" not in answer:
                return found
            page = {"pageToken": answer["nextPageToken"]}

    def read(self, file_id: str) -> bytes:
        return self._call("GET", f"/drive/v3/files/{file_id}", query={"alt": "media"})[1]

    def delete(self, file_id: str) -> None:
        self._call("DELETE", f"/drive/v3/files/{file_id}")

    def upload(self, name: str, parent: str, body: bytes) -> str:
        """Upload in a resumable session, as existing implementations do for every body."""
        metadata = {"name": name, "parents": [parent]}
        begun, _ = self._call("POST", "/upload/drive/v3/files", metadata, query={"uploadType": "resumable"})
        place = urlsplit(begun["location"])
        _, answer = self._call("PUT", f"{place.path}?{place.query}", body)
        return str(json.loads(answer)["id"])

    def inbox(self, sender: str, recipient: str, app: str, endpoint: str) -> str:
        """Return the endpoint's folder, made and shared where it is missing."""
        names = tuple(wire.inbox_path(sender, recipient, app, endpoint))
        parent = "root"
        with self._lock:
            for depth in range(1, len(names) + 1):
                key = names[:depth]
                if key not in self._folders:
                    self._folders[key] = self._folder(names[depth - 1], parent)
                    if names[depth - 1].startswith("syft_outbox_inbox_"):
                        grant = {"type": "user", "role": "writer", "emailAddress": recipient}
                        self._json("POST", f"/drive/v3/files/{self._folders[key]}/permissions", grant)
                parent = self._folders[key]
        return parent

    def below(self, root: str, *names: str) -> str | None:
        """Return a folder of somebody's inbox; found ones are remembered."""
        parent = root
        for depth, name in enumerate(names, 1):
            key = (root, *names[:depth])
            if key not in self._folders:
                found = self.find(f"name='{name}' and '{parent}' in parents and mimeType='{FOLDER}'")
                if not found:
                    return None
                self._folders[key] = found[0]["id"]
            parent = self._folders[key]
        return parent

    def close(self) -> None:
        self._connection.close()

    def _folder(self, name: str, parent: str) -> str:
        found = self.find(f"name='{name}' and '{parent}' in parents and mimeType='{FOLDER}'")
        if found:
            return str(found[0]["id"])
        made = self._json("POST", "/drive/v3/files", {"name": name, "mimeType": FOLDER, "parents": [parent]})
        return str(made["id"])

    def _json(self, verb: str, path: str, body: Any = None, *, query: dict[str, str] | None = None) -> Any:
        return json.loads(self._call(verb, path, body, query=query)[1])

    def _call(
        self, verb: str, path: str, body: Any = None, *, query: dict[str, str] | None = None
    ) -> tuple[dict[str, str], bytes]:
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        headers = {"Authorization": f"Bearer {self.email}", "Content-Type": kind}
        with self._lock:
            target = f"{path}?{urlencode(query)}" if query else path
            try:
                self._connection.request(verb, target, content, headers)
                answer = self._connection.getresponse()
            except ConnectionError:  # it had lain idle for too long
                self._connection.close()
                self._connection.request(verb, target, content, headers)
                answer = self._connection.getresponse()
            data = answer.read()
        if answer.status not in (200, 204):
            raise OSError(f"{verb} {path}: {answer.status} {data[:200]!r}")
        return {name.lower(): value for name, value in answer.getheaders()}, data
