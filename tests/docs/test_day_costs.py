"""The table of what a day costs is what the benchmark counts."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("day", ROOT / "benchmarks" / "day.py")
assert SPEC is not None
day = importlib.util.module_from_spec(SPEC)
PAGE = (ROOT / "docs" / "how-to" / "low-quota.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module", autouse=True)
def loaded(monkeypatch_module: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch_module.setitem(sys.modules, "day", day)
    SPEC.loader.exec_module(day)  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.mark.parametrize("number", [0, 2, 4, 5, 6, 7, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 3))])
def test_the_page_tells_what_a_day_costs(number: int) -> None:
    case = day.CASES[number]
    units = day.day_of(case)
    assert f"| {case.name} | {units:,} |" in PAGE
    if case.message_every is None and case.visits is None:
        assert units <= 24 * (12_000 if case.longest is None else 3_000)
