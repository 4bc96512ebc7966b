"""An owner that tells absurd times or numbers spoils no report: it is written, and every line stays in its drawing."""

from __future__ import annotations

import math

import pytest
from report_cases import made
from test_report import Page

from syft_flwr.flower.report import render_report

ABSURD = [0.0, 1e-5, 1.0, 9.9e10, -1e9]


@pytest.mark.parametrize("seen", ABSURD)
@pytest.mark.parametrize("finished", ABSURD)
def test_times_of_another_age_leave_the_report_whole(seen: float, finished: float) -> None:
    result = made()
    for row in result["timeline"][::3]:
        row.update(seen=seen, started=finished, finished=finished)
    for name, attributes in Page(render_report(result)).elements:
        for key in ("x", "x1", "x2", "cx"):
            place = float(attributes.get(key) or 0)
            assert math.isfinite(place), (name, attributes)
            assert -1 <= place <= 2_000, (name, attributes)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, 1.7e308, -1.7e308, 2**63, 5e-324])
def test_metrics_of_any_number_leave_the_report_whole(value: float) -> None:
    result = made()
    for row in result["rounds"]:
        row["train"]["train_loss"] = value
        row["evaluate"] = {"planted\x1b[2J": value, **row["evaluate"]}
    result["rounds"][0]["train"]["train_loss"] = -value
    page = render_report(result)
    assert "\x1b" not in page
    for _, attributes in Page(page).elements:
        assert math.isfinite(float(attributes.get("y") or 0))
        assert "nan" not in (attributes.get("d") or "") + (attributes.get("points") or "")
