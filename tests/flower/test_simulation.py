from __future__ import annotations

import os
from pathlib import Path

from syft_flwr.flower.progress import silent
from syft_flwr.flower.simulation import Simulation, SimulationPlan


def test_a_member_that_dies_over_a_line_has_left(tmp_path: Path) -> None:
    plan = SimulationPlan(tmp_path, tmp_path / "out", 1)
    with Simulation(plan, silent) as simulation:
        read, write = os.pipe()
        os.write(write, b'{"event": "ready"}\n{"event": "done", "err')
        os.close(write)
        simulation._read_events("do1@example.com", read)
        told = [simulation._events.get_nowait() for _ in range(2)]
    assert told == [("do1@example.com", {"event": "ready"}), ("do1@example.com", None)]
