"""What a benchmark found: a table, a line of JSON with the machine's facts, and a drawing."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

Cell = str | int | float


@dataclass(frozen=True)
class Result:
    """A table. The columns that hold text name a row; ``drawn`` is the column of figures that the SVG
    shows; without one there is none.
    """

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    drawn: str

    def show(self, console: Console) -> None:
        table = Table(title=self.title)
        for column in self.columns:
            table.add_column(column)
        for row in self.rows:
            table.add_row(*(format_cell(cell) for cell in row))
        console.print(table)

    def to_markdown(self) -> str:
        lines = [f"| {' | '.join(self.columns)} |", f"|{'---|' * len(self.columns)}"]
        return "\n".join([*lines, *(f"| {' | '.join(format_cell(cell) for cell in row)} |" for row in self.rows)])

    def append_to(self, path: Path) -> None:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"time": datetime.now(UTC).isoformat(), **machine(), **asdict(self)}) + "\n")

    def draw(self, path: Path) -> None:
        """Draw the column as bars on a logarithmic scale."""
        import matplotlib as mpl

        mpl.use("svg")
        mpl.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": self.name}
        from matplotlib import pyplot as plt

        place = self.columns.index(self.drawn)
        labels = [", ".join(str(cell) for cell in row if isinstance(cell, str)) for row in self.rows]
        figure, axes = plt.subplots(figsize=(8, 0.9 + 0.28 * len(labels)), layout="constrained")
        bars = axes.barh(labels, [max(0.8, float(row[place])) for row in self.rows])
        axes.bar_label(bars, [format_cell(row[place]) for row in self.rows], padding=3)
        axes.set(xscale="log", xlabel=self.drawn, title=self.title)
        axes.invert_yaxis()
        axes.margins(x=0.15)
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)


def format_cell(cell: Cell) -> str:
    return cell if isinstance(cell, str) else f"{cell:,}" if isinstance(cell, int) else f"{cell:,.2f}"


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    told = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    return told.stdout.strip()


def machine() -> dict[str, Cell]:
    """Return what figures depend on."""
    return {
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "cores": os.cpu_count() or 0,
        "load": round(os.getloadavg()[0], 2),
        "version": version("syft-flwr-drive"),
        "commit": _commit(),
        "command": " ".join(sys.argv[1:]),
    }
