"""A small HTTP server that can answer as badly as networks do; tests only."""

from __future__ import annotations

import json
import os
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

_PATIENCE = 5.0
_DRIP = 0.02
"""Seconds between two bytes of an answer that drips."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came.

    Attributes:
        verb: ``"GET"``.
        path: With the query.
        headers: Names in lower case.
        body: All of it.
    """

    verb: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def query(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}


@dataclass(frozen=True, slots=True)
class Answer:
    """What to answer, and how badly.

    Attributes:
        status: HTTP status.
        body: The content; anything but bytes becomes JSON.
        headers: Without those that frame the body.
        cut: So many bytes of the body, which is announced as a whole, and then a reset.
        reset: No answer at all: the connection is reset.
        closed: No answer at all: the connection is closed in good order.
        drips: The body comes byte by byte, a moment between two of them.
        before: Called when the request has arrived, before it is answered.
        hung_up: Close the connection after the answer without announcing it, and then set this.
    """

    status: int = 200
    body: Any = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    reset: bool = False
    closed: bool = False
    drips: bool = False
    before: Callable[[], object] | None = None
    hung_up: threading.Event | None = None

    @property
    def content(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


class BadServer:
    """Answers each request with what a function says, on the loopback; in threads, one for each connection.

    Args:
        answer: Called with each request, in several threads at once.
        tls: To serve HTTPS.

    Attributes:
        connections: How many were made.
        closing: Set when the server is being closed, for those who wait before they answer.
    """

    def __init__(self, answer: Callable[[Request], Answer], *, tls: ssl.SSLContext | None = None) -> None:
        self.connections = 0
        self.closing = threading.Event()
        outer = self

        class Handler(_Handler):
            server_of = outer
            answer_to = staticmethod(answer)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._scheme = "http"
        if tls is not None:
            self._scheme = "https"
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, name="bad-server"
        )
        self._thread.start()

    @property
    def host(self) -> str:
        """``127.0.0.1:PORT``, the value for ``DRIVE_EMULATOR_HOST``."""
        return f"127.0.0.1:{self._server.server_port}"

    @property
    def url(self) -> str:
        return f"{self._scheme}://{self.host}"

    def close(self) -> None:
        """Stop serving; idempotent."""
        self.closing.set()
        self._server.shutdown()
        self._thread.join(_PATIENCE)
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server_of: BadServer
    answer_to: Callable[[Request], Answer]

    def setup(self) -> None:
        super().setup()
        self.server_of.connections += 1

    def handle(self) -> None:
        try:
            super().handle()
        except (OSError, ValueError):  # the other side hung up
            self.close_connection = True

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = type(self).answer_to(Request(self.command, self.path, headers, body))
        if answer.before is not None:
            answer.before()
        if answer.reset or answer.closed:
            self._hang_up(abruptly=answer.reset)
            return
        content = answer.content
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        has_body = answer.status not in (204, 304)
        if has_body:
            self.send_header("content-length", str(len(content)))
        self.end_headers()
        if has_body:
            self._write(content[: answer.cut], drips=answer.drips)
        if answer.cut is not None:
            self._hang_up(abruptly=False)
        if answer.hung_up is not None:
            self._hang_up(abruptly=False)
            answer.hung_up.set()

    def _write(self, content: bytes, *, drips: bool) -> None:
        pieces: Iterable[bytes] = (bytes([byte]) for byte in content) if drips else (content,)
        for piece in pieces:
            self.wfile.write(piece)
            if drips and self.server_of.closing.wait(_DRIP):
                return

    def _hang_up(self, *, abruptly: bool) -> None:
        self.close_connection = True
        if not abruptly:
            socket.socket.shutdown(self.connection, socket.SHUT_RDWR)
            return
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())  # at once and with a RST, which a shutdown would forestall

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - http.server names them

    def log_message(self, *_: object) -> None: ...
