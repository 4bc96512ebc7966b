"""A scripted HTTP server in Drive's place."""

from __future__ import annotations

import ssl
import threading

from syft_flwr.settings import Endpoint
from syft_flwr.testing.bad_answers import google_error as error
from syft_flwr.testing.http_server import Answer, BadServer, Request

ME = "me@example.com"
RESET = Answer(reset=True)


class ScriptedServer(BadServer):
    """Answers requests with what was scripted, in order, and keeps them; an unscripted request gets a 501."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Request] = []
        self.arrived = threading.Semaphore(0)
        self._answers: list[Answer] = []
        super().__init__(self._take, tls=tls)

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(self.url, None, is_emulator=True)

    def script(self, *answers: Answer) -> None:
        self._answers += answers

    def _take(self, request: Request) -> Answer:
        self.requests.append(request)
        self.arrived.release()
        return self._answers.pop(0) if self._answers else Answer(501, b"not scripted")


__all__ = ["ME", "RESET", "Answer", "Request", "ScriptedServer", "error"]
