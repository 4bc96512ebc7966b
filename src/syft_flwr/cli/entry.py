"""Where the process of a command begins: Ctrl-C is answered in one line before anything else is imported."""

from __future__ import annotations

import os
import signal

INTERRUPTED = 130
"""Exit code after Ctrl-C."""


def main() -> None:
    """Run ``syft-flwr``."""
    # Nothing is there yet that would have to be closed.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end_at_once)
    from syft_flwr.cli.main import app

    app(prog_name="syft-flwr")


def end_at_once(*_: object) -> None:
    """Handle a signal by ending the process now, with one line."""
    os.write(2, b"interrupted\n")
    os._exit(INTERRUPTED)
