"""Put what benchmarks found into docs/explanation/performance.md: ``python -m benchmarks.page [RESULTS]``.

Between the lines ``<!-- NAME -->`` and ``<!-- end -->`` stands the newest result of that name, with the command that
made it; nothing there is written by hand.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from benchmarks.results import Result
from benchmarks.revision import ROOT

PAGE = ROOT / "docs" / "explanation" / "performance.md"
BLOCK = re.compile(r"<!-- ([\w-]+) -->\n.*?<!-- end -->", re.DOTALL)
FIELDS = ("name", "title", "columns", "rows", "drawn")
DAY, MINUTE = 400_000_000, 1_000_000
"""What a Google Cloud project may spend (published figures of November 2026)."""


def block(found: dict[str, Any]) -> str:
    result = Result(**{name: found[name] for name in FIELDS})
    facts = f"{found['commit']}, Python {found['python']}, {found['cores']} cores, load {found['load']}"
    command = " ".join(["python -m benchmarks", *re.sub(r"--out \S+", "", found["command"]).split()])
    made = f"`{command}` ({facts}):"
    drawing = [f"![{result.title}: {result.drawn}]({result.name}.svg)", ""] if result.drawn else []
    return "\n".join([f"<!-- {result.name} -->", made, "", result.to_markdown(), "", *drawing, "<!-- end -->"])


def day_of_owners(idle: dict[str, Any]) -> str:
    """Return what idle owners spend in a day, beside what a project may."""
    hours = {row[0]: row[-1] for row in idle["rows"] if row[1:3] == ["20 senders", "3 endpoints"]}
    rows = []
    for owners in (1, 50, 1_000):
        for who, units in hours.items():
            day, minute = units * 24 * owners, round(units / 60 * owners)
            rows.append([f"{owners:,} owners", who, day, f"{day / DAY:.2%}", minute, f"{minute / MINUTE:.2%}"])
    columns = ["always on", "by", "units a day", "of the day's threshold", "units a minute", "of the minute's"]
    table = Result("day-of-owners", "", columns, rows, "").to_markdown()
    return f"<!-- day-of-owners -->\n24 of the hours above, with 20 senders and 3 endpoints:\n\n{table}\n\n<!-- end -->"


def main(results: Path) -> None:
    lines = [json.loads(line) for line in (results / "results.jsonl").read_text().splitlines()]
    newest = {line["name"]: line for line in lines}
    blocks = {name: block(line) for name, line in newest.items()}
    if "idle" in newest:
        blocks["day-of-owners"] = day_of_owners(newest["idle"])
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(BLOCK.sub(lambda match: blocks.get(match[1], match[0]), text), encoding="utf-8")
    for name in BLOCK.findall(text):
        if newest.get(name, {}).get("drawn"):
            Result(**{field: newest[name][field] for field in FIELDS}).draw(PAGE.parent / f"{name}.svg")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "benchmark-results"))
