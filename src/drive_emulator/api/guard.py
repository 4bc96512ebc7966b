"""Keeps other people's browser pages out, and lets those of this machine in (CORS).

A page from elsewhere can send requests to a loopback port: its ``Origin`` tells. One whose own name was made to point
at the loopback address (DNS rebinding) has no foreign origin, but a ``Host`` that is none of ours.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from drive_emulator.api.call import error_response
from drive_emulator.errors import forbidden
from drive_emulator.hosts import GOOGLES_HOSTS, is_loopback

_EXPOSED = (
    "Content-Length, Content-Range, Date, Location, Range, Retry-After, WWW-Authenticate,"
    " X-Goog-Upload-Chunk-Granularity, X-Goog-Upload-Size-Received, X-Goog-Upload-Status, X-Goog-Upload-URL,"
    " X-GUploader-UploadID, X-HTTP-Status-Code-Override"
)


class Guard:
    """Refuses, with 403, what comes by another name than ours or loopback's, or from a page of another machine."""

    def __init__(self, application: ASGIApp, hosts: Collection[str]) -> None:
        self._application = application
        self._hosts = {*GOOGLES_HOSTS, *(host.lower() for host in hosts)}
        self._is_ours = lru_cache(maxsize=64)(self._belongs_to_us)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        named = dict(scope["headers"])
        host, origin = (named[name].decode("latin-1") if name in named else None for name in (b"host", b"origin"))
        if host is not None and not self._is_ours(f"//{host}"):
            await _refuse(f"The host {host[:100]} is not served; allow it with --allow-host.")(scope, receive, send)
        elif origin is None:
            await self._application(scope, receive, send)
        elif not self._is_ours(origin):
            await _refuse(f"Pages of {origin[:100]} may not call; allow them with --allow-host.")(scope, receive, send)
        elif scope["method"] == "OPTIONS" and b"access-control-request-method" in named:
            await _preflight(Headers(scope=scope), origin)(scope, receive, send)
        else:
            await self._application(scope, receive, _sharing(send, origin))

    def _belongs_to_us(self, url: str) -> bool:
        try:
            name = (urlsplit(url).hostname or "").rstrip(".")
        except ValueError:
            return False
        return name in self._hosts or is_loopback(name)


def _refuse(message: str) -> Response:
    return error_response(forbidden("forbidden", message))


def _preflight(headers: Headers, origin: str) -> Response:
    allowed = {
        "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, DELETE",
        "Access-Control-Allow-Headers": headers.get("access-control-request-headers", ""),
        "Access-Control-Max-Age": "3600",
    }
    return Response(headers=allowed | {"Access-Control-Allow-Origin": origin, "Vary": "Origin"})


def _sharing(send: Send, origin: str) -> Send:
    async def shared(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["Access-Control-Allow-Origin"] = origin
            headers["Access-Control-Expose-Headers"] = _EXPOSED
            headers.add_vary_header("Origin")
        await send(message)

    return shared
