from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flower_fakes import Events, FakeDrive
from flower_federation import Federation
from flower_virtual import VirtualFederation
from process_tree import Others

from syft_flwr.flower.project import FlowerProject
from syft_flwr.runtime import sharing
from syft_flwr.testing import DriveEmulator, ManualClock


@pytest.fixture
def drive() -> FakeDrive:
    return FakeDrive()


@pytest.fixture
def progress() -> Events:
    return Events()


@pytest.fixture
def federation(drive: FakeDrive, tmp_path: Path) -> Iterator[Callable[..., Federation]]:
    made: list[Federation] = []

    def make(project_dir: Path, count: int = 2) -> Federation:
        made.append(Federation(drive, FlowerProject.load(project_dir), tmp_path / "owners", count))
        made[-1].start()
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def others() -> Others:
    """What was here before the test, and is none of it; before the emulator, which is."""
    return Others()


@pytest.fixture
def virtual(
    *,
    others: Others,
    drive_emulator: DriveEmulator,
    plain_environment: None,
    tmp_path: Path,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[VirtualFederation]:
    monkeypatch.setenv("DRIVE_EMULATOR_HOST", drive_emulator.host)
    monkeypatch.setattr(sharing, "SystemClock", lambda: clock)
    federation = VirtualFederation(others, drive_emulator, clock, tmp_path / "out")
    yield federation
    federation.close()
