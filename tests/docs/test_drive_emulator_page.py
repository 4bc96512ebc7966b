"""The first lines that users of pytest and unittest are shown are tests that pass."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from test_code_blocks import ROOT, blocks

PAGE = ROOT / "docs" / "how-to" / "drive-emulator.md"


def test_the_tests_of_the_page_pass(tmp_path: Path) -> None:
    shown = [block.code for block in blocks(PAGE) if block.language == "python" and "_report" in block.code]
    (tmp_path / "test_shown.py").write_text("".join(shown))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
        str(tmp_path),
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "2 passed" in done.stdout, done.stdout + done.stderr
