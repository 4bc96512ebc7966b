"""The table of what a day costs is what the benchmark counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import day

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "low-quota.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "number", [0, 2, 3, 5, 6, 7, 8, 9, 11, 12, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 4, 10))]
)
def test_the_page_tells_what_a_day_costs(number: int) -> None:
    case = day.CASES[number]
    units = day.day_of(case)
    assert f"| {case.name} | {units:,} |" in PAGE
    if case.message_every is None and case.visits is None and case.interval >= 2:
        assert units <= 24 * (12_000 if case.longest is None else 3_000)
