"""An emulator that was killed leaves nothing for long."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from drive_emulator.scratch import ScratchDirectory

HOLD = "from drive_emulator.scratch import ScratchDirectory as S; print(S().path, flush=True); input()"


@pytest.fixture(autouse=True)
def own_temporary_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def hold() -> tuple[subprocess.Popen[str], Path]:
    process = subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def make_old(path: Path) -> None:
    os.utime(path, (0, 0))


def test_the_next_emulator_removes_what_a_killed_one_has_left_and_nothing_else(tmp_path: Path) -> None:
    killed, left = hold()
    living, kept = hold()
    young = tmp_path / "drive-emulator-young"
    foreign = tmp_path / "drive-emulator-foreign"
    link = tmp_path / "drive-emulator-link"
    for path in (young, foreign):
        path.mkdir()
    (young / ".lock").touch()
    link.symlink_to(foreign)
    killed.send_signal(signal.SIGKILL)
    killed.wait(10)
    for path in (left, kept, foreign):
        make_old(path)
    scratch = ScratchDirectory()
    try:
        assert not left.exists()
        assert all(path.exists() for path in (kept, young, foreign, link, scratch.path))
    finally:
        scratch.close()
        living.communicate("\n", timeout=10)
    assert not scratch.path.exists()
