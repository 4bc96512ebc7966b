"""The command ``syft-flwr``."""

from __future__ import annotations

from typing import Annotated

import typer

from syft_flwr.cli.bootstrap import bootstrap
from syft_flwr.cli.emulator import emulator
from syft_flwr.cli.login import login, logout
from syft_flwr.cli.quota import quota
from syft_flwr.cli.record import record
from syft_flwr.cli.replay import replay
from syft_flwr.cli.run import run
from syft_flwr.cli.simulate import simulate
from syft_flwr.cli.watch import watch

app = typer.Typer(
    name="syft-flwr",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # locals may hold data and tokens
)

# The modules of the commands import nothing heavy before they run: --help must answer at once.
for command in (simulate, run, watch, record, replay, bootstrap, quota, login, logout):
    app.command()(command)
# The emulator is a package of its own and reads its own options.
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []})(
    emulator
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"syft-flwr {version('syft-flwr-drive')}")
        raise typer.Exit


@app.callback()
def main(
    _version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """Train models together with Flower when all that you share is Google Drive."""


if __name__ == "__main__":
    app()
