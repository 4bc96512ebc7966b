"""How a process speaks to the control plane of an emulator."""

from __future__ import annotations

import json
import ssl
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any

_TIMEOUT = 60.0


def ask(host: str, token: str, verb: str, path: str, body: Any = None, *, ca_file: Path | None = None) -> Any:
    """Carry out a call under ``/emulator``, and return what it answers.

    Args:
        host: ``"127.0.0.1:8085"``.
        token: What opens the control plane.
        verb: As of HTTP.
        path: Behind ``/emulator``.
        body: Sent as JSON, unless it is ``None``.
        ca_file: What to trust, of an emulator that speaks TLS.

    Raises:
        ValueError: The emulator refused; the message is its own.
        OSError: It can't be reached.
    """
    if ca_file is None:
        connection = HTTPConnection(host, timeout=_TIMEOUT)
    else:
        connection = HTTPSConnection(host, timeout=_TIMEOUT, context=ssl.create_default_context(cafile=ca_file))
    try:
        headers = {"Authorization": f"Bearer {token}"}
        connection.request(verb, f"/emulator{path}", None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        content = json.loads(answer.read())
    finally:
        connection.close()
    if answer.status != 200:
        raise ValueError(content["error"]["message"])
    return content
