"""Run benchmarks: ``python -m benchmarks [NAME…] [--quick] [--against REV]``."""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

from rich.console import Console

from benchmarks.results import Result
from benchmarks.revision import beside, checked_out

BENCHMARKS = (
    "idle",
    "roundtrip",
    "waiting",
    "latency",
    "throughput",
    "bodies",
    "digits",
    "model",
    "pipeline",
    "route",
    "startup",
    "growth",
)

LONG = ("soak",)
"""Those that run only when they are named."""


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="What following the feed costs and gives."
    )
    told = f"{', '.join(BENCHMARKS)}; only when it is named: {', '.join(LONG)}"
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which, by default all: {told}")
    parser.add_argument("--quick", action="store_true", help="small sizes, two minutes in all")
    parser.add_argument("--against", metavar="REV", help="measure the package of another revision, too, and compare")
    parser.add_argument("--out", type=Path, default=Path("benchmark-results"), help="directory for JSON and drawings")
    parser.add_argument("--alone", type=Path, help=argparse.SUPPRESS)  # for the child that measures a revision
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in BENCHMARKS + LONG]:
        parser.error(f"there is no benchmark {', '.join(unknown)}; there are {told}")
    logging.getLogger("flwr").setLevel(logging.ERROR)
    logging.getLogger("syft_flwr").setLevel(logging.ERROR)
    # In their own order: the server that forks apps imports what the first project needs, and keeps to that.
    names = [name for name in BENCHMARKS + LONG if name in (options.names or BENCHMARKS)]
    if options.alone:
        found = [result for name in names for result in measure(name)(quick=options.quick, rivals=False)]
        options.alone.write_text("".join(f"{json.dumps(asdict(result))}\n" for result in found))
        return
    options.out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        revision = stack.enter_context(checked_out(options.against)) if options.against else None
        for name in names:
            found = measure(name)(quick=options.quick, rivals=True)
            publish(found, options.out)
            if revision:
                theirs = revision.run(name, quick=options.quick)
                publish([beside(result, theirs, revision.name) for result in found], options.out)


def measure(name: str) -> Callable[..., list[Result]]:
    run: Callable[..., list[Result]] = import_module(f"benchmarks.{name}").run
    return run


def publish(results: Sequence[Result], out: Path) -> None:
    for result in results:
        result.show(Console(width=150))
        result.append_to(out / "results.jsonl")
        if result.drawn:
            result.draw(out / f"{result.name}.svg")


if __name__ == "__main__":
    main()
