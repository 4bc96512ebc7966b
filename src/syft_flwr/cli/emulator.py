"""``syft-flwr emulator``: serve a local Google Drive."""

from __future__ import annotations

import errno
import json
import logging
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer


def emulator(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8085,
    data: Annotated[Path | None, typer.Option(help="Directory to keep everything in; without it, memory.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    control: Annotated[
        bool, typer.Option("--control/--no-control", help="Serve statistics and faults under /emulator, too.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON when ready.")] = False,
) -> None:
    """Serve a local Google Drive: the v3 API for any number of accounts, until Ctrl-C or SIGTERM.

    An account's bearer token is its e-mail address. Point the components here with DRIVE_EMULATOR_HOST=127.0.0.1:PORT.
    """
    from syft_flwr.emulator.server import EmulatorServer
    from syft_flwr.errors import StateError

    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    try:
        server = EmulatorServer(host=host, port=port, data=data, control=control)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            _fail(f"port {port} is in use; choose another with --port, or --port 0 for a free one")
        _fail(f"can't serve on {host}:{port}: {error}")
    except StateError as error:
        _fail(str(error))
    address = f"{host}:{server.port}"
    if as_json:
        typer.echo(json.dumps({"host": address, "port": server.port, "url": f"http://{address}"}))
    else:
        typer.echo(f"Drive emulator on http://{address} (Ctrl-C stops it)")
        typer.echo(f"export DRIVE_EMULATOR_HOST={address}")
    sys.stdout.flush()
    server.run()


def _fail(message: str) -> NoReturn:
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(emulator)
