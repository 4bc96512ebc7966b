"""What grows with the number of messages: a backlog, requests that wait, futures, senders, endpoints, and the state.

Each measurement is a process of its own that serves or asks over a local Drive, and uses the documented API alone, so
that ``--against`` can measure an older revision in the same way. It ends after some seconds, however large the backlog
is: a rate is what was handled until then. A thousand and more messages that lie behind an account are made in the
process (:mod:`benchmarks.route`).
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

from benchmarks.counting import counted
from benchmarks.owner import UNPACED, Memory
from benchmarks.parties import APP, OWNER, local_drive, make_inboxes
from benchmarks.results import Cell, Result
from benchmarks.revision import ROOT
from drive_emulator import DriveEmulator
from drive_emulator.metadata import Metadata

ME, DS = OWNER, "ds0@example.com"
LONGEST = 20.0
"""Seconds that a backlog is worked off, at most."""


def make_requests(drive: DriveEmulator, count: int, endpoint: str, *, senders: int, first: int = 0) -> None:
    """Put requests of a thousand bytes into the Drive, past HTTP."""
    emails = [f"ds{number}@example.com" for number in range(first, first + senders)]
    folders = make_inboxes(drive, emails, [endpoint])
    store = drive._server.drive  # type: ignore[union-attr] # noqa: SLF001 - over HTTP they would take minutes
    for start in range(0, count, 1_000):
        with store.database.transaction():
            for number in range(start, min(start + 1_000, count)):
                sender, folder = folders[number % len(folders)]
                writer = store.files._blobs.writer()  # noqa: SLF001 - as above
                writer.write(b"x" * 1_000)
                metadata = Metadata(name=f"{uuid.uuid4()}.request", parents=(folder,))
                store.files.create(sender, metadata, writer.finish())


def child_serve(requests: int) -> dict[str, float]:
    """Take so many requests, or those of the longest time."""
    from syft_flwr.events import P2PFileEvents

    memory = Memory()
    cpu, began, first = time.process_time(), time.perf_counter(), 0.0
    taken = 0

    def take(_: bytes) -> None:
        nonlocal taken, first
        taken += 1
        first = first or time.perf_counter() - began
        if taken == requests or time.perf_counter() - began > LONGEST:
            events.stop()

    events = P2PFileEvents(APP, ME, poll_interval=0.2)
    events.on_request("messages", take)
    alarm = threading.Timer(LONGEST + 5, events.stop)  # should none come
    alarm.start()
    events.run_forever()
    alarm.cancel()
    took = time.perf_counter() - began - first
    return {
        "first after s": first,
        "a second": taken / took if took else 0.0,
        "ms of processor each": (time.process_time() - cpu) / max(1, taken) * 1000,
        "MB above idle": memory.above_idle(),
    }


def child_beside(requests: int) -> dict[str, float]:
    """Say so when all is seen that is there; then take so many requests that come meanwhile."""
    from syft_flwr.events import P2PFileEvents
    from syft_flwr.runtime import DriveRuntime

    taken = threading.Semaphore(0)
    with DriveRuntime.open(ME) as runtime:
        events = P2PFileEvents(APP, ME)
        events.on_request("messages", lambda _: taken.release())
        events.attach(runtime)
        while runtime.poll_once():
            pass
        print("ready", flush=True)
        sys.stdin.readline()
        cpu, began, left = time.process_time(), time.perf_counter(), requests
        while left and time.perf_counter() - began < LONGEST:
            runtime.poll_once()
            while left and taken.acquire(timeout=0.2):
                left -= 1
        return {
            "a second": (requests - left) / (time.perf_counter() - began),
            "ms of processor each": (time.process_time() - cpu) / (requests - left or 1) * 1000,
        }


def child_reopen(_: int) -> dict[str, float]:
    from syft_flwr.runtime import DriveRuntime

    began = time.perf_counter()
    DriveRuntime.open(ME).close()
    return {"open and close s": time.perf_counter() - began}


def child_wait(futures: int) -> dict[str, float]:
    """Wait for so many futures, all of which are known and none answered, for a second; then forget that."""
    from syft_flwr.rpc import P2PFileRpc

    with P2PFileRpc(DS, APP, poll_interval=0.5) as rpc:
        asked = rpc.send_many([(ME, APP, "messages", b"x")] * futures)
        cpu = time.process_time()
        rpc.wait(asked, 1.0)
        return {"ms of processor": (time.process_time() - cpu) * 1000}


def child_endpoints(endpoints: int) -> dict[str, float]:
    """Serve so many endpoints of so many apps, for two polls."""
    from syft_flwr.events import P2PFileEvents
    from syft_flwr.runtime import DriveRuntime

    with DriveRuntime.open(ME) as runtime:
        for number in range(endpoints):
            events = P2PFileEvents(f"app-{number}", ME)
            for name in range(endpoints):
                events.on_request(f"endpoint-{name}", lambda body: body)
            events.attach(runtime)
        runtime.poll_once()
        return {"threads": threading.active_count()}


def child_past(messages: int) -> dict[str, float]:
    """Let so many messages lie behind an account; what does a poll cost, and how much memory does it take?"""
    from benchmarks.route import PAGE, serving

    with serving(endpoints=20, disk=True, handles=True) as account:
        account.take(1)
        memory = Memory()
        for _ in range(messages // PAGE - 1):
            account.take(1)
            gc.unfreeze()
        account.runtime.drain(60)
        figures = []
        for _ in range(50):
            began = time.perf_counter()
            account.runtime.poll_once()
            figures.append(time.perf_counter() - began)
        return {"ms a poll": sorted(figures)[25] * 1000, "MB above 1,000": memory.now() - memory.idle}


def in_child(name: str, size: int, *, when_ready: Callable[[], None] | None = None) -> dict[str, float]:
    """Measure in a process of its own; one that says when it is ready goes on after what is done then."""
    command = [sys.executable, "-m", "benchmarks.growth", name, str(size)]
    with tempfile.TemporaryFile("w+") as log:  # a pipe that is not read would fill up, and hold the child
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": log}
        with subprocess.Popen(command, cwd=ROOT, env=os.environ | UNPACED, text=True, **pipes) as child:
            if when_ready is not None and child.stdout and child.stdout.readline() == "ready\n":
                when_ready()
            output, _ = child.communicate("go on\n")
        if child.returncode:
            log.seek(0)
            lines = log.read().strip().splitlines()
            raise RuntimeError(f"{name} {size}: {lines[-1] if lines else child.returncode}")
    answer: dict[str, float] = json.loads(output.splitlines()[-1])
    return answer


def backlog(drive: DriveEmulator, size: int) -> dict[str, float]:
    make_requests(drive, size, "messages", senders=20)
    with counted(drive, ME) as cost:
        found = in_child("serve", size)
    return {**found, "files.list": cost.methods.get("files.list", 0), **in_child("reopen", 0)}


def parked(drive: DriveEmulator, size: int) -> dict[str, float]:
    """A hundred new senders, beside requests for an endpoint that has no handler."""
    make_requests(drive, size, "nobody-serves-this", senders=20)
    return in_child("beside", 100, when_ready=lambda: make_requests(drive, 100, "messages", senders=100, first=100))


def many_senders(drive: DriveEmulator, size: int) -> dict[str, float]:
    make_requests(drive, size, "messages", senders=size)
    return {**in_child("serve", size), **in_child("reopen", 0)}


MEASUREMENTS: dict[str, tuple[Callable[[DriveEmulator, int], dict[str, float]], tuple[int, ...], tuple[int, ...]]] = {
    "backlog": (backlog, (2_000, 10_000, 100_000), (500, 1_000)),
    "100 new senders beside parked requests": (parked, (0, 10_000), (0, 1_000)),
    "senders, one message each": (many_senders, (500, 2_000), (100,)),
    "wait on futures": (lambda _, size: in_child("wait", size), (500, 2_000), (100, 400)),
    "endpoints squared": (lambda _, size: in_child("endpoints", size), (5, 50), (5, 50)),
    "messages that lie behind": (lambda _, size: in_child("past", size), (1_000, 10_000, 100_000), (1_000, 2_000)),
}


def run(*, quick: bool, rivals: bool) -> list[Result]:
    del rivals
    rows: list[list[Cell]] = []
    for name, (measure, sizes, small) in MEASUREMENTS.items():
        for size in small if quick else sizes:
            with local_drive() as drive:
                try:
                    rows += [[name, f"{size:,}", what, figure] for what, figure in measure(drive, size).items()]
                except RuntimeError as error:
                    rows.append([name, f"{size:,}", f"not measured: {error}", 0])
    return [Result("growth", "What grows", ["what", "size", "measured", "figure"], rows, "")]


if __name__ == "__main__":
    child: Any = globals()[f"child_{sys.argv[1]}"]
    print(json.dumps(child(int(sys.argv[2]))))
