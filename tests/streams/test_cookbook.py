"""The cookbook's programs are short, and each shows that it works; the blocks of all pages are run elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from syft_flwr import feed

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "pipelines.md").read_text(encoding="utf-8")
PROGRAMS = dict(re.findall(r"^### \d+\. ([^\n]+)\n.*?^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))


def test_there_are_twenty_programs_and_a_test() -> None:
    assert len(PROGRAMS) == 21
    assert re.findall(r"^### (\d+)\.", PAGE, re.MULTILINE) == [str(number + 1) for number in range(21)]


@pytest.mark.parametrize("title", PROGRAMS)
def test_a_program_is_short_and_asserts_what_it_does(title: str) -> None:
    lines = [line for line in PROGRAMS[title].splitlines() if line]
    assert 8 <= len(lines) <= 25
    assert any(line.lstrip().startswith("assert ") for line in lines)


@pytest.mark.parametrize("name", ["retrying", "dead_letters", "quorum", "latest_per", "dedupe_by", "windowed_bytes"])
def test_each_operator_has_a_program_and_says_what_it_drops(name: str) -> None:
    assert any(f"{name}(" in program for program in PROGRAMS.values())
    assert "drops" in getattr(feed, name).__doc__
