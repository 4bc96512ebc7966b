"""The pytest plugin: fixtures for those who test against a local Drive."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from syft_flwr.testing.emulator import DriveEmulator


@pytest.fixture
def drive_emulator() -> Iterator[DriveEmulator]:
    """Serve an empty Drive on a thread of its own for one test."""
    with DriveEmulator() as emulator:
        yield emulator
