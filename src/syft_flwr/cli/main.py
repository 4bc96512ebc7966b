"""The command ``syft-flwr``."""

from __future__ import annotations

import typer

from syft_flwr.cli.bootstrap import bootstrap
from syft_flwr.cli.emulator import emulator
from syft_flwr.cli.record import record
from syft_flwr.cli.replay import replay
from syft_flwr.cli.run import run
from syft_flwr.cli.simulate import simulate
from syft_flwr.cli.watch import watch

app = typer.Typer(
    name="syft-flwr",
    help="Train models together with Flower when all that you share is Google Drive.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # locals may hold data and tokens
)

# The modules of the commands import nothing heavy before they run: --help must answer at once.
for command in (simulate, run, watch, record, replay, bootstrap, emulator):
    app.command()(command)

if __name__ == "__main__":
    app()
