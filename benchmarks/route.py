"""In one process: from a page of the feed over routing to a handler's lane, and the replay of a recording.

Drive is in memory and gives pages of a thousand new requests whose bodies ride in their properties. So what is measured
is this package's own work for a request: journal, judging and routing up to its lane; or all of it, down to a handler
that answers nothing. The ledger is on disk with a synchronous commit; or there is none: rows stay in memory as they
are, and no event log is kept.
"""

from __future__ import annotations

import gc
import random
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import product
from pathlib import Path

from benchmarks import replay
from benchmarks.results import Cell, Result
from syft_flwr import wire
from syft_flwr.clock import SystemClock
from syft_flwr.drive.quota import QuotaMeter
from syft_flwr.exchange.lane import Lane
from syft_flwr.exchange.requester import Request
from syft_flwr.exchange.routes import Route
from syft_flwr.exchange.work import Work
from syft_flwr.resources import Change, ChangePage, DriveFile
from syft_flwr.runtime import DriveRuntime
from syft_flwr.runtime.assembly import Stores, assemble
from syft_flwr.runtime.handle import engine_of
from syft_flwr.settings import Settings
from syft_flwr.state.events import KEPT
from syft_flwr.state.memory import MemoryStore
from syft_flwr.state.store import DiskStore
from syft_flwr.testing.memory_drive import MemoryDrive
from syft_flwr.testing.memory_gateway import MemoryGateway
from syft_flwr.testing.runtimes import MemoryState, runtime_on

ME, APP = "owner@example.com", "flwr/benchmark"
PAGE, SENDERS = 1_000, 20
BODY = b"What do you have?"


class PagesDrive(MemoryGateway):
    """Brings one page of new requests whenever it is asked for changes, as long as it shall."""

    def __init__(self, drive: MemoryDrive, email: str) -> None:
        super().__init__(drive, email)
        self.seen: list[DriveFile] = []
        """Requests that have really come: what pages bring is like them."""
        self.pages: list[ChangePage] = []
        self._number = 0

    def make(self, pages: int) -> None:
        made = [[self._like(self.seen[place % len(self.seen)]) for place in range(PAGE)] for _ in range(pages)]
        self.pages = [ChangePage(tuple(changes), new_start_page_token="") for changes in made]

    def peek(self) -> str:
        return "news" if self.pages else super().peek()

    def list_changes(self, page_token: str) -> ChangePage:
        if self.pages:
            return replace(self.pages.pop(0), new_start_page_token=page_token)
        page = super().list_changes(page_token)
        self.seen += [change.file for change in page.changes if change.file and change.file.name.endswith(".request")]
        return page

    def _like(self, model: DriveFile) -> Change:
        self._number += 1
        now = wire.timestamp(time.time())  # what is older than the last sweeps counts as known
        raw = {
            "id": f"1-{self._number}",
            "name": f"{uuid.UUID(int=random.getrandbits(128), version=4)}.request",
            "parents": list(model.parents),
            "mimeType": model.mime_type,
            "size": str(model.size),
            "createdTime": now,
            "sha256Checksum": model.sha256,
            "owners": [{"emailAddress": model.owners[0], "permissionId": model.owner_ids[0]}],
            "lastModifyingUser": {"emailAddress": model.owners[0], "permissionId": model.owner_ids[0]},
            "properties": dict(model.properties),
        }
        return Change.from_api({"fileId": raw["id"], "time": now, "file": raw})


class EndOfTheWay:
    """A lane that takes whatever is offered, and handles nothing."""

    def __init__(self, took: Callable[[], None]) -> None:
        self._took = took

    def room(self) -> int:
        return 2**31

    def offer(self, work: Work) -> bool:
        del work
        self._took()
        return True

    def stop(self, timeout: float) -> list[Work]:
        del timeout
        return []


class Serving:
    """An account that takes requests, page by page, on threads as in earnest."""

    def __init__(self, gateway: PagesDrive, directory: Path, *, endpoints: int, disk: bool, handles: bool) -> None:
        self.gateway = gateway
        names = ("ledger", "folders")
        stores = [DiskStore(directory / name) if disk else MemoryStore(copies=False) for name in names]
        engine = assemble(
            ME,
            gateway,
            Stores(*stores, directory / "bodies", "benchmark", lambda _: False, keep_events=KEPT if disk else 0),
            settings=Settings(poll_interval=60.0, max_poll_interval=60.0),
            clock=SystemClock(),
            rng=random.Random(0),
            url="http://drive.test",
            meter=QuotaMeter(),
            on_close=lambda: [store.close() for store in stores],
            make_lane=Lane if handles else lambda _name, **_settings: EndOfTheWay(self._take),
        )
        engine.join(self, 60.0, 60.0)
        self.runtime = DriveRuntime(engine)
        self._taken, self._wanted, self._all = 0, 0, threading.Event()
        for number in range(endpoints):
            engine.serve(Route(APP, f"endpoint-{number}", self._take))

    def _take(self, *_: object) -> None:
        self._taken += 1
        if self._taken == self._wanted:
            self._all.set()

    def take(self, pages: int) -> float:
        """Take so many pages of requests; return the seconds until the last was handled."""
        self.gateway.make(pages)
        gc.freeze()  # what is to come is not there in earnest
        self.expect(pages * PAGE)
        began = time.perf_counter()
        for _ in range(pages):
            self.runtime.poll_once()
        self.wait()
        return time.perf_counter() - began

    def expect(self, requests: int) -> None:
        self._taken, self._wanted = 0, requests
        if requests:
            self._all.clear()

    def wait(self) -> None:
        assert self._all.wait(600), f"{self._taken} of {self._wanted} requests were handled"

    def close(self) -> None:
        engine_of(self.runtime).close()


@contextmanager
def serving(*, endpoints: int, disk: bool, handles: bool) -> Iterator[Serving]:
    """Serve an account that has had one request of each of its senders."""
    drive = MemoryDrive(SystemClock())
    gateway = PagesDrive(drive, ME)
    drive.gateway(ME)
    with tempfile.TemporaryDirectory() as place:
        account = Serving(gateway, Path(place), endpoints=endpoints, disk=disk, handles=handles)
        try:
            account.runtime.poll_once()
            account.expect(SENDERS)
            for number in range(SENDERS):
                email = f"sender{number}@example.org"
                state = MemoryState(Path(place) / email)
                with runtime_on(drive.gateway(email), state, SystemClock(), email, inline=True) as sender:
                    sender.send([Request(ME, APP, f"endpoint-{number % endpoints}", BODY)])
            account.runtime.poll_once()
            account.wait()
            yield account
        finally:
            account.close()


def rates(*, endpoints: int, disk: bool, handles: bool, pages: int) -> tuple[float, float]:
    """Return requests a second, and a second of processor time."""
    with serving(endpoints=endpoints, disk=disk, handles=handles) as account:
        account.take(1)
        cpu = time.process_time()
        took = account.take(pages)
        return pages * PAGE / took, pages * PAGE / (time.process_time() - cpu)


def run(*, quick: bool, rivals: bool) -> list[Result]:
    del rivals
    rows: list[list[Cell]] = []
    pages = 2 if quick else 5
    for endpoints in (1, 20) if quick else (1, 20, 1_000):
        for handles, disk in product((False, True), repeat=2):
            what = f"{'handled' if handles else 'to the lane'}, {'ledger on disk' if disk else 'no ledger'}"
            figures = rates(endpoints=endpoints, disk=disk, handles=handles, pages=pages)
            rows.append([what, f"{endpoints:,} endpoints", *figures])
    tries = range(1 if quick else 3)
    for name, exchanges in (("replay, exchanges", True), ("replay, requests only", False)):
        for endpoints in (10, 1_000):
            best = max(replay.rate(10_000 if quick else 50_000, endpoints, exchanges=exchanges) for _ in tries)
            rows.append([name, f"{endpoints:,} endpoints", "", best])
    columns = ["what", "endpoints", "a second", "a processor second"]
    return [Result("route", "Messages a second in one process", columns, rows, "a processor second")]
