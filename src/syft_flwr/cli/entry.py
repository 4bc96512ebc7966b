"""Where the process of a command begins and ends; imports nothing that takes time.

So Ctrl-C is answered in one line before anything else is imported.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

INTERRUPTED = 130
"""Exit code after Ctrl-C."""
_SECONDS_TO_END = 5.0


def main() -> None:
    """Run ``syft-flwr``."""
    # Nothing is there yet that would have to be closed.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end_at_once)
    from syft_flwr.cli.main import app

    call(app)


def call(app: Callable[..., None]) -> None:
    """Run the command line; what a ServerApp has left open, threads or exit hooks, keeps its process no longer."""
    _mend_streams()
    try:
        app(prog_name="syft-flwr")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        timer = threading.Timer(_SECONDS_TO_END, lambda: os._exit(code))  # all of ours is closed and flushed
        timer.daemon = True
        timer.start()
        raise


def _mend_streams() -> None:
    """Let neither a stream that is closed nor a character that the locale lacks end a command."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - it stays open
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def end_at_once(*_: object) -> None:
    """Handle a signal by ending the process now, with one line."""
    os.write(2, b"interrupted\n")
    os._exit(INTERRUPTED)
