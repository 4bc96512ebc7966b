from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
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


class Answer:
    """An HTTP answer, read to its end."""

    def __init__(self, status: int, headers: Any, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def reason(self) -> str:
        return self.json["error"]["errors"][0]["reason"]


class Raw:
    """One account's plain HTTP connection, for what the client library would never send."""

    def __init__(self, port: int, email: str | None) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=30)
        self._headers = {} if email is None else {"Authorization": f"Bearer {email}"}

    def __call__(self, verb: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        if body is not None and not isinstance(body, bytes | str):
            body = json.dumps(body)
        self._connection.request(verb, path, body, self._headers | (headers or {}))
        answer = self._connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def raw(emulator: DriveEmulator) -> Iterator[Callable[..., Raw]]:
    opened: list[Raw] = []

    def make(email: str | None = "alice@example.com", *, at: DriveEmulator = emulator) -> Raw:
        opened.append(Raw(at.port, email))
        return opened[-1]

    yield make
    for connection in opened:
        connection.close()
