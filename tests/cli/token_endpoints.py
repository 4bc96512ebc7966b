"""An OAuth token endpoint that answers as a test wants, and where a browser is sent by the emulator's consent page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from urllib.parse import urlsplit

from syft_flwr.drive.auth import DRIVE_SCOPE
from syft_flwr.testing.http_server import Answer, BadServer

NARROW = "https://www.googleapis.com/auth/drive.file"


@contextmanager
def token_endpoint(status: int = 200, **answer: str) -> Iterator[str]:
    """Serve an OAuth token endpoint that always answers so, and return its address."""
    with BadServer(lambda _: Answer(status, answer, {"Content-Type": "application/json"})) as server:
        yield f"{server.url}/token"


def granted(email: str, scope: str = DRIVE_SCOPE) -> dict[str, str]:
    # An address is a token for the emulator.
    return {"access_token": email, "expires_in": "3599", "token_type": "Bearer", "scope": scope}


def refused(error: str, description: str) -> dict[str, str]:
    return {"error": error, "error_description": description}


def end_of_browsing(address: str) -> str:
    """Return where a browser is sent by the consent page."""
    parts = urlsplit(address)
    connection = HTTPConnection(parts.netloc, timeout=30)
    try:
        connection.request("GET", f"{parts.path}?{parts.query}")
        return connection.getresponse().headers["Location"]
    finally:
        connection.close()
