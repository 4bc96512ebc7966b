"""A scripted HTTP server in Drive's place."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from syft_flwr.settings import Endpoint

ME = "me@example.com"


@dataclass
class Request:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def query(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}


@dataclass
class Answer:
    """What to answer; with ``cut``, so many bytes of the body and then a reset; ``reset``: no answer at all."""

    status: int = 200
    body: Any = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    reset: bool = False
    before: Callable[[], object] | None = None
    """Called when the request has arrived, before it is answered."""
    hung_up: threading.Event | None = None
    """Close the connection after the answer without announcing it, and then set this."""

    @property
    def content(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


def error(status: int, reason: str, *, location: str = "", headers: Mapping[str, str] | None = None) -> Answer:
    """Answer with Google's error envelope."""
    detail = {"domain": "global", "reason": reason, "message": f"text of {reason}", "location": location}
    return Answer(
        status,
        {"error": {"code": status, "message": f"text of {reason}", "errors": [detail]}},
        headers or {},
    )


RESET = Answer(reset=True)


class ScriptedServer:
    """Answers requests with what was scripted, in order, and keeps them; an unscripted request gets a 501."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Request] = []
        self.arrived = threading.Semaphore(0)
        self.connections = 0
        self._answers: list[Answer] = []
        script = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                script.connections += 1

            def handle(self) -> None:
                try:
                    super().handle()
                except (OSError, ValueError):
                    self.close_connection = True

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                answer = script._take(
                    Request(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body)
                )
                if answer.before is not None:
                    answer.before()
                if answer.reset:
                    self._reset()
                    return
                self.send_response_only(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content[: answer.cut])
                if answer.cut is not None:
                    self._reset()
                if answer.hung_up is not None:
                    self._reset()
                    answer.hung_up.set()

            def _reset(self) -> None:
                self.close_connection = True
                socket.socket.shutdown(self.connection, socket.SHUT_RDWR)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - http.server names them

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._scheme = "http"
        if tls is not None:
            self._scheme = "https"
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}"

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(self.url, None, is_emulator=True)

    def script(self, *answers: Answer) -> None:
        self._answers += answers

    def _take(self, request: Request) -> Answer:
        self.requests.append(request)
        self.arrived.release()
        return self._answers.pop(0) if self._answers else Answer(501, b"not scripted")

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join(5)
        self._server.server_close()
