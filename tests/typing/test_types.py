"""The types that users see: checked by mypy (strict) and by pyright."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
FILES = [
    *sorted(str(path) for path in HERE.glob("*.py")),
    *sorted(str(p) for p in (ROOT / "examples/streams").glob("*.py")),
]


def check(*command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, timeout=110, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_mypy_strict_knows_the_elements_of_a_pipe() -> None:
    check("mypy", "--strict", "--config-file", "pyproject.toml", *FILES)


def test_pyright_knows_the_elements_of_a_pipe() -> None:
    check("pyright", "--pythonpath", sys.executable, *FILES)
