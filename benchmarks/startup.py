"""Starting: import, ``--help``, the first poll of a new state and of a known one."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Iterator

from benchmarks.counting import counted
from benchmarks.parties import APP, ENDPOINTS, OWNER, local_drive
from benchmarks.results import Cell, Result
from drive_emulator import DriveEmulator
from drive_emulator.metadata import Metadata
from syft_flwr import wire
from syft_flwr.events import P2PFileEvents
from syft_flwr.resources import FOLDER_MIME_TYPE
from syft_flwr.runtime import DriveRuntime

COMMAND = ["-m", "syft_flwr.cli.main"]
STARTS = {
    "python alone": ["-c", "pass"],
    "import syft_flwr": ["-c", "import syft_flwr"],
    "from syft_flwr.rpc import P2PFileRpc": ["-c", "from syft_flwr.rpc import P2PFileRpc"],
    "syft-flwr --help": [*COMMAND, "--help"],
}


def seconds_of(arguments: list[str]) -> tuple[float, float]:
    """Return the seconds that a command takes, and its processor time."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
    took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def make_inboxes(emulator: DriveEmulator, senders: int) -> None:
    """Make the folders past HTTP, whose thread has nothing to do meanwhile."""
    drive = emulator._server.drive  # type: ignore[union-attr] # noqa: SLF001 - over HTTP they would take minutes
    with drive.database.transaction():
        for number in range(senders):
            sender = drive.accounts.ensure(f"hospital-{number}@example.org")
            folders: dict[tuple[str, ...], str] = {}
            for endpoint in ENDPOINTS:
                path = tuple(wire.inbox_path(sender.email, OWNER, APP, endpoint))
                for depth in range(1, len(path) + 1):
                    if path[:depth] not in folders:
                        parent = folders.get(path[: depth - 1], "root")
                        metadata = Metadata(name=path[depth - 1], mime_type=FOLDER_MIME_TYPE, parents=(parent,))
                        folders[path[:depth]] = drive.files.create(sender, metadata, None).id
            share = {"type": "user", "role": "writer", "emailAddress": OWNER}
            drive.permissions.create(sender, folders[path[:1]], share, transfer_ownership=False)


def first_polls(senders: int) -> Iterator[list[Cell]]:
    with local_drive() as drive:
        make_inboxes(drive, senders)
        for name in ("first poll, new state", "first poll, known state"):
            with DriveRuntime.open(OWNER) as runtime:
                events = P2PFileEvents(APP, OWNER)
                for endpoint in ENDPOINTS:
                    events.on_request(endpoint, lambda _: None)
                detach = events.attach(runtime)
                with counted(drive, OWNER) as cost:
                    began = time.perf_counter()
                    runtime.poll_once()
                    took = time.perf_counter() - began
                detach()
            yield [f"{name}, {senders:,} senders", took * 1000, "", cost.calls, cost.units]


def run(*, quick: bool, rivals: bool) -> list[Result]:
    del rivals
    tries = 3 if quick else 7
    rows: list[list[Cell]] = []
    for name, arguments in STARTS.items():
        taken = [seconds_of(arguments) for _ in range(tries)]
        rows.append([name, min(took for took, _ in taken) * 1000, min(cpu for _, cpu in taken) * 1000, "", ""])
    for senders in (20,) if quick else (20, 1_000):
        rows += first_polls(senders)
    columns = ["what", "ms", "processor ms", "calls", "units"]
    return [Result("startup", "Starting", columns, rows, "ms")]
