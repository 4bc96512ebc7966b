from __future__ import annotations

import os
from pathlib import Path

import pytest
from real_drive import COSTS, TOKENS

from syft_flwr.testing import DriveEmulator, ManualClock, MemoryDrive


def pytest_xdist_auto_num_workers() -> int:
    """Return how many tests run at once: two for each processor, since much of their time goes by in waiting."""
    return len(os.sched_getaffinity(0)) * 2


def pytest_report_header() -> str | None:
    """Tell beforehand what tests cost on Google Drive."""
    costs = "; ".join(f"{suite}: {cost}" for suite, cost in COSTS.items())
    return f"to come on Google Drive, at most: {costs}" if TOKENS else None


@pytest.fixture
def drive(drive_emulator: DriveEmulator, plain_environment: None, monkeypatch: pytest.MonkeyPatch) -> DriveEmulator:
    """An empty Drive that this process's runtimes use, with their state in a directory of this test's own."""
    monkeypatch.setenv("DRIVE_EMULATOR_HOST", drive_emulator.host)
    return drive_emulator


@pytest.fixture
def clock() -> ManualClock:
    """Time that passes when the test says so."""
    return ManualClock()


@pytest.fixture
def memory_drive(clock: ManualClock) -> MemoryDrive:
    """An empty Drive in memory."""
    return MemoryDrive(clock)


@pytest.fixture
def plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No account, no log-in, no Drive, and state in a directory of this test's own."""
    for name in [name for name in os.environ if name.startswith(("SYFT", "GDRIVE", "DRIVE_EMULATOR"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SYFT_FLWR_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
