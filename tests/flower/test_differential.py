"""Over Drive, an app gives what it gives over Flower's own SuperLink: the same numbers, to the last digit."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from flower_federation import DIGITS, zoo_project
from flower_superlink import run_on_superlink

_NUMBERS = re.compile(r"Aggregated MetricRecord: \{.*?\}|round \d+: \S+|\(\d+, [-\d.e]+\)")
"""What Flower prints of a round: for the new API, and in the history of the legacy one."""


@pytest.mark.timeout(500)
@pytest.mark.slow
@pytest.mark.parametrize(
    ("server", "client", "nodes"),
    [
        ("digits", "digits", 2),
        ("fedavg", "plain", 2),
        ("fedprox", "plain", 2),
        ("fedadam", "plain", 2),
        ("clipped", "clipping", 2),
        ("fedavg_of_three", "plain", 3),
        ("legacy", "legacy", 3),
        ("secret", "secret", 3),
    ],
)
def test_a_real_superlink_prints_the_same_numbers_to_the_last_digit_in_every_round(
    server: str, client: str, nodes: int, tmp_path: Path
) -> None:
    """Compare all that is printed of the rounds, to the last digit.

    The apps with three nodes add up in an order of their own, as a SuperLink hands out replies in no order: of the
    messages that it is asked for it makes a set of texts, and Flower's legacy server one of its futures. So the last
    digit of a sum of three differs from run to run there, too.
    """
    project = DIGITS if server == "digits" else zoo_project(tmp_path, server, client)
    config = f"num-server-rounds={1 if server == 'secret' else 2}"  # its four stages take a SuperLink minutes
    command = [sys.executable, "-m", "syft_flwr.cli.main", "simulate", str(project), "--datasites", str(nodes)]
    command += ["--run-config", config, "--out", str(tmp_path / "out")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as simulation:
        over_superlink = run_on_superlink(project, tmp_path, nodes=nodes, run_config=config)
        simulation.communicate(timeout=200)
    assert simulation.returncode == 0
    [log] = (tmp_path / "out" / "logs").glob("aggregator*.log")
    printed = _NUMBERS.findall(over_superlink)
    assert len(printed) >= 2
    assert _NUMBERS.findall(log.read_text()) == printed
