"""Emulators leave nothing behind in the system's directory for temporary files."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from drive_emulator import DriveEmulator

KILLED = """
import os, signal
from drive_emulator.scratch import ScratchDirectory
(ScratchDirectory().path / "body").write_text("left")
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_an_emulator_removes_what_a_killed_one_left(temporary: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED], env={**os.environ, "TMPDIR": str(temporary)}, check=False)
    (abandoned,) = temporary.iterdir()

    with DriveEmulator():
        assert not abandoned.exists()

    assert list(temporary.iterdir()) == []


def test_an_emulator_leaves_the_directories_of_running_ones_and_of_others(temporary: Path) -> None:
    of_a_user = temporary / "drive-emulator-data"
    of_a_user.mkdir()
    linked = temporary / "drive-emulator-scratch-link"
    linked.symlink_to(of_a_user)
    with DriveEmulator():
        before = set(temporary.iterdir())
        with DriveEmulator():
            assert before < set(temporary.iterdir())
        assert set(temporary.iterdir()) == before
    assert set(temporary.iterdir()) == {of_a_user, linked}
