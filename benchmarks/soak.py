"""An hour at five messages a second with faults; memory and open files of the owner, minute by minute.

It runs only when it is named: ``python -m benchmarks soak``, or two minutes of it with ``--quick``.
"""

from __future__ import annotations

import os
import time

import psutil

from benchmarks.owner import UNPACED, serving
from benchmarks.parties import APP, ASKER, ENDPOINTS, OWNER, local_drive
from benchmarks.results import Cell, Result
from syft_flwr.rpc import P2PFileRpc

A_SECOND = 5
FAULTS = ({"status": 503}, {"status": 429}, {"status": 500})


def minute_of(rpc: P2PFileRpc, asked: dict[str, float]) -> tuple[int, int]:
    """Ask for a minute, and take what is answered; return how many were asked and answered."""
    sent = answered = 0
    began = time.monotonic()
    while (now := time.monotonic()) < began + 60:
        due = int((now - began) * A_SECOND) - sent
        if due > 0:
            asked.update(dict.fromkeys(rpc.send_many([(OWNER, APP, ENDPOINTS[0], b"hello")] * due), now))
            sent += due
        for future in rpc.wait(list(asked), 0.2, return_when="first"):
            rpc.delete_future(future)
            del asked[future]
            answered += 1
    return sent, answered


def run(*, quick: bool, rivals: bool) -> list[Result]:
    del rivals
    os.environ |= UNPACED
    rows: list[list[Cell]] = []
    asked: dict[str, float] = {}
    with local_drive(process=True) as drive, serving("feed", drive) as owner, P2PFileRpc(ASKER, APP) as rpc:
        for fault in FAULTS:
            drive.add_fault("error", rate=0.01, **fault)
        me = psutil.Process()
        for minute in range(1, 3 if quick else 61):
            sent, answered = minute_of(rpc, asked)
            memory = [process.memory_info().rss / 1e6 for process in (owner, me)]
            rows.append([f"minute {minute}", sent, answered, *memory, owner.num_fds(), me.num_fds()])
        drive.clear_faults()
        rest = rpc.wait(list(asked), 300)
        rows.append(["all the rest", 0, len(rest), *([0] * 4)])
        assert len(rest) == len(asked), "messages were lost"
    columns = ["when", "asked", "answered", "owner's MB", "asker's MB", "owner's open files", "asker's open files"]
    return [Result("soak", "Five messages a second, with faults", columns, rows, "owner's MB")]
