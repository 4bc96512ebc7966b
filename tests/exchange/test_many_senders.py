from __future__ import annotations

import threading
import uuid
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from accounts import APP, DO, PlainAccount, calls, serving, wait_until
from syft_flwr.events import P2PFileEvents
from syft_flwr.models import Message
from syft_flwr.testing import DriveEmulator

SENDERS = 20


class Sender(PlainAccount):
    """Sends one request after the other; what it has sent is in ``files``: future ID to file ID."""

    def __init__(self, drive: DriveEmulator, number: int) -> None:
        super().__init__(drive, f"ds{number}@example.org")
        self._folder = self.inbox(self.email, DO)
        self.files: dict[str, str] = {}

    def send(self, count: int) -> None:
        for _ in range(count):
            future_id = str(uuid.uuid4())
            self.files[future_id] = self.put(f"{future_id}.request", self._folder, self.body(future_id))

    def body(self, future_id: str) -> bytes:
        return f"{self.email} {len(self.files)} {future_id}".encode()

    def delete(self) -> None:
        for file_id in self.files.values():
            self.call("DELETE", f"/drive/v3/files/{file_id}")


@pytest.mark.usefixtures("plain_environment")
@pytest.mark.timeout(400)
@pytest.mark.parametrize("each", [5, pytest.param(100, marks=pytest.mark.slow)])
def test_the_requests_of_twenty_senders_are_answered_once_and_in_order(
    monkeypatch: pytest.MonkeyPatch, each: int
) -> None:
    early = each * 2 // 5
    handled: defaultdict[str, list[str]] = defaultdict(list)
    all_handled = threading.Event()

    def echo(body: bytes, message: Message) -> bytes:
        handled[message.sender].append(message.future_id)
        if sum(len(futures) for futures in handled.values()) == SENDERS * each:
            all_handled.set()
        return body

    events = P2PFileEvents(APP, DO, poll_interval=0.2)
    events.on_request("messages", echo, with_message=True)
    with DriveEmulator(process=True) as drive, ExitStack() as stack:
        monkeypatch.setenv("DRIVE_EMULATOR_HOST", drive.host)
        senders = [stack.enter_context(Sender(drive, number)) for number in range(SENDERS)]
        pool = stack.enter_context(ThreadPoolExecutor(2))
        list(pool.map(lambda sender: sender.send(early), senders))
        with serving(events):
            list(pool.map(lambda sender: sender.send(each - early), senders))
            assert all_handled.wait(200)
            wait_until(lambda: len(stored(drive, ".response")) == SENDERS * each, 200, pause=1.0)
            replies = {file.name: file.content for file in drive.files()}
            listed = calls(drive, DO).count("files.list")
            list(pool.map(Sender.delete, senders))
            wait_until(lambda: not stored(drive, ""), 200, pause=1.0)

    for sender in senders:
        assert handled[sender.email] == list(sender.files), "each once, and in the order of sending"
        assert all(f"{replies[f'{future_id}.response'].decode()}".endswith(future_id) for future_id in sender.files)
    assert Counter(name.rpartition(".")[2] for name in replies)["response"] == SENDERS * each
    assert listed < 50, "nothing is listed for each message"


def stored(drive: DriveEmulator, suffix: str) -> list[str]:
    """Return the names of the message files whose names end so."""
    return [file.name for file in drive.files(content=False) if file.size is not None and file.name.endswith(suffix)]
