"""Polling by listing, as existing implementations do.

A poll lists the inbox folders, finds each sender's folder and lists each endpoint's files; each look at an outstanding
future finds the folder and lists the file. Folder IDs below an inbox are remembered. Nothing is deleted.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.rivals.drive import FOLDER, INBOXES, PlainDrive
from syft_flwr.events import SyftFlwrEvents
from syft_flwr.rpc import SyftFlwrRpc

Handler = Callable[[bytes], bytes | str | None]


class ListingRpc(SyftFlwrRpc):
    """Sends requests; asks for each reply by itself."""

    def __init__(self, host: str, email: str) -> None:
        self.drive = PlainDrive(host, email)
        self.futures: dict[str, tuple[str, str, str]] = {}

    def send(self, to_email: str, app_name: str, endpoint: str, body: bytes, encrypt: bool = False) -> str:
        del encrypt
        future_id = str(uuid.uuid4())
        folder = self.drive.inbox(self.drive.email, to_email, app_name, endpoint)
        self.drive.upload(f"{future_id}.request", folder, body)
        self.futures[future_id] = (to_email, app_name, endpoint)
        return future_id

    def get_response(self, future_id: str) -> bytes | None:
        peer, app, endpoint = self.futures[future_id]
        roots = self.drive.find(
            f"name='syft_outbox_inbox_{peer}_to_{self.drive.email}' and mimeType='{FOLDER}'",
        )
        folder = self.drive.below(roots[0]["id"], app, "rpc", endpoint) if roots else None
        found = self.drive.find(f"'{folder}' in parents and name='{future_id}.response'") if folder else []
        return self.drive.read(found[0]["id"]) if found else None

    def look(self) -> dict[str, bytes]:
        """Look once for all outstanding replies."""
        replies = {future_id: self.get_response(future_id) for future_id in self.futures}
        return {future_id: body for future_id, body in replies.items() if body is not None}

    def delete_future(self, future_id: str) -> None:
        self.futures.pop(future_id, None)

    def close(self) -> None:
        self.drive.close()


class ListingEvents(SyftFlwrEvents):
    """Answers requests that it finds by listing."""

    def __init__(self, host: str, app: str, email: str, poll_interval: float = 2.0) -> None:
        self.drive = PlainDrive(host, email)
        self._app, self._interval = app, poll_interval
        self._handlers: dict[str, Handler] = {}
        self._done: set[str] = set()
        self._ended = threading.Event()
        self._running = False

    @property
    def client_email(self) -> str:
        return self.drive.email

    @property
    def app_dir(self) -> Path:
        return Path("SyftBox") / self.drive.email / "app_data" / self._app

    @property
    def is_running(self) -> bool:
        return self._running

    def on_request(
        self, endpoint: str, handler: Handler, auto_decrypt: bool = True, encrypt_reply: bool = False
    ) -> None:
        del auto_decrypt, encrypt_reply
        self._handlers[endpoint] = handler

    def run_forever(self) -> None:
        self._running = True
        while not self._ended.wait(self._interval):
            self.poll_once()
        self._running = False

    def stop(self) -> None:
        self._ended.set()

    def close(self) -> None:
        self.drive.close()

    def poll_once(self) -> None:
        """Look for requests once, and answer them."""
        for sender in self._senders(self.drive.find(INBOXES)):
            root = self.drive.find(
                f"name='syft_outbox_inbox_{sender}_to_{self.drive.email}' and mimeType='{FOLDER}'",
            )
            for endpoint in self._handlers:
                folder = self.drive.below(root[0]["id"], self._app, "rpc", endpoint)
                if folder is not None:
                    self._answer(self.drive.find(f"'{folder}' in parents"), sender, endpoint)

    def _senders(self, inboxes: list[dict[str, Any]]) -> list[str]:
        names = [folder["name"].removeprefix("syft_outbox_inbox_").rpartition("_to_") for folder in inboxes]
        return sorted({sender for sender, _, recipient in names if recipient == self.drive.email})

    def _answer(self, files: list[dict[str, Any]], sender: str, endpoint: str) -> None:
        for file in files:
            name = file["name"]
            if not name.endswith(".request") or name in self._done:
                continue
            self._done.add(name)
            reply = self._handlers[endpoint](self.drive.read(file["id"]))
            if reply is not None:
                folder = self.drive.inbox(self.drive.email, sender, self._app, endpoint)
                body = reply.encode() if isinstance(reply, str) else reply
                self.drive.upload(name.replace(".request", ".response"), folder, body)
