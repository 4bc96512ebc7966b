"""Participants for tests: ones of ours, run for a block, and ones that call Drive by hand."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import Any, Self
from urllib.parse import urlencode

from syft_flwr.events import P2PFileEvents
from syft_flwr.models import FeedError, Message, Rejection
from syft_flwr.runtime import DriveRuntime
from syft_flwr.testing import DriveEmulator

PATIENCE = 30.0
FOLDER = "application/vnd.google-apps.folder"

DO = "do@example.com"
DS = "ds@example.org"
APP = "flwr/diabetes"


def wait_until(condition: Callable[[], Any], timeout: float = PATIENCE, *, pause: float = 0.01) -> Any:
    """Return the condition's first true value; fail when there is none in time. ``pause`` is between two looks."""
    never = threading.Event()
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        never.wait(pause)
    return value


@contextmanager
def serving(*events: P2PFileEvents) -> Iterator[None]:
    """Run the watchers for the block; what ``run_forever`` raised, this raises."""
    raised: list[BaseException] = []

    def run(watcher: P2PFileEvents) -> None:
        try:
            watcher.run_forever()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(watcher,), name="run_forever") for watcher in events]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: raised or all(watcher._runtime is not None for watcher in events))
        yield
    finally:
        for watcher in events:
            watcher.stop()
        for thread in threads:
            thread.join(PATIENCE)
            assert not thread.is_alive(), "run_forever did not return"
    if raised:
        raise raised[0]


def owner(
    handler: Callable[..., Any], *, email: str = DO, app: str = APP, endpoint: str = "messages", **settings: Any
) -> P2PFileEvents:
    """Return a watcher with one handler, that polls often."""
    events = P2PFileEvents(app, email, **{"poll_interval": 0.05, **settings})
    events.on_request(endpoint, handler)
    return events


class Observed:
    """What a runtime's streams emitted; a user of the runtime until closed."""

    def __init__(self, email: str, **settings: Any) -> None:
        self.runtime = DriveRuntime.open(email, **{"poll_interval": 0.05, "max_poll_interval": None, **settings})
        self.rejected: list[Rejection] = []
        self.messages: list[Message] = []
        self.responses: list[Message] = []
        self.errors: list[FeedError] = []
        for name in ("rejected", "messages", "responses", "errors"):
            getattr(self.runtime, name).subscribe(getattr(self, name).append)

    def reasons(self) -> list[str]:
        return [rejection.reason for rejection in self.rejected]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.runtime.close()


class PlainAccount:
    """An account that calls Drive by hand, one request at a time."""

    def __init__(self, drive: DriveEmulator, email: str) -> None:
        self.email = email
        self._connection = HTTPConnection("127.0.0.1", drive.port, timeout=PATIENCE)

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def call(self, verb: str, path: str, body: Any = None, **query: Any) -> Any:
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        headers = {"Authorization": f"Bearer {self.email}", "Content-Type": kind}
        self._connection.request(verb, f"{path}?{urlencode(query)}", content, headers)
        answer = self._connection.getresponse()
        data = answer.read()
        assert answer.status in (200, 204), (answer.status, data)
        return data if query.get("alt") == "media" else json.loads(data or b"null")

    def folder(self, name: str, parent: str = "root") -> str:
        made = self.call("POST", "/drive/v3/files", {"name": name, "mimeType": FOLDER, "parents": [parent]})
        return str(made["id"])

    def share(self, file_id: str, email: str, role: str = "writer") -> None:
        permission = {"type": "user", "role": role, "emailAddress": email}
        self.call("POST", f"/drive/v3/files/{file_id}/permissions", permission)

    def put(self, name: str, parent: str, content: bytes, properties: dict[str, str] | None = None) -> str:
        """Create a file with its content in one request."""
        metadata = json.dumps({"name": name, "parents": [parent], "properties": properties or {}}).encode()
        body = b"\r\n".join(
            [
                *(b"--b", b"Content-Type: application/json", b"", metadata),
                *(b"--b", b"Content-Type: application/octet-stream", b"", content, b"--b--", b""),
            ]
        )
        headers = {"Authorization": f"Bearer {self.email}", "Content-Type": "multipart/related; boundary=b"}
        self._connection.request("POST", "/upload/drive/v3/files?uploadType=multipart", body, headers)
        answer = self._connection.getresponse()
        data = answer.read()
        assert answer.status == 200, data
        return str(json.loads(data)["id"])

    def read(self, file_id: str) -> bytes:
        return bytes(self.call("GET", f"/drive/v3/files/{file_id}", alt="media"))

    def find(self, query: str) -> list[dict[str, Any]]:
        found = self.call("GET", "/drive/v3/files", q=f"trashed=false and {query}", fields="files(id,name,owners)")
        return list(found["files"])

    def path(self, *names: str, parent: str = "root") -> str:
        """Return the folder at a path, making what is missing."""
        for name in names:
            escaped = name.replace("\\", "\\\\").replace("'", "\\'")
            found = self.find(f"name='{escaped}' and '{parent}' in parents and mimeType='{FOLDER}'")
            parent = found[0]["id"] if found else self.folder(name, parent)
        return parent

    def inbox(self, sender: str, recipient: str, app: str = APP, endpoint: str = "messages") -> str:
        """Return the endpoint's folder in an inbox of one's own, shared with the other party."""
        root = self.path("SyftBox", f"syft_outbox_inbox_{sender}_to_{recipient}")
        self.share(root, recipient if sender == self.email else sender)
        return self.path(app, "rpc", endpoint, parent=root)


class LegacyPeer(PlainAccount):
    """A participant that behaves on the wire as the existing implementation does.

    It makes and shares its own outbox only, lists folders over and over, and never deletes anything.
    """

    def __enter__(self) -> Self:
        return self

    def send(self, to: str, body: bytes, app: str = APP, endpoint: str = "messages") -> str:
        future_id = str(uuid.uuid4())
        self.put(f"{future_id}.request", self.inbox(self.email, to, app, endpoint), body)
        return future_id

    def get_response(self, to: str, future_id: str, app: str = APP, endpoint: str = "messages") -> bytes | None:
        found = self._in(self._root(to, self.email), app, endpoint, f"name='{future_id}.response'")
        return self.read(found[0]["id"]) if found else None

    def answer_all(
        self, handler: Callable[[bytes], bytes], app: str = APP, endpoint: str = "messages", *, done: set[str]
    ) -> None:
        """Answer the requests in all inboxes but those in ``done``, and add them to it."""
        for root in self.find(f"name contains 'syft_outbox_inbox' and mimeType='{FOLDER}'"):
            prefix, _, recipient = root["name"].rpartition("_to_")
            if recipient != self.email:
                continue
            sender = prefix.removeprefix("syft_outbox_inbox_")
            for request in self._in(root, app, endpoint, "name contains ''"):
                name = request["name"]
                if name.endswith(".request") and name not in done:
                    done.add(name)
                    reply = handler(self.read(request["id"]))
                    folder = self.inbox(self.email, sender, app, endpoint)
                    self.put(name.replace(".request", ".response"), folder, reply)

    def _root(self, sender: str, recipient: str) -> dict[str, Any] | None:
        found = self.find(f"name='syft_outbox_inbox_{sender}_to_{recipient}' and mimeType='{FOLDER}'")
        return found[0] if found else None

    def _in(self, root: dict[str, Any] | None, app: str, endpoint: str, condition: str) -> list[dict[str, Any]]:
        for name in (app, "rpc", endpoint):
            if root is None:
                return []
            found = self.find(f"name='{name}' and '{root['id']}' in parents and mimeType='{FOLDER}'")
            root = found[0] if found else None
        return [] if root is None else self.find(f"'{root['id']}' in parents and {condition}")


def messages(drive: DriveEmulator) -> list[str]:
    """Return the names of the message files that are stored."""
    return [file.name for file in drive.files(content=False) if file.name.endswith((".request", ".response"))]


def calls(drive: DriveEmulator, email: str) -> list[str]:
    """Return the methods that an account called, in order."""
    return [request["method"] for request in drive.requests() if request["account"] == email]
