"""Make the recordings beside this file anew, on the emulator: ``python tests/recordings/make.py``."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from accounts import PlainAccount
from syft_flwr.clock import SystemClock
from syft_flwr.drive import gateway
from syft_flwr.events import P2PFileEvents
from syft_flwr.rpc import P2PFileRpc
from syft_flwr.runtime import DriveRuntime, sharing
from syft_flwr.testing import DriveEmulator

HERE = Path(__file__).parent
OWNER = "owner@example.com"
HOSPITALS = ["a@hospital.example", "b@hospital.example", "c@hospital.example"]
DIABETES, DIGITS, ENDPOINT = "flwr/diabetes", "flwr/digits", "updates"


class SteppedClock(SystemClock):
    """The machine's time, moved ahead by hand: minutes pass without waiting."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + SteppedClock.ahead

    def monotonic(self) -> float:
        return super().monotonic() + SteppedClock.ahead


def thanks(body: bytes) -> bytes:
    return b"thanks for " + hashlib.sha256(body).hexdigest()[:8].encode()


class Scene:
    """An account whose feed is recorded, polled by hand, and those who write to it."""

    def __init__(self, drive: DriveEmulator, runtime: DriveRuntime) -> None:
        self.drive = drive
        self.runtime = runtime
        self.rpcs = {email: P2PFileRpc(email, DIABETES) for email in HOSPITALS}
        self._settled = threading.Condition()
        self._replies = 0
        runtime.replied.subscribe(self._count)

    def wait(self, seconds: float) -> None:
        """Let time pass, and poll at its end."""
        self.drive.advance(seconds)
        SteppedClock.ahead += seconds
        self.runtime.poll_once()

    def send(self, sender: str, body: bytes, app: str = DIABETES) -> str:
        return self.rpcs[sender].send(OWNER, app, ENDPOINT, body)

    def await_replies(self, count: int) -> None:
        with self._settled:
            if not self._settled.wait_for(lambda: self._replies >= count, 30):
                raise TimeoutError(f"{self._replies} replies, not {count}")

    def close(self) -> None:
        for rpc in self.rpcs.values():
            rpc.close()

    def _count(self, _: Any) -> None:
        with self._settled:
            self._replies += 1
            self._settled.notify_all()


@contextmanager
def recorded(name: str) -> Iterator[Scene]:
    path = HERE / name
    path.unlink(missing_ok=True)
    shutil.rmtree(path.with_name(f"{name}.bodies"), ignore_errors=True)
    SteppedClock.ahead = 0.0
    with tempfile.TemporaryDirectory() as state, DriveEmulator() as drive:
        os.environ.update(DRIVE_EMULATOR_HOST=drive.host, SYFT_FLWR_STATE_DIR=state)
        with DriveRuntime.open(OWNER) as runtime:
            scene = Scene(drive, runtime)
            detach: list[Callable[[], None]] = []
            for app in (DIABETES, DIGITS):
                events = P2PFileEvents(app, OWNER)
                events.on_request(ENDPOINT, thanks)
                detach.append(events.attach(runtime))
            with runtime.record_to(path, bodies=True):
                yield scene
                for each in detach:
                    each()
            scene.close()
    path.chmod(0o644)


def complete() -> None:
    """A feed that brings everything at once: three senders, two apps, a burst, a stranger, views."""
    with recorded("complete.jsonl") as scene:
        a, b, c = HOSPITALS
        scene.wait(1)
        scene.send(a, b"weights of a, round 1")
        scene.wait(2)
        scene.send(b, b"weights of b, round 1 " * 20)
        scene.send(a, b"pixels of a", app=DIGITS)
        scene.wait(3)
        scene.send(c, b"weights of c, round 1")
        scene.wait(4)
        scene.send(b, b"pixels of b", app=DIGITS)
        scene.wait(20)
        with PlainAccount(scene.drive, "eve@example.net") as eve:
            root = eve.folder(f"syft_outbox_inbox_{a}_to_{OWNER}")
            eve.share(root, OWNER)
            folder = eve.path(DIABETES, "rpc", ENDPOINT, parent=root)
            eve.put("6f9619ff-8b86-4011-b42d-00c04fc964ff.request", folder, b"not from a")
        scene.wait(20)
        for number in range(3):
            scene.send(a, f"weights of a, round 2, try {number + 1}".encode())
            scene.wait(0.5)
        request = next(file for file in scene.drive.files() if file.name.endswith(".request"))
        scene.drive.touch(OWNER, request.id)
        scene.wait(30)
        scene.send(b, b"weights of b, round 2")
        scene.wait(30)
        scene.await_replies(9)
        scene.wait(1)


def delayed() -> None:
    """A feed that brings what lies in others' folders a minute late; sweeps find it before."""
    with recorded("delayed.jsonl") as scene:
        a, b, _ = HOSPITALS
        scene.wait(1)
        with scene.drive.behaviour(foreign_children="delayed", foreign_delay_seconds=60):
            scene.send(a, b"first")
            scene.send(b, b"second")
            for _ in range(4):
                scene.wait(5)
            scene.send(a, b"third")
            scene.wait(30)
            scene.wait(60)
            scene.await_replies(3)
            scene.wait(1)


def tombstones() -> None:
    """A feed in pages of three changes, with requests that are withdrawn and read back."""
    pages, gateway._PAGE_SIZE = gateway._PAGE_SIZE, 3
    try:
        with recorded("tombstones.jsonl") as scene:
            a, b, c = HOSPITALS
            scene.wait(1)
            futures = [
                (sender, scene.send(sender, f"request {i} of {sender}".encode()))
                for sender in (a, b, c)
                for i in (1, 2)
            ]
            withdrawn = scene.send(a, b"never mind")
            scene.rpcs[a].delete_future(withdrawn)
            scene.rpcs[a].runtime.poll_once()
            scene.wait(2)
            scene.await_replies(6)
            scene.wait(2)
            for sender, future_id in futures:
                scene.rpcs[sender].wait([future_id], 30)
                scene.rpcs[sender].delete_future(future_id)
            for rpc in scene.rpcs.values():
                rpc.runtime.poll_once()
            scene.wait(5)
            scene.wait(60)
    finally:
        gateway._PAGE_SIZE = pages


if __name__ == "__main__":
    sharing.SystemClock = SteppedClock  # type: ignore[misc]
    complete()
    delayed()
    tombstones()
