"""Where the process of a command begins: Ctrl-C is answered in one line before anything else is imported."""

from __future__ import annotations

import signal

from syft_flwr.cli.ending import call, end_at_once


def main() -> None:
    """Run ``syft-flwr``."""
    # Nothing is there yet that would have to be closed.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end_at_once)
    from syft_flwr.cli.main import app

    call(app)
