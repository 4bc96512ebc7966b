from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.oauth2.credentials import Credentials
from googleapiclient.discovery import build_from_document
from googleapiclient.discovery_cache import get_static_doc

from syft_flwr.testing import DriveEmulator

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
    return connect("alice@example.com")


@pytest.fixture
def bob(connect: Connect) -> Any:
    return connect("bob@example.org")


@pytest.fixture
def carol(connect: Connect) -> Any:
    return connect("carol@example.net")


def google_client(url: str, credentials: Any) -> Any:
    """Return the unmodified google-api-python-client, pointed at the emulator by its discovery document alone."""
    document = json.loads(get_static_doc("drive", "v3"))
    document |= {"rootUrl": f"{url}/", "baseUrl": f"{url}/drive/v3/"}
    document.pop("mtlsRootUrl", None)
    return build_from_document(document, credentials=credentials)
