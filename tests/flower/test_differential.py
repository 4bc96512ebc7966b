from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from superlink import run_on_superlink

from conftest import DIGITS


@pytest.mark.timeout(300)
def test_a_real_superlink_gives_the_same_metrics_to_the_last_digit_in_every_round(tmp_path: Path) -> None:
    config = "num-server-rounds=2"
    command = [sys.executable, "-m", "syft_flwr.cli.main", "simulate", str(DIGITS), "--datasites", "2", "--json"]
    done = subprocess.run(
        [*command, "--run-config", config, "--out", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rounds = json.loads(done.stdout)["rounds"]
    over_drive = [row[phase] for row in rounds for phase in ("train", "evaluate")]
    over_superlink = run_on_superlink(DIGITS, tmp_path, nodes=2, run_config=config)
    assert len(over_superlink) == 4
    assert over_drive == over_superlink
