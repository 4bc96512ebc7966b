"""``syft-flwr simulate``: a whole federation on this machine."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from syft_flwr.cli.options import ProjectArgument, RoundsOption, RunConfigOption
from syft_flwr.cli.run import default_directory
from syft_flwr.errors import ConfigurationError


def simulate(  # noqa: PLR0917 - typer passes options by name
    project: ProjectArgument,
    datasites: Annotated[int, typer.Option(min=1, help="Number of data owners.")] = 3,
    rounds: RoundsOption = None,
    run_config: RunConfigOption = None,
    out: Annotated[
        Path | None, typer.Option(file_okay=False, help="Directory for the result; by default a new one in runs/.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Write a report of the run to this HTML file.")
    ] = None,
    checkpoints: Annotated[bool, typer.Option(help="Keep the arrays of the last three rounds.")] = True,
    min_available: Annotated[int | None, typer.Option(min=1, help="Start with so many owners.")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the local Drive; 0 takes a free one.")] = 0,
    data: Annotated[Path | None, typer.Option(file_okay=False, help="Directory to keep the local Drive in.")] = None,
    poll_interval: Annotated[float, typer.Option(min=0.01, help="Seconds between polls.")] = 0.1,
    as_json: Annotated[bool, typer.Option("--json", help="Result as JSON on stdout, events on stderr.")] = False,
) -> None:
    """Run a Flower project over a local Drive: one process per data owner, and the aggregator."""
    if min_available is not None and min_available > datasites:
        raise typer.BadParameter(
            f"there are only {datasites} data owners; see --datasites", param_hint="--min-available"
        )
    from syft_flwr.cli.view import View
    from syft_flwr.flower.progress import JsonLines
    from syft_flwr.flower.project import FlowerProject
    from syft_flwr.flower.report import report_of
    from syft_flwr.flower.simulation import Simulation, SimulationPlan

    flower = FlowerProject.load(project)
    if data is not None and data.resolve().is_relative_to(flower.directory.resolve()):
        raise ConfigurationError(f"--data {data} is in the project, whose code would change; choose another place")
    flower.overrides(run_config or [], rounds)  # a mistake ends it here, before anything starts
    plan = SimulationPlan(
        project=flower.directory,
        out=(out or default_directory(flower.app_name)).absolute(),
        owners=datasites,
        port=port,
        data=data,
        run_options=(*_each("--run-config", run_config or ()), *_each("--rounds", [rounds] if rounds else ())),
        aggregator_options=(
            *(() if checkpoints else ("--no-checkpoints",)),
            *_each("--min-available", [min_available] if min_available else ()),
        ),
        poll_interval=poll_interval,
    )
    if as_json:
        with report_of(plan.out, report), Simulation(plan, JsonLines(sys.stderr)) as simulation:
            typer.echo(json.dumps(simulation.run()))
        return
    with report_of(plan.out, report), View() as view, Simulation(plan, view) as simulation:
        result = simulation.run()
    view.summary(result)


def _each(option: str, values: Iterable[object]) -> Iterator[str]:
    for value in values:
        yield from (option, str(value))
