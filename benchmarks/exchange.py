"""How fast requests and replies pass between two accounts, and what a round trip costs.

    python benchmarks/exchange.py [--requests 500] [--body-bytes 1000] [--large-mb 100]

Runs an emulator, a requester and an owner with an echo handler in three processes, and prints figures. Real Drive adds
some 0.3 to 0.6 seconds to each call and throttles sustained writes at about 3 a second; what is measured here is the
work of this package.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil

from syft_flwr.rpc import P2PFileRpc
from syft_flwr.testing import DriveEmulator

OWNER, REQUESTER, APP = "do@example.com", "ds@example.com", "flwr/benchmark"

SERVE = f"""
from syft_flwr.events import P2PFileEvents
events = P2PFileEvents({APP!r}, {OWNER!r}, poll_interval=0.1)
events.on_request("echo", lambda body: body)
try:
    events.run_forever()
except KeyboardInterrupt:
    pass
"""


@contextmanager
def owner() -> Iterator[psutil.Process]:
    child = subprocess.Popen([sys.executable, "-c", SERVE])
    try:
        yield psutil.Process(child.pid)
    finally:
        child.send_signal(signal.SIGINT)
        child.wait(30)


def cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def measure(name: str, count: int, processes: dict[str, psutil.Process], work: Any) -> None:
    before = {role: cpu(process) for role, process in processes.items()}
    started = time.perf_counter()
    work()
    took = time.perf_counter() - started
    spent = ", ".join(
        f"{role} {(cpu(process) - before[role]) / count * 1e3:.1f}" for role, process in processes.items()
    )
    print(f"{name:<22} {count / took:8.1f}/s   {took:6.2f} s   CPU per piece (ms): {spent}")


def gone(drive: DriveEmulator) -> bool:
    return not any(file.size is not None for file in drive.files(content=False))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--body-bytes", type=int, default=1000)
    parser.add_argument("--large-mb", type=int, default=100)
    options = parser.parse_args()
    body, large = os.urandom(options.body_bytes), os.urandom(options.large_mb * 1024 * 1024)

    with tempfile.TemporaryDirectory() as state, DriveEmulator(process=True) as drive:
        os.environ |= {"DRIVE_EMULATOR_HOST": drive.host, "SYFT_FLWR_STATE_DIR": state}
        with owner() as serving, P2PFileRpc(REQUESTER, APP) as rpc:
            processes = {
                "requester": psutil.Process(),
                "owner": serving,
                "emulator": psutil.Process(drive.pid),
            }

            def send(count: int, content: bytes) -> list[str]:
                return rpc.send_many([(OWNER, APP, "echo", content)] * count)

            rpc.delete_future(*rpc.wait(send(1, b"hello"), 60))
            drive.clear_log()
            futures: list[str] = []
            count = options.requests
            measure("sent", count, processes, lambda: futures.extend(send(count, body)))
            measure("answered and fetched", count, processes, lambda: rpc.wait(futures, 600))

            def clean_up() -> None:
                for future_id in futures:
                    rpc.delete_future(future_id)
                while not gone(drive):
                    time.sleep(0.2)

            measure("cleaned up", count, processes, clean_up)
            calls = Counter(request["method"] for request in drive.requests())
            print("calls:", ", ".join(f"{method} {number}" for method, number in calls.most_common()))

            def one_by_one() -> None:
                for _ in range(20):
                    rpc.delete_future(*rpc.wait([rpc.send(OWNER, APP, "echo", body)], 60))

            measure("one after the other", 20, processes, one_by_one)
            measure(
                f"{options.large_mb} MB each way, in MB",
                options.large_mb,
                processes,
                lambda: rpc.wait(send(1, large), 600),
            )


if __name__ == "__main__":
    main()
