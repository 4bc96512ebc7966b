"""Projects in the manner of Flower's quickstarts, as they are, simulated."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from flower_federation import APPS
from typer.testing import CliRunner

from syft_flwr.cli.main import app


@pytest.mark.slow
def test_logistic_regression_by_scikit_learn_is_trained(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = CliRunner().invoke(app, ["simulate", str(APPS / "linear"), "--datasites", "3", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "COEFFICIENTS (3, 4)" in done.output
    result = json.loads((out / "result.json").read_text())
    losses = [row["evaluate"]["test_logloss"] for row in result["rounds"]]
    assert losses == sorted(losses, reverse=True)
    assert result["rounds"][-1]["evaluate"]["accuracy"] > 0.7
    assert not result["failures"]
