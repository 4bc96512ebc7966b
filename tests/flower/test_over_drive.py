"""Flower apps as they are, over the local Drive, each party a process with an account of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from flower_federation import zoo_project

pytestmark = pytest.mark.timeout(180)


def simulate(directory: Path, server: str, client: str, *, rounds: int = 2) -> dict[str, Any]:
    project = zoo_project(directory, server, client, rounds=rounds)
    command = [sys.executable, "-m", "syft_flwr.cli.main", "simulate", str(project), "--json", "--poll-interval", "0.1"]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def errors(result: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(row["owner"], row["group"], row["error"]) for row in result["timeline"] if row["error"]]


@pytest.mark.parametrize(
    ("server", "client", "metric"),
    [
        pytest.param("fedprox", "plain", "distance", marks=pytest.mark.slow),
        pytest.param("fedadam", "plain", "distance", marks=pytest.mark.slow),
        pytest.param("legacy", "legacy", "loss", marks=pytest.mark.slow),
        pytest.param("secret", "secret", "loss", marks=pytest.mark.slow),
        pytest.param("private", "clipping", "distance", marks=pytest.mark.slow),
    ],
)
def test_strategies_privacy_tools_and_legacy_apps_learn(tmp_path: Path, server: str, client: str, metric: str) -> None:
    result = simulate(tmp_path, server, client)
    first, second = result["rounds"]
    assert second["evaluate"][metric] < first["evaluate"][metric]
    assert errors(result) == []
    assert result["owners"] == ["do1@example.com", "do2@example.com", "do3@example.com"]


@pytest.mark.slow
def test_query_messages_come_back_from_every_owner(tmp_path: Path) -> None:
    result = simulate(tmp_path, "asking", "asked")
    asked = sorted((row["owner"], row["type"]) for row in result["timeline"])
    assert asked == [(owner, kind) for owner in result["owners"] for kind in ("query", "query.size")]
    assert errors(result) == []


@pytest.mark.slow
def test_an_app_that_crashes_in_round_2_costs_one_failure_and_takes_part_again(tmp_path: Path) -> None:
    result = simulate(tmp_path, "fedavg", "crashing", rounds=3)
    assert [row["round"] for row in result["rounds"]] == [1, 2, 3]
    assert errors(result) == [("do1@example.com", "2", "the ClientApp's process was killed by SIGSEGV")]


@pytest.mark.slow
def test_a_client_that_raises_in_round_2_costs_one_failure_and_takes_part_again(tmp_path: Path) -> None:
    result = simulate(tmp_path, "fedavg", "raises_in_round_2", rounds=3)
    assert [row["round"] for row in result["rounds"]] == [1, 2, 3]
    assert errors(result) == [("do1@example.com", "2", "<class 'ValueError'>:<'round 2 is too much'>")]
