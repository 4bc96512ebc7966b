"""What hostile files cost the account that they are aimed at.

    PYTHONPATH=tests python benchmarks/flood.py [--files 200]

A data owner that knows one sender serves on a local Drive. Of each kind so many hostile files come; the table says what
each cost when it came, and what all of them together cost afterwards: a poll, and a full sweep. It is the table in
docs/explanation/security.md.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from accounts import APP, DO, DS, PlainAccount
from syft_flwr.events import P2PFileEvents
from syft_flwr.feed.schedule import SweepKind
from syft_flwr.runtime import DriveRuntime
from syft_flwr.runtime.handle import engine_of
from syft_flwr.testing import DriveEmulator

MALLORY = "mallory@example.net"
LIMIT = 1_000


def request() -> str:
    return f"{uuid.uuid4()}.request"


def unlisted(drive: DriveEmulator, files: int) -> None:
    put(drive, MALLORY, MALLORY, files, request)


def forged(drive: DriveEmulator, files: int) -> None:
    """A stranger's folder that bears the name of a known sender's inbox."""
    put(drive, MALLORY, DS, files, request)


def misnamed(drive: DriveEmulator, files: int) -> None:
    put(drive, DS, DS, files, lambda: f"{uuid.uuid4()}-x.request")


def too_large(drive: DriveEmulator, files: int) -> None:
    put(drive, DS, DS, files, request, body=b"x" * (LIMIT + 1))


def refused(drive: DriveEmulator, files: int) -> None:
    """Files of a known sender that can't be downloaded."""
    drive.add_fault("error", account=DO, method="files.get_media", status=403, reason="cannotDownloadFile")
    put(drive, DS, DS, files, request)


def folders(drive: DriveEmulator, files: int) -> None:
    """A stranger's folders that bear the names of inboxes."""
    with PlainAccount(drive, MALLORY) as account:
        top = account.folder("top")
        account.share(top, DO)
        for number in range(files):
            account.folder(f"syft_outbox_inbox_{number}{DS}_to_{DO}", top)


def scattered(drive: DriveEmulator, files: int) -> None:
    """Forgeries, each in folders of its own."""
    with PlainAccount(drive, MALLORY) as account:
        root = account.path("SyftBox", f"syft_outbox_inbox_{DS}_to_{DO}")
        account.share(root, DO)
        for number in range(files):
            folder = account.folder("messages", account.folder("rpc", account.folder(f"app {number}", root)))
            account.put(request(), folder, b"body")


def honest(drive: DriveEmulator, files: int) -> None:
    put(drive, DS, DS, files, request)


def put(
    drive: DriveEmulator, writer: str, sender: str, files: int, name: Callable[[], str], *, body: bytes = b"body"
) -> None:
    with PlainAccount(drive, writer) as account:
        root = account.path("SyftBox", f"syft_outbox_inbox_{sender}_to_{DO}")
        account.share(root, DO)
        folder = account.path(APP, "rpc", "messages", parent=root)
        for _ in range(files):
            account.put(name(), folder, body)


KINDS = {
    "an honest request, for comparison": honest,
    "a request of a sender that is not listed": unlisted,
    "a request in a folder that a stranger owns": forged,
    "the same, each in three folders of its own": scattered,
    "a stranger's folder with an inbox's name, nothing in it": folders,
    "a message file of no message's name": misnamed,
    "a request above the size limit": too_large,
    "a request that can't be downloaded (403)": refused,
}


def measure(name: str, files: int) -> None:
    with tempfile.TemporaryDirectory() as directory, DriveEmulator() as drive:
        os.environ |= {"DRIVE_EMULATOR_HOST": drive.host, "SYFT_FLWR_STATE_DIR": directory}
        with DriveRuntime.open(DO, max_message_size=LIMIT) as runtime:
            events = P2PFileEvents(APP, DO, allowed_senders=[DS], max_message_size=LIMIT)
            events.on_request("messages", lambda body: body)
            detach = events.attach(runtime)
            runtime.poll_once()
            KINDS[name](drive, files)
            before = size_of(directory)

            def cost(work: Callable[[], object]) -> tuple[float, float]:
                units, began = runtime.meter.snapshot().units, time.perf_counter()
                work()
                return runtime.meter.snapshot().units - units, time.perf_counter() - began

            units, seconds = cost(lambda: runtime.drain(5.0))
            stored = size_of(directory) - before
            poll, _ = cost(runtime.poll_once)
            sweep, swept = cost(lambda: engine_of(runtime).follower.sweeps.run(SweepKind.FULL))
            detach()
        print(
            f"| {name} | {units / files:.1f} | {1000 * seconds / files:.1f} ms | {stored / files:.0f} B "
            f"| {poll:.0f} | {sweep:.0f} | {1000 * swept:.0f} ms |",
            flush=True,
        )


def size_of(directory: str) -> int:
    return sum(path.stat().st_size for path in Path(directory).rglob("*") if path.is_file())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=200)
    files = parser.parse_args().files
    print(f"| {files} times | units each | time each | on disk each | units of a poll | of a full sweep | its time |")
    print("|---|---|---|---|---|---|---|")
    for name in KINDS:
        measure(name, files)


if __name__ == "__main__":
    main()
