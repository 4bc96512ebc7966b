"""A model of 50 MB with four owners in three rounds: what goes up and down."""

from __future__ import annotations

from pathlib import Path

from benchmarks.digits import COLUMNS, Federation, rows_of
from benchmarks.results import Result

SIZED = Path(__file__).parent / "sized"


def run(*, quick: bool, rivals: bool) -> list[Result]:
    megabytes = 10 if quick else 50
    federation = Federation(4, interval=0.5, project=SIZED, rounds=1 if quick else 3, config={"megabytes": megabytes})
    kinds = ("feed", "listing") if rivals else ("feed",)
    rows = [row for kind in kinds for row in rows_of(federation, kind)]
    return [Result("model", f"Flower with a model of {megabytes} MB", COLUMNS, rows, "bytes up")]
