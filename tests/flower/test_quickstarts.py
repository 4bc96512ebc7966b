"""Projects in the manner of Flower's quickstarts, as they are, simulated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flower_federation import APPS
from sklearn.datasets import load_iris
from typer.testing import CliRunner

from syft_flwr.cli.main import app


def simulated(project: str, out: Path) -> tuple[str, dict[str, Any]]:
    """Return what the ServerApp printed, and the result."""
    done = CliRunner().invoke(app, ["simulate", str(APPS / project), "--datasites", "3", "--out", str(out)])
    assert done.exit_code == 0, done.output
    result = json.loads((out / "result.json").read_text())
    assert not result["failures"]
    return done.output, result


@pytest.mark.slow
def test_logistic_regression_by_scikit_learn_is_trained(tmp_path: Path) -> None:
    output, result = simulated("linear", tmp_path / "out")
    assert "COEFFICIENTS (3, 4)" in output
    losses = [row["evaluate"]["test_logloss"] for row in result["rounds"]]
    assert losses == sorted(losses, reverse=True)
    assert result["rounds"][-1]["evaluate"]["accuracy"] > 0.7


@pytest.mark.slow
def test_trees_by_xgboost_are_bagged(tmp_path: Path) -> None:
    output, result = simulated("trees", tmp_path / "out")
    assert "TREES 9" in output  # a tree a round of each owner
    assert [row["round"] for row in result["rounds"]] == [1, 2, 3]
    assert result["rounds"][-1]["evaluate"]["auc"] > 0.95


@pytest.mark.slow
def test_histograms_by_pandas_count_the_rows_of_all_owners(tmp_path: Path) -> None:
    output, _ = simulated("frames", tmp_path / "out")
    rows = load_iris().data
    for column, name in enumerate(["sepal length (cm)", "sepal width (cm)"]):
        counts = np.histogram(rows[:, column], bins=np.arange(0, 10, 1))[0].tolist()
        for number in (1, 2):
            assert f"ROUND {number} {name} {counts}" in output
