from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from syft_flwr.runtime import DriveRuntime
from syft_flwr.settings import EMULATOR_VARIABLE, STATE_VARIABLE
from syft_flwr.testing import DriveEmulator
from syft_flwr.testing.memory_drive import MemoryDrive

OpenRuntime = Callable[..., DriveRuntime]


@pytest.fixture(scope="module")
def shared_emulator() -> Iterator[DriveEmulator]:
    with DriveEmulator() as emulator:
        yield emulator


@pytest.fixture
def emulator(shared_emulator: DriveEmulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> DriveEmulator:
    """An empty Drive that runtimes find, and a state directory of the test's own; one server serves a module."""
    shared_emulator.clear_faults()
    shared_emulator.reset()
    monkeypatch.setenv(EMULATOR_VARIABLE, shared_emulator.host)
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path / "state"))
    return shared_emulator


@pytest.fixture
def drive(memory_drive: MemoryDrive) -> MemoryDrive:
    return memory_drive


@pytest.fixture
def open_runtime(emulator: DriveEmulator) -> Iterator[OpenRuntime]:
    """Open runtimes that are closed after the test."""
    with ExitStack() as stack:

        def open_one(email: str, **settings: Any) -> DriveRuntime:
            return stack.enter_context(DriveRuntime.open(email, **settings))

        yield open_one
