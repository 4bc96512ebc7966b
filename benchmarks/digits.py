"""Flower's digits example over the feed and over listing, with the same classes for everything above the transport."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.counting import Cost, counted
from benchmarks.parties import local_drive
from benchmarks.results import Cell, Result
from benchmarks.rivals.federation import FlowerListingEvents, FlowerListingRpc
from drive_emulator import DriveEmulator
from syft_flwr.flower.aggregator import Aggregation, RunPlan
from syft_flwr.flower.app_host import ForkedApps
from syft_flwr.flower.job import AppSpec
from syft_flwr.flower.links import Link, Polling
from syft_flwr.flower.owner import DataOwner, OwnerConfig
from syft_flwr.flower.project import FlowerProject
from syft_flwr.flower.run_store import RunStore
from syft_flwr.flower.transport import Events, Rpc, wire_app_name

DIGITS = Path(__file__).parents[1] / "examples" / "digits"
AGGREGATOR = "aggregator@example.com"


def train(kind: str, drive: DriveEmulator, owners: int, interval: float) -> tuple[dict[str, Cost], float]:
    """Train three rounds; return the costs of the aggregator and of all owners, and the seconds.

    Over the feed the pause grows to 15 seconds when all is quiet, as it does by default.
    """
    project = FlowerProject.load(DIGITS)
    emails = [f"do{number}@example.com" for number in range(1, owners + 1)]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place, ExitStack() as stack:
        directory = Path(place)
        apps = ForkedApps(AppSpec(str(project.directory), project.client_app), directory / "jobs")
        stack.callback(apps.close)
        for number, email in enumerate(emails):
            config = OwnerConfig(
                email,
                node_config={"partition-id": number, "num-partitions": owners},
                run_config=project.run_config,
            )
            events = _events(stack, kind, drive, email, app=project.app_name, interval=interval)
            owner = DataOwner(config, events, apps, RunStore(directory / email / "runs"))
            stack.enter_context(_serving(owner, events))
        rpc = _rpc(stack, kind, drive, project.app_name, interval)
        plan = RunPlan(tuple(emails), {}, directory / "out", patience=120.0, checkpoints=False)
        began = time.monotonic()
        with counted(drive, AGGREGATOR) as aggregator, counted(drive, *emails) as answering:
            aggregation = Aggregation(project, plan, spool=directory if kind == "feed" else None)
            aggregation.run(rpc)
            took = time.monotonic() - began
        assert [row["round"] for row in aggregation.result()["rounds"]] == [1, 2, 3]
        return {"aggregator": aggregator, "owners": answering}, took


def _rpc(stack: ExitStack, kind: str, drive: DriveEmulator, app: str, interval: float) -> Rpc:
    if kind == "feed":
        return stack.enter_context(Link(AGGREGATOR, Polling(interval))).rpc(app)
    rpc = FlowerListingRpc(drive.host, AGGREGATOR, interval)
    stack.callback(rpc.close)
    return rpc


def _events(stack: ExitStack, kind: str, drive: DriveEmulator, email: str, *, app: str, interval: float) -> Events:
    if kind == "feed":
        return stack.enter_context(Link(email, Polling(interval))).events(app, AGGREGATOR)
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


def run(*, quick: bool, rivals: bool) -> list[Result]:
    rows: list[list[Cell]] = []
    for latency in (0,) if quick else (0, 150):
        for owners in (2, 3) if quick or latency else (2, 3, 20):
            for kind in ("feed", "listing") if rivals else ("feed",):
                with local_drive() as drive:
                    if latency:
                        drive.add_fault("latency", seconds=latency / 1000)
                    costs, took = train(kind, drive, owners, interval=0.5 if quick else 2.0)
                for who, cost in costs.items():
                    place = [kind, f"{latency} ms", f"{owners} owners", who]
                    rows.append([*place, cost.calls, cost.units, cost.up, cost.down, took])
    columns = ["transport", "a call", "federation", "whose", "calls", "units", "bytes up", "bytes down", "s"]
    return [Result("digits", "Flower's digits, three rounds", columns, rows, "units")]
