"""``syft-flwr emulator``: the door to the command ``drive-emulator``."""

from __future__ import annotations

import typer


def emulator(context: typer.Context) -> None:
    """Serve a local Google Drive: the v3 API for any number of accounts, until Ctrl-C or SIGTERM."""
    from drive_emulator.__main__ import main

    raise typer.Exit(main(context.args, program=context.command_path))
