"""``syft-flwr bootstrap``: make a Flower project a federation over Drive."""

from __future__ import annotations

from typing import Annotated

import typer

from syft_flwr.cli.options import ProjectArgument
from syft_flwr.cli.output import count, say


def bootstrap(
    project: ProjectArgument,
    aggregator: Annotated[str, typer.Option(help="The aggregator's address.", show_default=False)],
    datasite: Annotated[list[str], typer.Option(help="A data owner's address; repeat it.", show_default=False)],
    app_name: Annotated[str | None, typer.Option(help="Name on the wire; by default the project's.")] = None,
) -> None:
    """Write who takes part into a Flower project's pyproject.toml; the rest of it stays as it is."""
    from syft_flwr.flower.bootstrap import bootstrap as write

    path = write(project, aggregator, datasite, app_name=app_name)
    say(f"{path}: [tool.syft_flwr] names {aggregator} and {count(len(datasite), 'data owner')}")
    say(f"Now everybody runs: syft-flwr run {project}")
