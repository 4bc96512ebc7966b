"""How a test runs a client that is a program of its own."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

Program = Callable[..., str]


def program(name: str, environment: Mapping[str, str], *, where: Path | None = None) -> Program:
    """Return what runs a program to its end and returns what it printed."""
    assert shutil.which(name), f"{name} is not installed; tests/clients/install brings it"

    def run(*arguments: str, stdin: bytes | None = None) -> str:
        done = subprocess.run(
            [name, *arguments], env=environment, input=stdin, capture_output=True, timeout=100, check=False, cwd=where
        )
        assert done.returncode == 0, done.stderr.decode() + done.stdout.decode()
        return done.stdout.decode()

    return run
