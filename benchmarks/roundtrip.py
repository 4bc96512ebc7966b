"""A warm round trip, step by step: a request of 5 bytes, the answer, and what is deleted afterwards."""

from __future__ import annotations

import time

from benchmarks.counting import Cost, counted
from benchmarks.parties import Parties, kinds, local_drive, parties
from benchmarks.results import Cell, Result
from drive_emulator import DriveEmulator


def steps(pair: Parties, drive: DriveEmulator) -> dict[str, tuple[Cost, float]]:
    """Return each step's cost, and its seconds."""
    futures: list[str] = []
    works = {
        "send": lambda: futures.extend(pair.send([b"hello"])),
        "look and answer": pair.answer,
        "look and take": lambda: pair.look(futures),
        "forget": lambda: pair.forget(futures),
        "owner cleans up": pair.answer,
        "idle look of the owner": pair.answer,
    }
    taken = {}
    for name, work in works.items():
        began = time.perf_counter()
        with counted(drive) as cost:
            work()
            took = time.perf_counter() - began
        taken[name] = (cost, took)
    return taken


def run(*, quick: bool, rivals: bool) -> list[Result]:
    rows: list[list[Cell]] = []
    for latency in (0,) if quick else (0, 150):
        for kind in kinds(rivals=rivals):
            with local_drive() as drive, parties(kind, drive) as pair:
                if latency:
                    drive.add_fault("latency", seconds=latency / 1000)
                for name, (cost, took) in steps(pair, drive).items():
                    rows.append([kind, f"{latency} ms", name, cost.calls, cost.units, cost.up, cost.down, took * 1000])
    columns = ["who", "a call", "step", "calls", "units", "bytes up", "bytes down", "ms"]
    return [Result("roundtrip", "A warm round trip, step by step", columns, rows, "units")]
