"""How google-auth asks for tokens: as Drive is called, so that a page of the network is no answer here either."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import google.auth.exceptions
import google.auth.transport
import urllib3.exceptions

from syft_flwr.drive.transport import Transport


class _Answer(NamedTuple):
    """What :class:`google.auth.transport.Response` has."""

    status: int
    headers: Mapping[str, str]
    data: bytes


class TokenRequest(google.auth.transport.Request):
    """Sends requests for google-auth. It follows no redirect, which would take the secrets with it. Thread-safe."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,  # noqa: ARG002 - the transport has one of its own
        **_: Any,
    ) -> Any:
        try:
            head, content = self._transport.send(url, method, body, headers or {})
        except (OSError, http.client.HTTPException, urllib3.exceptions.HTTPError) as error:
            raise google.auth.exceptions.TransportError(error) from error  # type: ignore[no-untyped-call]
        if method == "POST" and not _is_of_a_login(head.status, content):
            raise google.auth.exceptions.TransportError(f"{head.status} with what is no answer of a log-in")  # type: ignore[no-untyped-call]
        return _Answer(head.status, head, content)


def _is_of_a_login(status: int, content: bytes) -> bool:
    """Tell whether an answer has the form of a token endpoint's, or of Google's service for impersonation."""
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        return False
    if not isinstance(answer, dict):
        return False
    if status != 200:
        return bool(answer.get("error"))
    token = answer.get("access_token") or answer.get("accessToken")
    return isinstance(token, str) and token.isprintable()
