from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from flower_fakes import Events
from flower_federation import DIGITS, Federation


@pytest.mark.slow
def test_the_digits_example_learns(federation: Callable[..., Federation], tmp_path: Path, progress: Events) -> None:
    start = time.monotonic()
    owners = federation(DIGITS, 3)
    aggregation = owners.aggregate(tmp_path / "out", progress)
    result, arrays = aggregation.save({})
    rounds = json.loads(result.read_text())["rounds"]
    print([r["evaluate"]["accuracy"] for r in rounds], time.monotonic() - start)
    assert [r["round"] for r in rounds] == [1, 2, 3]
    assert rounds[-1]["evaluate"]["accuracy"] >= 0.88
    assert rounds[-1]["evaluate"]["accuracy"] > rounds[0]["evaluate"]["accuracy"]
    assert arrays is not None
    with np.load(arrays) as saved:
        assert saved["weights"].shape == (64, 10)
    assert [e["round"] for e in progress.named("round")] == [1, 2, 3]
