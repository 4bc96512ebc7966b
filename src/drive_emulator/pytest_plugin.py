"""The pytest fixture ``drive_emulator``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from drive_emulator.handle import DriveEmulator


@pytest.fixture
def drive_emulator() -> Iterator[DriveEmulator]:
    """Serve an empty Drive on a thread of its own for one test."""
    with DriveEmulator() as emulator:
        yield emulator
