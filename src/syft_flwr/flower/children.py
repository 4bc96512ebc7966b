"""The processes of a simulation: commands of ours, which end with the one that started them."""

from __future__ import annotations

import logging
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from syft_flwr.private import create_private
from syft_flwr.settings import TOKEN_VARIABLE

logger = logging.getLogger(__name__)

TERM_TIMEOUT = 5.0
"""Seconds to end in."""
_DIE_WITH_PARENT = Path(__file__).with_name("die_with_parent.py")


def spawn(
    arguments: Sequence[str],
    log: Path,
    environment: Mapping[str, str] | None = None,
    *,
    stdout: int | None = None,
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a command of ours that can't outlive this process, in a session of its own: Ctrl-C is for this one."""
    ours = {key: value for key, value in os.environ.items() if key != TOKEN_VARIABLE}
    command = [sys.executable, "-S", "-E", str(_DIE_WITH_PARENT), str(os.getpid())]
    command += [sys.executable, "-P", "-m", "syft_flwr.cli.main", *arguments]
    logger.debug("starting %s", shlex.join(arguments))
    with create_private(log, append=True) as errors:
        return subprocess.Popen(  # noqa: S603 - our own command
            command,
            stdin=subprocess.DEVNULL,
            stdout=errors if stdout is None else stdout,
            stderr=errors,
            env={**ours, "PYTHONUNBUFFERED": "1", **(environment or {})},
            pass_fds=pass_fds,
            start_new_session=True,
        )


def end_all(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """End processes: politely, then not."""
    for process in processes:
        if process.poll() is None:
            process.terminate()
    end = time.monotonic() + TERM_TIMEOUT
    for process in processes:
        try:
            process.wait(max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def last_line(log: Path) -> str:
    """Return the last line of a log that is not empty, ``""`` if there is none."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "")
