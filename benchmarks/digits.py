"""Flower over the feed and over listing, with the same classes for everything above the transport.

The digits example with few and many owners, and a model of 50 MB.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

from benchmarks.counting import Cost, counted
from benchmarks.parties import local_drive
from benchmarks.results import Cell, Result
from benchmarks.rivals.federation import FlowerListingEvents, FlowerListingRpc
from benchmarks.simulate import COLUMNS as PHASES
from benchmarks.simulate import DIGITS, phases
from drive_emulator import DriveEmulator
from syft_flwr.flower.aggregator import Aggregation, RunPlan
from syft_flwr.flower.app_host import ForkedApps
from syft_flwr.flower.connection import DriveConnection, Polling
from syft_flwr.flower.job import AppSpec
from syft_flwr.flower.owner import DataOwner, OwnerConfig
from syft_flwr.flower.project import FlowerProject
from syft_flwr.flower.run_store import RunStore
from syft_flwr.flower.transport import Events, Rpc, wire_app_name

AGGREGATOR = "aggregator@example.com"


@dataclass(frozen=True)
class Federation:
    """A project, who trains it for how long, and how often on one Drive.

    Over the feed the pause grows to 15 seconds when all is quiet.
    """

    owners: int
    rounds: int = 3
    interval: float = 2.0
    project: Path = DIGITS
    config: Mapping[str, int] = field(default_factory=dict)
    runs: int = 1

    def __str__(self) -> str:
        return f"{self.owners} owners, {self.rounds} rounds"


def train(kind: str, drive: DriveEmulator, federation: Federation) -> tuple[dict[str, Cost], float]:
    """Train; return the costs of the aggregator and of all owners, and the seconds."""
    project = FlowerProject.load(federation.project)
    emails = [f"do{number}@example.com" for number in range(1, federation.owners + 1)]
    interval = federation.interval
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place, ExitStack() as stack:
        directory = Path(place)
        apps = ForkedApps(AppSpec(str(project.directory), project.client_app), directory / "jobs")
        stack.callback(apps.close)
        for number, email in enumerate(emails):
            config = OwnerConfig(
                email,
                node_config={"partition-id": number, "num-partitions": federation.owners},
                run_config={**project.run_config, **federation.config},
            )
            events = _events(stack, kind, drive, email, app=project.app_name, interval=interval)
            owner = DataOwner(config, events, apps, RunStore(directory / email / "runs"))
            stack.enter_context(_serving(owner, events))
        apps.warm_up()
        rpc = _rpc(stack, kind, drive, project.app_name, interval)
        overrides = {**federation.config, "num-server-rounds": federation.rounds}
        plan = RunPlan(tuple(emails), overrides, directory / "out", patience=120.0, checkpoints=False)
        with counted(drive, AGGREGATOR) as aggregator, counted(drive, *emails) as answering:
            began = time.monotonic()
            aggregation = Aggregation(project, plan, spool=directory if kind == "feed" else None)
            with redirect_stdout(StringIO()):
                aggregation.run(rpc)
            took = time.monotonic() - began
        rounds = aggregation.result()["rounds"]
        assert [row["round"] for row in rounds if row["round"]] == list(range(1, federation.rounds + 1)), rounds
        return {"aggregator": aggregator, "owners": answering}, took


def _rpc(stack: ExitStack, kind: str, drive: DriveEmulator, app: str, interval: float) -> Rpc:
    if kind == "feed":
        return stack.enter_context(DriveConnection(AGGREGATOR, Polling(interval))).rpc(app)
    rpc = FlowerListingRpc(drive.host, AGGREGATOR, interval)
    stack.callback(rpc.close)
    return rpc


def _events(stack: ExitStack, kind: str, drive: DriveEmulator, email: str, *, app: str, interval: float) -> Events:
    if kind == "feed":
        return stack.enter_context(DriveConnection(email, Polling(interval))).events(app, AGGREGATOR)
    events = FlowerListingEvents(drive.host, wire_app_name(app), email, AGGREGATOR, interval)
    stack.callback(events.close)
    return events


@contextmanager
def _serving(owner: DataOwner, events: Events) -> Iterator[None]:
    thread = threading.Thread(target=owner.run_forever, name="benchmark-owner")
    thread.start()
    try:
        yield
    finally:
        events.stop()
        thread.join(30)


def rows_of(federation: Federation, kind: str, *, latency: int = 0) -> list[list[Cell]]:
    """Return what it costs the aggregator and the owners, and all of them for an owner and round."""
    rows: list[list[Cell]] = []
    share = federation.owners * federation.rounds
    with local_drive() as drive:
        if latency:
            drive.add_fault("latency", seconds=latency / 1000)
        for run in range(1, federation.runs + 1):
            costs, took = train(kind, drive, federation)
            place: list[Cell] = [kind, f"{latency} ms", f"{federation}{f', run {run}' if run > 1 else ''}"]
            total = [sum(getattr(cost, what) for cost in costs.values()) for what in ("calls", "units", "up", "down")]
            rows += [[*place, who, cost.calls, cost.units, cost.up, cost.down, took] for who, cost in costs.items()]
            rows += [[*place, "all", *total, took]]
            rows += [[*place, "an owner and round, all accounts", *(round(n / share) for n in total), took / share]]
    return rows


COLUMNS = ["transport", "a call", "federation", "whose", "calls", "units", "bytes up", "bytes down", "s"]


def run(*, quick: bool, rivals: bool) -> list[Result]:
    cases = [(Federation(2, runs=2), 0), (Federation(3), 0), (Federation(20, rounds=10), 0), (Federation(2), 150)]
    if quick:
        cases = [(Federation(2, interval=0.5), 0)]
    kinds = ("feed", "listing") if rivals else ("feed",)
    rows = [row for case, latency in cases for kind in kinds for row in rows_of(case, kind, latency=latency)]
    return [
        Result("digits", "Flower's digits", COLUMNS, rows, "units"),
        Result("simulate", "Flower's digits at simulate's defaults", PHASES, list(phases()), ""),
    ]
