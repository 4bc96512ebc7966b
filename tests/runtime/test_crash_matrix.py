"""A participant that is killed at any moment, and started again: one reply each, and no handler runs without need."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import crash_zygote
import pytest

from syft_flwr.exchange.requester import Request
from syft_flwr.settings import EMULATOR_VARIABLE
from syft_flwr.testing import DriveEmulator

ME = "do@example.com"
RERUNS = {"in the handler", "after the handler"}


class Zygote:
    """Starts, kills and awaits participants."""

    def __init__(self, host: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, crash_zygote.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, EMULATOR_VARIABLE: host},
        )

    def use(self, directory: Path) -> None:
        """Keep the participants' state in a directory, and their log beside it."""
        self._state = directory / "state"
        self._log = directory / "runs"

    def _ask(self, order: dict[str, Any]) -> int:
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def start(self, step: str | None = None, *, pause: float = 0.0, **settings: Any) -> int:
        settings = {"poll_interval": 0.05, "max_poll_interval": 0.1, **settings}
        order = {"step": step, "state": str(self._state), "log": str(self._log), "pause": pause, "settings": settings}
        return self._ask({"run": order})

    def wait(self, pid: int) -> int:
        return self._ask({"wait": pid})

    def end(self, pid: int, how: signal.Signals) -> int:
        os.kill(pid, how)
        return self.wait(pid)

    def runs(self) -> Counter[str]:
        """How often the handler was run for each future."""
        return Counter(future for future, _ in self.log())

    def log(self) -> list[tuple[str, int]]:
        """Each run of the handler: future ID and process ID."""
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        return [(future, int(pid)) for future, pid in map(str.split, lines)]

    def await_a_run(self, timeout: float) -> None:
        """Wait until a handler runs; for ``timeout`` seconds at most."""
        before = self.runs().total()
        for _ in range(int(timeout / 0.005)):
            if self.runs().total() > before:
                return
            threading.Event().wait(0.005)

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()


@pytest.fixture(scope="module")
def shared_zygote(shared_emulator: DriveEmulator) -> Iterator[Zygote]:
    process = Zygote(shared_emulator.host)
    yield process
    process.close()


@pytest.fixture
def zygote(shared_zygote: Zygote, tmp_path: Path) -> Zygote:
    shared_zygote.use(tmp_path)
    return shared_zygote


def replies(emulator) -> Counter[str]:
    return Counter(file.name for file in emulator.files(content=False) if file.name.endswith(".response"))


def await_polling(emulator) -> None:
    """Wait until the participant follows its feed, so that its first sweep is over."""
    for _ in range(2_000):
        if any(entry["account"] == ME and entry["method"].startswith("changes.") for entry in emulator.requests()):
            return
        threading.Event().wait(0.01)
    raise AssertionError("it does not poll")


@pytest.mark.parametrize("step", crash_zygote.STEPS)
def test_a_participant_killed_at_a_step_answers_once_after_its_restart(emulator, open_runtime, zygote, step) -> None:
    sender = open_runtime("ds@example.com", poll_interval=0.05, inline_bodies=False)
    pid = zygote.start(step, cleanup=False)
    await_polling(emulator)
    [future] = sender.send([Request(ME, "app", "messages", b"1")])
    if step == "during stop":
        assert sender.answered([future], 20.0, enough=1)
        os.kill(pid, signal.SIGTERM)
    assert zygote.wait(pid) == -signal.SIGKILL

    pid = zygote.start(cleanup=False)
    assert sender.answered([future], 20.0, enough=1)
    assert zygote.end(pid, signal.SIGTERM) == 0

    assert sender.get_response(future) == b"answer to 1"
    assert replies(emulator) == {f"{future}.response": 1}
    assert zygote.runs() == {future: 2 if step in RERUNS else 1}


@pytest.mark.parametrize("kills", [10, pytest.param(100, marks=pytest.mark.slow)])
def test_random_kills_under_load_lose_and_double_nothing(emulator, open_runtime, zygote, kills: int) -> None:
    rng = random.Random(11)
    sender = open_runtime("ds@example.com", poll_interval=0.2, cleanup=False)
    futures: list[str] = []
    done = threading.Event()

    def send() -> None:
        while not done.is_set():
            futures.extend(sender.send([Request(ME, "app", "messages", b"%d" % number) for number in range(4)]))
            done.wait(0.3)

    load = threading.Thread(target=send)
    load.start()
    try:
        for number in range(kills):
            pid = zygote.start(cleanup=False, max_attempts=1_000)
            if number % 2:  # at any moment of its start
                threading.Event().wait(rng.uniform(0.01, 0.2))
            else:  # while it works
                zygote.await_a_run(1.0)
                threading.Event().wait(rng.uniform(0.0, 0.03))
            zygote.end(pid, signal.SIGKILL)
        assert zygote.runs().total() > kills * 2 // 5
    finally:
        done.set()
        load.join()
    pid = zygote.start(cleanup=False, max_attempts=1_000)
    answered = sender.answered(futures, 60.0, enough=len(futures))
    assert zygote.end(pid, signal.SIGTERM) == 0

    assert answered == set(futures)
    assert replies(emulator) == {f"{future}.response": 1 for future in futures}
    bodies = Counter(file.content for file in emulator.files() if file.name.endswith(".response"))
    assert bodies == {b"answer to %d" % number: len(futures) // 4 for number in range(4)}


def test_two_processes_share_the_work_and_a_killed_one_stalls_nothing(emulator, open_runtime, zygote) -> None:
    sender = open_runtime("ds@example.com", poll_interval=0.1, cleanup=False)
    killed, survivor = (zygote.start(pause=0.03, cleanup=False) for _ in range(2))
    futures = sender.send([Request(ME, "app", "messages", b"%d" % number) for number in range(60)])
    for _ in range(2_000):
        if {killed, survivor} <= {pid for _, pid in zygote.log()}:
            break
        threading.Event().wait(0.01)
    assert zygote.end(killed, signal.SIGKILL) == -signal.SIGKILL
    taken = Counter(pid for _, pid in zygote.log())
    assert sender.answered(futures, 60.0, enough=60) == set(futures)
    assert zygote.end(survivor, signal.SIGTERM) == 0

    assert taken.keys() == {killed, survivor}
    assert replies(emulator) == {f"{future}.response": 1 for future in futures}
    again = [future for future, times in zygote.runs().items() if times > 1]
    assert len(again) <= 40  # what the killed one had run and not spooled
    runs = zygote.log()
    assert all({pid for future, pid in runs if future == each} == {killed, survivor} for each in again)
