"""An owner in a process of its own, with a handler that echoes: ``python -m benchmarks.owner KIND HOST SECONDS``.

It writes a line to standard output once it serves. At the endpoint ``memory`` it tells what its memory has peaked at
since it was asked before, in MB above what it was then.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from benchmarks.parties import APP, ENDPOINTS, OWNER
from benchmarks.revision import ROOT
from benchmarks.rivals.listing import ListingEvents
from drive_emulator import DriveEmulator
from syft_flwr.events import P2PFileEvents

UNPACED = {"SYFT_FLWR_QUOTA_PER_MINUTE": "1000000000"}
"""Without it Google's limit for an account would decide how many messages pass."""


@contextmanager
def serving(kind: str, drive: DriveEmulator, *, interval: float = 0.1) -> Iterator[psutil.Process]:
    """Run an owner, which finds its state where this process has its own."""
    command = [sys.executable, "-m", "benchmarks.owner", kind, drive.host, str(interval)]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert child.stdout is not None
    try:
        assert child.stdout.readline(), "the owner did not start"
        yield psutil.Process(child.pid)
    finally:
        child.send_signal(signal.SIGINT)
        child.wait(60)
        child.stdout.close()


class Memory:
    """What this process's resident memory peaks at."""

    def __init__(self) -> None:
        self.idle = 0.0
        self.reset()

    def reset(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")
        self.idle = self.now()

    def now(self) -> float:
        return self._read("VmRSS:")

    def above_idle(self) -> float:
        """Return the MB by which it has been above what it was at the last reset."""
        return self._read("VmHWM:") - self.idle

    @staticmethod
    def _read(name: str) -> float:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def main(kind: str, host: str, interval: str) -> None:
    memory = Memory()

    def tell_memory(_: bytes) -> str:
        told = str(memory.above_idle())
        memory.reset()
        return told

    if kind == "listing":
        events = ListingEvents(host, APP, OWNER, float(interval))
    else:
        os.environ |= UNPACED
        events = P2PFileEvents(APP, OWNER, poll_interval=float(interval))
    events.on_request(ENDPOINTS[0], lambda body: body)
    events.on_request("memory", tell_memory)
    print("serving", flush=True)
    with suppress(KeyboardInterrupt):
        events.run_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
