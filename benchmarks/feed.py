"""What it costs to follow an account: ``python benchmarks/feed.py [senders]``.

Makes that many senders with three endpoints each in an emulator, and prints the calls and quota units of the first
poll (with its full sweep), of an idle poll, of an ordinary and of a full sweep, and the time that each takes.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable

from drive_emulator.metadata import Metadata
from syft_flwr import wire
from syft_flwr.drive.quota import units_of
from syft_flwr.exchange.routes import Route
from syft_flwr.feed.schedule import SweepKind
from syft_flwr.models import FOLDER_MIME_TYPE
from syft_flwr.runtime import DriveRuntime
from syft_flwr.runtime.handle import engine_of
from syft_flwr.settings import EMULATOR_VARIABLE, STATE_VARIABLE
from syft_flwr.testing import DriveEmulator

ME = "owner@example.com"
APP = "flwr/diabetes"
ENDPOINTS = ("messages", "evaluate", "status")


def make_inboxes(emulator: DriveEmulator, senders: int) -> None:
    """Make the folders past HTTP, whose thread has nothing to do meanwhile."""
    drive = emulator._server.service.drive  # noqa: SLF001 - eight folders a sender over HTTP would take minutes
    with drive.database.transaction():
        for number in range(senders):
            sender = drive.accounts.ensure(f"hospital-{number}@example.org")
            parent = "root"
            folders: dict[str, str] = {}
            for endpoint in ENDPOINTS:
                path = wire.inbox_path(sender.email, ME, APP, endpoint)
                parent = "root"
                for depth in range(len(path)):
                    key = "\n".join(path[: depth + 1])
                    if key not in folders:
                        metadata = Metadata(name=path[depth], mime_type=FOLDER_MIME_TYPE, parents=(parent,))
                        folders[key] = drive.files.create(sender, metadata, None).id
                    parent = folders[key]
            share = {"type": "user", "role": "writer", "emailAddress": ME}
            drive.permissions.create(sender, folders[path.root], share, transfer_ownership=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("senders", type=int, nargs="?", default=1_000)
    senders = parser.parse_args().senders
    with DriveEmulator() as emulator, tempfile.TemporaryDirectory() as state:
        os.environ |= {EMULATOR_VARIABLE: emulator.host, STATE_VARIABLE: state}
        make_inboxes(emulator, senders)
        print(f"{senders} senders x {len(ENDPOINTS)} endpoints")

        def report(what: str, work: Callable[[], object]) -> None:
            emulator.clear_log()
            began = time.perf_counter()
            work()
            took = time.perf_counter() - began
            calls = Counter(entry["method"] for entry in emulator.requests() if entry["account"] == ME)
            units = sum(units_of(method) * count for method, count in calls.items())
            print(f"{what:16} {calls.total():3} calls {units:6} units {took * 1000:7.0f} ms  {dict(calls)}")

        for start in ("first poll", "after a restart"):
            with DriveRuntime.open(ME) as runtime:
                for endpoint in ENDPOINTS:
                    engine_of(runtime).serve(Route(APP, endpoint, lambda body, _: body))
                report(start, runtime.poll_once)
                report("idle poll", runtime.poll_once)
                report("ordinary sweep", lambda: runtime._engine.follower.sweeps.run(SweepKind.RECENT))  # noqa: SLF001
                report("full sweep", lambda: runtime._engine.follower.sweeps.run(SweepKind.FULL))  # noqa: SLF001


if __name__ == "__main__":
    main()
