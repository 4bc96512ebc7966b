from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flower_fakes import Events, FakeDrive
from flower_federation import Federation

from syft_flwr.flower.project import FlowerProject


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
