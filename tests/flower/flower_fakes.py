"""An in-memory transport with the signatures of the real one."""

from __future__ import annotations

import hashlib
import threading
import time
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from syft_flwr.clock import SystemClock
from syft_flwr.errors import DamagedDownloadError, DriveError, NotFoundError
from syft_flwr.models import Message as WireMessage
from syft_flwr.ports import Clock


@dataclass
class Letter:
    sender: str
    recipient: str
    app: str
    endpoint: str
    future_id: str
    body: bytes

    def wire(self) -> WireMessage:
        return WireMessage(
            kind="request",
            sender=self.sender,
            recipient=self.recipient,
            app=self.app,
            endpoint=self.endpoint,
            future_id=self.future_id,
            file_id=self.future_id,
            folder_id="folder",
            size=len(self.body),
            created_time="",
        )


@dataclass
class FakeDrive:
    """What all accounts share: requests by recipient, replies by future ID."""

    requests: dict[str, list[Letter]] = field(default_factory=dict)
    replies: dict[str, bytes] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)
    disposed: list[str] = field(default_factory=list)
    objects: dict[str, bytes] = field(default_factory=dict)
    reused: list[int] = field(default_factory=list)
    kept: list[tuple[str, int]] = field(default_factory=list)
    """By whom, and how many bytes."""
    sent: list[bytes] = field(default_factory=list)
    on_publish: Callable[[bytes], bytes | None] = lambda content: content
    unknown: set[str] = field(default_factory=set)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def answer(self, future_id: str, body: bytes) -> None:
        with self.changed:
            self.replies[future_id] = body
            self.changed.notify_all()

    def inbox(self, email: str) -> list[Letter]:
        with self.changed:
            return list(self.requests.get(email, []))

    def wait_for_request(self, email: str, timeout: float = 10.0) -> Letter:
        with self.changed:
            assert self.changed.wait_for(lambda: self.requests.get(email), timeout), f"no request for {email}"
            return self.requests[email].pop(0)


class FakeRpc:
    def __init__(self, drive: FakeDrive, sender: str, clock: Clock | None = None) -> None:
        self.clock = clock or SystemClock()
        self._drive = drive
        self._sender = sender

    def send(
        self, to_email: str, app_name: str, endpoint: str, body: bytes, encrypt: bool = False, *, disposable: str = ""
    ) -> str:
        if to_email in self._drive.unknown:
            raise DriveError(f"{to_email} is no Google account", status=400, reason="invalidSharingRequest")
        future_id = str(uuid.uuid4())
        with self._drive.changed:
            self._drive.sent.append(body)
            letter = Letter(self._sender, to_email, app_name, endpoint, future_id, body)
            self._drive.requests.setdefault(to_email, []).append(letter)
            self._drive.changed.notify_all()
        return future_id

    def get_response(self, future_id: str) -> bytes | None:
        with self._drive.changed:
            return self._drive.replies.get(future_id)

    def answered(self, future_ids: Collection[str], timeout: float) -> set[str]:
        with self._drive.changed:
            self._drive.changed.wait_for(lambda: any(f in self._drive.replies for f in future_ids), timeout)
            return {f for f in future_ids if f in self._drive.replies}

    def delete_future(self, future_id: str) -> None:
        with self._drive.changed:
            self._drive.deleted.append(future_id)
            self._drive.replies.pop(future_id, None)
            for letters in self._drive.requests.values():
                letters[:] = [letter for letter in letters if letter.future_id != future_id]

    def disposable(self, name: str) -> FakeDisposable:
        return FakeDisposable(self._drive, name)


class FakeDisposable:
    def __init__(self, drive: FakeDrive, name: str) -> None:
        self._drive = drive
        self._name = name

    def publish(self, name: str, content: Path, readers: Collection[str]) -> str:
        file_id = f"object-{uuid.uuid4()}"
        published = self._drive.on_publish(content.read_bytes())
        if published is not None:
            self._drive.objects[file_id] = published
        return file_id

    def reused(self, size: int) -> None:
        self._drive.reused.append(size)

    def withdraw(self, file_id: str) -> None:
        del self._drive.objects[file_id]

    def dispose(self) -> None:
        with self._drive.changed:
            self._drive.disposed.append(self._name)


class FakeEvents:
    def __init__(self, drive: FakeDrive, email: str) -> None:
        self._drive = drive
        self._email = email
        self._handlers: dict[str, Callable[..., Any]] = {}
        self._stopped = False

    def on_request(self, endpoint: str, handler: Callable[..., Any], *args: Any, **options: Any) -> None:
        assert options["with_message"]
        self._handlers[endpoint] = handler

    def run_forever(self) -> None:
        while not self._stopped:
            with self._drive.changed:
                self._drive.changed.wait_for(lambda: self._stopped or self._drive.requests.get(self._email), 0.5)
                letter = self._drive.requests[self._email].pop(0) if self._drive.requests.get(self._email) else None
            if letter is None or self._stopped:
                continue
            reply = self._handlers[letter.endpoint](letter.body, letter.wire())
            if reply is not None:
                self._drive.answer(letter.future_id, reply)

    def fetch(self, file_id: str, target: Path, *, size: int, sha256: str) -> None:
        content = self._drive.objects.get(file_id)
        if content is None:
            raise NotFoundError(f"{file_id} is gone", status=404)
        if hashlib.sha256(content).hexdigest() != sha256 or len(content) != size:
            raise DamagedDownloadError(f"{file_id} has other bytes", sha256="0" * 64)
        target.write_bytes(content)

    def kept(self, size: int) -> None:
        self._drive.kept.append((self._email, size))

    def disposable(self, name: str) -> FakeDisposable:
        return FakeDisposable(self._drive, name)

    def drain(self, timeout: float | None = None) -> bool:
        for letter in self._drive.inbox(self._email) if self._drive.requests.get(self._email) else ():
            reply = self._handlers[letter.endpoint](letter.body, letter.wire())
            if reply is not None:
                self._drive.answer(letter.future_id, reply)
        return True

    def stop(self) -> None:
        self._stopped = True
        with self._drive.changed:
            self._drive.changed.notify_all()


class Events:
    """Records progress."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, event: str, /, **fields: Any) -> None:
        self.events.append((event, fields))

    def named(self, name: str) -> list[dict[str, Any]]:
        return [fields for event, fields in self.events if event == name]


def until(condition: Callable[[], Any], timeout: float = 10.0) -> Any:
    """Wait, within a bound, until a condition holds that nothing announces."""
    end, tick = time.monotonic() + timeout, threading.Event()
    while not (value := condition()):
        assert time.monotonic() < end, "the condition never came true"
        tick.wait(0.01)
    return value
