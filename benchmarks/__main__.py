"""Run benchmarks: ``python -m benchmarks [NAME…] [--quick]``."""

from __future__ import annotations

import argparse
import logging
from importlib import import_module
from pathlib import Path

from rich.console import Console

BENCHMARKS = ("idle", "roundtrip", "waiting", "pipeline", "digits")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="What following the feed costs and gives."
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which, by default all: {', '.join(BENCHMARKS)}")
    parser.add_argument("--quick", action="store_true", help="small sizes, two minutes in all")
    parser.add_argument("--out", type=Path, default=Path("benchmark-results"), help="directory for JSON and drawings")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in BENCHMARKS]:
        parser.error(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    options.out.mkdir(parents=True, exist_ok=True)
    console = Console()
    logging.getLogger("flwr").setLevel(logging.ERROR)
    for name in options.names or BENCHMARKS:
        for result in import_module(f"benchmarks.{name}").run(quick=options.quick):
            result.show(console)
            result.append_to(options.out / "results.jsonl")
            result.draw(options.out / f"{result.name}.svg")


if __name__ == "__main__":
    main()
