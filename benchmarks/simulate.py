"""The digits example at the defaults of ``syft-flwr simulate``, each participant in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.results import Cell

DIGITS = Path(__file__).parents[1] / "examples" / "digits"
PHASES = (
    ("simulate: until the first participant speaks", "project"),
    ("simulate: imports, until all owners are there", "run_started"),
    ("simulate: three rounds", "result"),
    ("simulate: clean-up and end", ""),
)
COLUMNS = ["what", "ms", "processor ms", "calls", "units"]


def phases() -> Iterator[list[Cell]]:
    """Simulate two owners on a new Drive; tell how long each phase takes, and what all of it costs."""
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "syft_flwr.cli.main", "simulate", str(DIGITS), "--datasites", "2", "--json"]
        began = time.time()
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=True)
        ended = time.time()
    events = [json.loads(line) for line in done.stderr.splitlines() if line.startswith('{"event"')]
    bill = json.loads(done.stdout)["bill"]
    before = began
    for name, event in PHASES:
        end = next((entry["time"] for entry in events if entry["event"] == event), ended)
        yield [name, (end - before) * 1000, "", "", ""]
        before = end
    yield [
        "simulate: all of it",
        (ended - began) * 1000,
        "",
        sum(account["calls"] for account in bill.values()),
        sum(account["units"] for account in bill.values()),
    ]
