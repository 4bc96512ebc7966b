"""``syft-flwr emulator``: the door to the command ``drive-emulator``."""

from __future__ import annotations

import argparse
import shutil

import typer

from syft_flwr.settings import state_root


def emulator(context: typer.Context) -> None:
    """Serve a local Google Drive: the v3 API for any number of accounts, until Ctrl-C or SIGTERM.

    What the accounts on it have kept on this machine goes with it, unless it keeps its own data.
    """
    from drive_emulator.__main__ import main

    code = main(context.args, program=context.command_path)
    if code == 0:
        _forget(context.args)
    raise typer.Exit(code)


def _forget(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--port", type=int, default=8085)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--data")
    options, _ = parser.parse_known_args(arguments)
    if options.data is None and options.port:  # state on a port that was free for once is found by clean
        from syft_flwr.cli.clean import abandoned
        from syft_flwr.cli.output import count, say
        from syft_flwr.runtime.sharing import emulator_root

        here = emulator_root(state_root(), f"http://{options.host}:{options.port}")
        gone = list(abandoned(here))
        for directory in gone:
            shutil.rmtree(directory)
        if gone:
            accounts = count(len(gone), "account")
            say(f"removed what {accounts} had kept on this machine about this Drive", err=True)
