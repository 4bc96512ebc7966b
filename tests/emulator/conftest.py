from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from emulator_steps import ALICE, BOB, CAROL, Raw, google_client
from google.oauth2.credentials import Credentials

from drive_emulator import DriveEmulator

Connect = Callable[..., Any]


@pytest.fixture(scope="module")
def shared_emulator() -> Iterator[DriveEmulator]:
    with DriveEmulator() as emulator:
        yield emulator


@pytest.fixture
def emulator(shared_emulator: DriveEmulator) -> DriveEmulator:
    """An empty Drive; one server serves a module."""
    shared_emulator.reset()
    return shared_emulator


@pytest.fixture
def connect(emulator: DriveEmulator) -> Iterator[Connect]:
    """Make unmodified Google clients, one per account."""
    clients: list[Any] = []

    def make(email: str, *, at: DriveEmulator = emulator) -> Any:
        clients.append(google_client(at.url, Credentials(email)))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def alice(connect: Connect) -> Any:
    return connect(ALICE)


@pytest.fixture
def bob(connect: Connect) -> Any:
    return connect(BOB)


@pytest.fixture
def carol(connect: Connect) -> Any:
    return connect(CAROL)


@pytest.fixture
def raw(emulator: DriveEmulator) -> Iterator[Callable[..., Raw]]:
    opened: list[Raw] = []

    def make(email: str | None = ALICE, *, at: DriveEmulator = emulator) -> Raw:
        opened.append(Raw(at.port, email))
        return opened[-1]

    yield make
    for connection in opened:
        connection.close()
