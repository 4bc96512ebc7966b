"""The package of another revision of this repository, measured by today's benchmarks over today's local Drive."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import distributions
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

from packaging.requirements import Requirement

from benchmarks.results import Cell, Result

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Revision:
    """A revision; ``place`` is the directory that holds its ``syft_flwr``, and nothing else."""

    name: str
    place: Path

    def run(self, benchmark: str, *, quick: bool) -> list[Result] | str:
        """Return what a benchmark finds, without rivals, in a process of its own; or why it can't be measured."""
        found = self.place / "results.jsonl"
        found.unlink(missing_ok=True)
        command = [sys.executable, "-m", "benchmarks", benchmark, "--alone", str(found)]
        done = subprocess.run(
            [*command, "--quick"] if quick else command,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(self.place)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode:
            return (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
        return [Result(**json.loads(line)) for line in found.read_text().splitlines()]


@contextmanager
def checked_out(name: str) -> Iterator[Revision]:
    """Take the package of a revision out of the repository, for a while."""
    archive = subprocess.run(
        ["git", "archive", name, "src/syft_flwr", "pyproject.toml"], cwd=ROOT, capture_output=True, check=False
    )
    if archive.returncode:
        raise SystemExit(f"there is no revision {name}: {archive.stderr.decode().strip()}")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        with tarfile.open(fileobj=BytesIO(archive.stdout)) as files:
            files.extractall(directory, filter="data")
        place = Path(directory) / "src"
        _install_missing(tomllib.loads((place.parent / "pyproject.toml").read_text())["project"]["dependencies"], place)
        yield Revision(name, place)


def _install_missing(dependencies: Sequence[str], place: Path) -> None:
    """Install beside the package what it needs and today's does not."""
    missing = [each for each in dependencies if not any(distributions(name=Requirement(each).name))]
    if missing:
        installer = ["uv", "pip"] if find_spec("pip") is None else ["pip"]
        command = [sys.executable, "-m", *installer, "install", "--quiet", "--target", str(place), *missing]
        subprocess.run(command, check=True)


def beside(result: Result, others: Sequence[Result] | str, revision: str) -> Result:
    """Return each figure of a result with the revision's, and how many times that it is."""
    title = f"{result.title}, against {revision}"
    theirs = [] if isinstance(others, str) else [other for other in others if other.name == result.name]
    if not theirs:
        why = others if isinstance(others, str) else "the benchmark does not tell it there"
        return Result(f"{result.name}-against", title, ["not measured"], [[why]], "")
    places = range(len(result.columns))
    texts = [place for place in places if any(isinstance(row[place], str) for row in result.rows)]
    found = {tuple(row[place] for place in texts): row for other in theirs for row in other.rows}
    rows: list[list[Cell]] = []
    for row in result.rows:
        key = tuple(row[place] for place in texts)
        if key in found:
            figures = ((result.columns[place], row[place], found[key][place]) for place in places if place not in texts)
            rows += [[*key, figure, now, then, _ratio(now, then)] for figure, now, then in figures]
    columns = [*(result.columns[place] for place in texts), "figure", "now", revision, "now / then"]
    return Result(f"{result.name}-against", title, columns, rows, "")


def _ratio(ours: Cell, theirs: Cell) -> Cell:
    if isinstance(ours, str) or isinstance(theirs, str):
        return ""
    return ours / theirs if theirs else ""
