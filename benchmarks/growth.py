"""What grows with the number of messages: ``python benchmarks/growth.py [NAME…] [--against DIR] [--quick]``.

Each measurement is a process of its own that serves or asks over a local Drive, and prints one line. It uses the
documented API alone, so that ``--against`` can run the same in another checkout (which has a ``.venv`` of its own) and
print both side by side. Seconds and megabytes are those of this machine and run: compare the two columns, and the
sizes with each other.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

ME, DS, APP = "owner@example.com", "ds0@example.com", "flwr/growth"
SIZES = {"backlog": (2_000, 10_000, 100_000), "wait": (10_000, 100_000), "parked": (0, 10_000)}
QUICK = {"backlog": (500, 2_000), "wait": (1_000, 10_000), "parked": (0, 1_000)}


def rss_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def make_requests(drive: Any, count: int, endpoint: str = "messages", senders: int = 20, first: int = 0) -> None:
    """Put requests of a thousand bytes into the Drive, past HTTP."""
    try:
        from drive_emulator.metadata import Metadata
    except ImportError:  # an older checkout
        from syft_flwr.emulator.metadata import Metadata
    from syft_flwr import wire

    service = drive._server.service.drive  # noqa: SLF001 - a hundred thousand over HTTP take minutes
    folders = []
    with service.database.transaction():
        for number in range(first, first + senders):
            sender, parent, root = service.accounts.ensure(f"ds{number}@example.com"), "root", None
            for name in wire.inbox_path(sender.email, ME, APP, endpoint):
                metadata = Metadata(name=name, mime_type="application/vnd.google-apps.folder", parents=(parent,))
                parent = service.files.create(sender, metadata, None).id
                root = root or parent
            share = {"type": "user", "role": "writer", "emailAddress": ME}
            service.permissions.create(sender, root, share, transfer_ownership=False)
            folders.append((sender, parent))
    for start in range(0, count, 1_000):
        with service.database.transaction():
            for number in range(start, min(start + 1_000, count)):
                sender, folder = folders[number % len(folders)]
                writer = service.files._blobs.writer()  # noqa: SLF001 - as above
                writer.write(b"x" * 1_000)
                writer.sync()
                metadata = Metadata(name=f"{uuid.uuid4()}.request", parents=(folder,))
                service.files.create(sender, metadata, writer.finish())


def serve(counts: int, done: Callable[[], None]) -> dict[str, float]:
    """Answer so many requests; return when the first and the last came, and what it took."""
    from syft_flwr.events import P2PFileEvents

    began, cpu = time.perf_counter(), time.process_time()
    seen: list[float] = []

    def answer(_: bytes) -> None:
        seen.append(time.perf_counter() - began)
        if len(seen) == counts:
            done()
            events.stop()

    events = P2PFileEvents(APP, ME, poll_interval=0.2)
    events.on_request("messages", answer)
    before = rss_mb()
    events.run_forever()
    return {
        "first s": seen[0],
        "per s": counts / seen[-1],
        "cpu ms each": (time.process_time() - cpu) / counts * 1000,
        "MB more": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000 - before,
        "threads": threading.active_count(),
    }


def child_backlog(size: int) -> dict[str, float]:
    return serve(size, lambda: None)


def child_parked(_: int) -> dict[str, float]:
    """The last hundred requests, of new senders, behind those that no handler takes."""
    return serve(100, lambda: None)


def child_wait(size: int) -> dict[str, float]:
    """Wait for so many futures that are answered in the ledger a hundred at a time."""
    from syft_flwr.rpc import P2PFileRpc

    with P2PFileRpc(DS, APP) as rpc:
        futures = [str(uuid.uuid4()) for _ in range(size)]
        began = time.perf_counter()
        rpc.wait(futures, 30)
        return {"unknown futures s": time.perf_counter() - began}


def child_reopen(_: int) -> dict[str, float]:
    from syft_flwr.runtime import DriveRuntime

    began = time.perf_counter()
    DriveRuntime.open(ME).close()
    return {"open and close s": time.perf_counter() - began}


def measure(name: str, size: int, python: str) -> dict[str, float]:
    """Run one measurement in a process of its own, over a Drive of its own."""
    from syft_flwr.testing import DriveEmulator

    with DriveEmulator() as drive, tempfile.TemporaryDirectory() as state:
        if name == "backlog":
            make_requests(drive, size)
        elif name == "parked":
            make_requests(drive, size, endpoint="nobody-serves-this")
            make_requests(drive, 100, senders=100, first=100)
        drive.clear_log()
        environment = os.environ | {"DRIVE_EMULATOR_HOST": drive.host, "SYFT_FLWR_STATE_DIR": state}
        environment["SYFT_FLWR_QUOTA_PER_MINUTE"] = (
            "1000000000"  # Google's limit would decide what a large backlog takes
        )
        result = run_child(python, name, size, environment)
        listed = [entry for entry in drive.requests() if entry["method"] == "files.list" and entry["account"] == ME]
        result["lists"] = len(listed)
        if name == "backlog":
            result |= run_child(python, "reopen", size, environment)
        return result


def run_child(python: str, name: str, size: int, environment: dict[str, str]) -> dict[str, float]:
    command = [python, __file__, "--child", name, str(size)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"failed": done.returncode}
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(SIZES), metavar="NAME", help=", ".join(SIZES))
    parser.add_argument("--against", type=Path, help="another checkout, with a .venv of its own")
    parser.add_argument("--quick", action="store_true", help="small sizes")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        name, size = options.child
        print(json.dumps(globals()[f"child_{name}"](int(size))))
        return
    pythons = {"here": sys.executable}
    if options.against:
        pythons["there"] = str(options.against / ".venv/bin/python")
    for name in options.names:
        for size in (QUICK if options.quick else SIZES)[name]:
            for where, python in pythons.items():
                figures = measure(name, size, python)
                told = "  ".join(f"{what} {value:,.1f}" for what, value in figures.items())
                print(f"{name:8} {size:7,} {where:6} {told}", flush=True)


if __name__ == "__main__":
    main()
