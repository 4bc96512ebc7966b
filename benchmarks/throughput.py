"""Small round trips between an owner and its askers, as many as go: a process that answers, threads that ask.

Each asker sends all of its requests at once, takes the answers and forgets them.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor

from benchmarks.counting import counted
from benchmarks.owner import UNPACED, serving
from benchmarks.parties import APP, ENDPOINTS, OWNER, local_drive
from benchmarks.results import Cell, Result
from benchmarks.rivals.listing import ListingRpc
from drive_emulator import DriveEmulator
from syft_flwr.rpc import P2PFileRpc

BODY = os.urandom(1_000)
LOOK_EVERY = 0.1
PATIENCE = 900.0


class FeedAsker:
    def __init__(self, _: DriveEmulator, email: str) -> None:
        self._rpc = P2PFileRpc(email, APP, poll_interval=LOOK_EVERY)
        self.close = self._rpc.close

    def ask(self, requests: int) -> None:
        futures = self._rpc.send_many([(OWNER, APP, ENDPOINTS[0], BODY)] * requests)
        assert len(self._rpc.wait(futures, PATIENCE)) == requests
        for future in futures:
            self._rpc.delete_future(future)


class ListingAsker:
    def __init__(self, drive: DriveEmulator, email: str) -> None:
        self._rpc = ListingRpc(drive.host, email)
        self.close = self._rpc.close

    def ask(self, requests: int) -> None:
        waiting = {self._rpc.send(OWNER, APP, ENDPOINTS[0], BODY) for _ in range(requests)}
        while waiting:
            for future in list(waiting):
                if self._rpc.get_response(future) is not None:
                    waiting.discard(future)
                    self._rpc.delete_future(future)
            time.sleep(LOOK_EVERY)


def exchange(kind: str, *, latency: int, senders: int, requests: int) -> list[Cell]:
    """Return the round trips a second, the owner's processor time for each in ms, and calls and units for each."""
    with local_drive(process=True) as drive, serving(kind, drive, interval=LOOK_EVERY) as owner:
        make = ListingAsker if kind == "listing" else FeedAsker
        askers = [make(drive, f"ds{number}@example.org") for number in range(senders)]
        with ThreadPoolExecutor(senders) as threads:
            list(threads.map(lambda asker: asker.ask(1), askers))
            if latency:
                drive.add_fault("latency", seconds=latency / 1000)
            with counted(drive) as cost:
                before, began = sum(owner.cpu_times()[:2]), time.perf_counter()
                list(threads.map(lambda asker: asker.ask(requests // senders), askers))
                took = time.perf_counter() - began
                cpu = sum(owner.cpu_times()[:2]) - before
            list(threads.map(lambda asker: asker.close(), askers))
    return [requests / took, cpu / requests * 1000, cost.calls / requests, cost.units / requests]


def run(*, quick: bool, rivals: bool) -> list[Result]:
    os.environ |= UNPACED
    rows: list[list[Cell]] = []
    for latency in (0,) if quick else (0, 150):
        for senders in (1, 20):
            for kind in ("feed", "listing") if rivals else ("feed",):
                requests = 100 if quick else 500 if latency else 1_000
                if latency and kind == "listing":
                    requests = 40 if senders > 1 else 20  # it takes a second for each
                figures = exchange(kind, latency=latency, senders=senders, requests=requests)
                rows.append([kind, f"{latency} ms", f"{senders} senders", *figures])
    columns = ["who", "a call", "from", "a second", "owner's ms", "calls each", "units each"]
    return [Result("throughput", "Small round trips, as many as go", columns, rows, "a second")]
