"""Waiting for futures: ten looks while no answer is there, then the answers."""

from __future__ import annotations

import time

from benchmarks.counting import Cost, counted
from benchmarks.parties import ASKER, Parties, kinds, local_drive, parties
from benchmarks.results import Cell, Result
from drive_emulator import DriveEmulator

LOOKS = 10


def wait_for(pair: Parties, drive: DriveEmulator, futures: int) -> tuple[Cost, Cost]:
    """Return what the asker spends on ten looks in vain, and on the look that brings all answers."""
    asked = pair.send([b"hello"] * futures)
    pair.look(asked)  # its own requests, which its feed shows once
    with counted(drive, ASKER) as vain:
        for _ in range(LOOKS):
            assert pair.look(asked) == {}
    pair.answer()
    with counted(drive, ASKER) as taken:
        assert len(pair.look(asked)) == futures
    return vain, taken


def run(*, quick: bool, rivals: bool) -> list[Result]:
    rows: list[list[Cell]] = []
    for latency in (0,) if quick else (0, 150):
        for futures in (1, 10) if latency else (1, 50) if quick else (1, 50, 1_000):
            for kind in kinds(rivals=rivals):
                if latency and futures > 1 and kind == "listing":
                    continue  # half a minute for the counts of the rows above
                with local_drive() as drive, parties(kind, drive) as pair:
                    if latency:
                        drive.add_fault("latency", seconds=latency / 1000)
                    began = time.perf_counter()
                    vain, taken = wait_for(pair, drive, futures)
                    took = time.perf_counter() - began
                counts = [vain.calls, vain.units, taken.calls, taken.units, took]
                rows.append([kind, f"{latency} ms", f"{futures:,} futures", *counts])
    columns = [
        "who",
        "a call",
        "waits for",
        "calls, 10 looks",
        "units, 10 looks",
        "calls, answers",
        "units, answers",
        "s",
    ]
    return [Result("waiting", "Waiting for futures", columns, rows, "units, 10 looks")]
