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
    from drive_emulator.__main__ import main, parser_of

    options = parser_of(context.command_path).parse_args(context.args)
    code = main(context.args, program=context.command_path)
    if code == 0 and options.action is None:
        _forget(options)
    raise typer.Exit(code)


def _forget(options: argparse.Namespace) -> None:
    if options.data is None and options.port:  # state on a port that was free for once is found by clean
        from syft_flwr.cli.clean import abandoned
        from syft_flwr.cli.output import count, say
        from syft_flwr.runtime.sharing import emulator_root

        gone = list(abandoned(emulator_root(state_root(), f"http://{options.host}:{options.port}")))
        for directory in gone:
            shutil.rmtree(directory)
        if gone:
            accounts = count(len(gone), "account")
            say(f"removed what {accounts} had kept on this machine about this Drive", err=True)
