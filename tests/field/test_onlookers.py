"""Two working processes that are killed, a bad network, and onlookers who come and go: each sees each exchange once."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import pytest

from accounts import APP, DO, DS, owner
from onlookers import Looking, Recording
from syft_flwr.replay import replay
from syft_flwr.rpc import P2PFileRpc
from syft_flwr.testing import DriveEmulator

WORKER = f"""
from syft_flwr.events import P2PFileEvents
events = P2PFileEvents({APP!r}, {DO!r}, poll_interval=0.05)
events.on_request("messages", lambda body: b"re:" + body[::-1])
print("works", flush=True)
events.run_forever()
"""
LONG = 120.0


def answer(body: bytes) -> bytes:
    return b"re:" + body[::-1]


class Workers:
    """Processes that work for the account; a context manager."""

    def __init__(self) -> None:
        self.running: list[subprocess.Popen[str]] = []

    def start(self) -> None:
        child = subprocess.Popen([sys.executable, "-c", WORKER], stdout=subprocess.PIPE, text=True)
        self.running.append(child)

    def ready(self) -> None:
        for child in self.running:
            assert child.stdout is not None
            if not child.stdout.closed:
                assert child.stdout.readline() == "works\n"
                child.stdout.close()

    def kill(self, index: int) -> None:
        child = self.running.pop(index)
        child.kill()
        child.wait()
        assert child.stdout is not None
        child.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        while self.running:
            self.kill(0)


@pytest.mark.parametrize(
    ("rounds", "batch"),
    [(4, 10), pytest.param(20, 50, marks=[pytest.mark.slow, pytest.mark.timeout(1_200)])],
)
def test_each_onlooker_sees_every_exchange_once_and_the_recording_replays_to_the_same_replies(
    drive: DriveEmulator, tmp_path: Path, capsys: pytest.CaptureFixture[str], rounds: int, batch: int
) -> None:
    randoms = random.Random(1)
    path = tmp_path / "feed.jsonl"
    recorded: list[bytes] = []
    with ExitStack() as stack:
        rpc = stack.enter_context(P2PFileRpc(DS, APP))
        workers = stack.enter_context(Workers())
        for _ in range(2):
            workers.start()
        workers.ready()
        drive.seed(1)
        drive.add_fault("error", status=503, rate=0.05)
        drive.add_fault("reset", when="after", rate=0.03)
        for number in range(rounds):
            records = number % 3 != 1
            bodies = [b"%d-%d" % (number, n) + randoms.randbytes(randoms.choice((5, 9_000))) for n in range(batch)]
            with Looking() as watcher, ExitStack() as onlookers:
                recording = onlookers.enter_context(Recording(path)) if records else None
                futures = rpc.send_many([(DO, APP, "messages", body) for body in bodies])
                next(iter(rpc.as_completed(futures, LONG)))
                workers.kill(randoms.randrange(2))  # in the midst of it
                workers.start()
                replies = rpc.wait(futures, LONG)
                assert [replies[future] for future in futures] == [answer(body) for body in bodies]
                for future in futures:
                    rpc.delete_future(future)
                watcher.wait_for("replied", futures)
                if recording is not None:
                    recording.wait_for({f"{future}.response" for future in futures})
                    recorded += bodies
                workers.ready()
            assert watcher.gaps == []
            for what in ("handled", "replied"):
                assert Counter(watcher.futures(what)) == Counter(futures), what
    said = capsys.readouterr().err
    assert said.count(f"it lacks {batch} messages of the time when nothing recorded") == (rounds - 1) // 3
    assert "it lacks the body" not in said
    with replay(path) as feed:
        feed.serve(owner(answer))
        feed.run()
        feed.raise_errors()
        assert Counter(reply.body for reply in feed.replies) == Counter(answer(body) for body in recorded)
        assert {upload.name: upload.body for upload in feed.uploads} == {
            upload.name: upload.body for upload in feed.recorded_uploads
        }
