from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from flower_federation import DIGITS
from flower_superlink import run_on_superlink


@pytest.mark.timeout(300)
@pytest.mark.slow
def test_a_real_superlink_gives_the_same_metrics_to_the_last_digit_in_every_round(tmp_path: Path) -> None:
    config = "num-server-rounds=2"
    command = [sys.executable, "-m", "syft_flwr.cli.main", "simulate", str(DIGITS), "--datasites", "2", "--json"]
    command += ["--run-config", config, "--out", str(tmp_path / "out")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as simulation:
        over_superlink = run_on_superlink(DIGITS, tmp_path, nodes=2, run_config=config)
        out, _ = simulation.communicate(timeout=120)
    assert simulation.returncode == 0
    rounds = json.loads(out)["rounds"]
    over_drive = [row[phase] for row in rounds for phase in ("train", "evaluate")]
    assert len(over_superlink) == 4
    assert over_drive == over_superlink
