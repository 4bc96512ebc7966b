"""An OAuth token endpoint that answers as a test wants, and where a browser is sent by the emulator's consent page."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import urlsplit

from syft_flwr.drive.auth import DRIVE_SCOPE

NARROW = "https://www.googleapis.com/auth/drive.file"


@contextmanager
def token_endpoint(status: int = 200, **answer: str) -> Iterator[str]:
    """Serve an OAuth token endpoint that always answers so, and return its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/token"
        finally:
            server.shutdown()
            thread.join()


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
