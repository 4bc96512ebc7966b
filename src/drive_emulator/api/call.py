"""One API call on its way through: who calls, with which parameters, and what goes wrong on purpose."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.responses import Response

from drive_emulator.alterations import alter
from drive_emulator.api.routing import Endpoint, Request
from drive_emulator.drive import Drive
from drive_emulator.errors import ApiError, bad_body, invalid, login_required, no_shared_drive, unauthenticated
from drive_emulator.faults import End, Moment, Plan
from drive_emulator.fields import Mask, field_mask
from drive_emulator.model import DRIVE, Account, parse_spaces
from drive_emulator.quota import UNITS, LoggedRequest

MAX_JSON = 1_048_576
"""Largest JSON body, in bytes."""
_PIECE = 65_536
TRANSPORT = "drive_emulator.transport"
"""Where the server puts a request's connection in the ASGI scope's extensions."""
_to_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_TOKEN_IN_QUERY = re.compile(r"(?:access|oauth)_token=[^&]*&?")


class Call:
    """An authenticated request to one of Drive's methods."""

    def __init__(self, drive: Drive, request: Request, method: str, account: Account, plan: Plan) -> None:
        self.drive = drive
        self.request = request
        self.method = method
        self.account = account
        self.plan = plan
        self.bytes_in = 0
        self.file_id: str | None = request.path_params.get("file_id")
        """The file that it is about, once it is known."""

    def path(self, name: str) -> str:
        value: str = self.request.path_params[name]
        return value

    def text(self, name: str, default: str = "") -> str:
        value: str = self.request.query_params.get(name, default)
        if "\x00" in value:
            raise invalid(name)
        return value

    def page_size(self, default: int, highest: int) -> int:
        """Return the parameter ``pageSize``; what is above the highest value counts as that."""
        return min(self.number("pageSize", default, 1, highest, most=999_999_999), highest)

    def number(self, name: str, default: int, lowest: int, highest: int, *, most: int | None = None) -> int:
        """Return an integer parameter; above the highest value that is told, as much as ``most`` is taken."""
        text = self.request.query_params.get(name)
        if text is None:
            return default
        number = to_number(text, most or highest)
        if number is None or number < lowest:
            message = f"Invalid value '{text[:100]}'. Values must be within the range: [{lowest}, {highest}]"
            raise ApiError(400, "invalidParameter", message, location=name)
        return number

    def flag(self, name: str, *, default: bool = False) -> bool:
        text = self.request.query_params.get(name)
        if text is None:
            return default
        if text.lower() not in ("true", "false"):
            raise invalid(name, f"Invalid boolean value: '{text[:100]}'.")
        return text.lower() == "true"

    def ids(self, name: str) -> list[str]:
        """Return a comma-separated list."""
        return split_ids(self.text(name))

    def spaces(self, name: str = "spaces") -> frozenset[str]:
        """Return the spaces that it is about, all of which its token covers."""
        return parse_spaces(self.account, self.text(name, DRIVE), name)

    def drive_id(self) -> str:
        """Return which shared drive it is about, if any."""
        return self.text("driveId") or self.text("teamDriveId")

    def refuse_drive(self) -> None:
        """Refuse what is about a shared drive: there are none."""
        if drive_id := self.drive_id():
            raise no_shared_drive(drive_id)

    def mask(self) -> Mask:
        """Return what the caller wants of the answer."""
        return field_mask(self.method, self.request.query_params.get("fields"))

    def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes, no faster than the faults allow."""
        return unzipped(self.request, self._received())

    async def _received(self) -> AsyncIterator[bytes]:
        half = int(self.request.headers.get("content-length", "0")) // 2
        async for chunk in self.request.stream():
            if chunk:
                self.bytes_in += len(chunk)
                await self.throttle(len(chunk))
                yield chunk
            if self.plan.during is not None and self.bytes_in > half:
                await self.break_off(self.plan.during)
                raise ConnectionBrokenError

    async def throttle(self, size: int) -> None:
        if self.plan.bytes_per_second is not None:
            await asyncio.sleep(size / self.plan.bytes_per_second)

    async def break_off(self, end: End) -> None:
        """Reset the connection, or close it in good order; nobody gets an answer."""
        transport = self.request.scope["extensions"][TRANSPORT]
        if end == "reset":
            connection = transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        else:
            transport.close()
        # The loop tells the server of the loss before it runs anything queued behind this.
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def json(self) -> Any:
        """Return the JSON body, of :data:`MAX_JSON` bytes at most; none at all is an empty object."""
        return parse_json(await read_bounded(self.chunks(), MAX_JSON, bad_body("The request body is too large.")))


def to_number(text: str | None, highest: int) -> int | None:
    """Read decimal digits; ``None`` for anything else, and beyond the highest number."""
    if text is None or not (text.isascii() and text.isdecimal() and len(text) < 18 and int(text) <= highest):
        return None
    return int(text)


def split_ids(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


async def read_bounded(chunks: AsyncIterator[bytes], limit: int, error: ApiError) -> bytes:
    """Return a whole body, or raise the error when it is longer than the limit."""
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > limit:
            raise error
    return bytes(body)


def unzipped(request: Request, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Return a request's body as it was before its ``Content-Encoding``."""
    encoding = request.headers.get("content-encoding", "").strip().lower()
    return _unzip(chunks) if encoding in ("gzip", "x-gzip") else chunks


async def _unzip(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield what was compressed, be it in several streams, in pieces of a bounded size."""
    stream = _gzip_stream()
    async for chunk in chunks:
        rest = chunk
        try:
            while rest:
                stream = _gzip_stream() if stream.eof else stream
                if piece := stream.decompress(rest, _PIECE):
                    yield piece
                rest = stream.unused_data or stream.unconsumed_tail
        except zlib.error as error:
            raise bad_body("The request body is no gzip stream.") from error
    if not stream.eof:
        raise bad_body("The request body is no gzip stream, or is cut off.")


def _gzip_stream() -> Any:
    return zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)


def parse_json(body: bytes) -> Any:
    """Read JSON that UTF-8 can hold; an empty body is an empty object.

    Raises:
        ApiError: 400 when it is malformed.
    """
    if not body.strip():
        return {}
    try:
        value = json.loads(body)
        # Half a surrogate pair, or a number such as NaN, has no place in a database.
        if b"\\u" in body or b"N" in body or b"Infinity" in body:
            json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise bad_body("Parse Error") from error
    return value


class ApiResponse(Response):
    """JSON, as Google's."""

    media_type = "application/json; charset=UTF-8"

    def render(self, content: Any) -> bytes:
        return _to_json(content).encode()


def error_response(error: ApiError) -> Response:
    return ApiResponse(error.body(), error.status, headers=error.headers)


Handler = Callable[[Call], Awaitable[Response]]


def operation(drive: Drive, method: str, handler: Handler) -> Endpoint:
    """Return the endpoint of one of Drive's methods: it authenticates, goes wrong as planned, calls and meters."""

    async def endpoint(request: Request) -> Response:
        media = request.query_params.get("alt") == "media" and f"{method}_media" in UNITS
        name = f"{method}_media" if media else method
        if "upload_id" in request.query_params and method.startswith("files."):
            name = "uploads.put"  # a piece by POST, which the call that began the upload has paid for
        units = UNITS.get(name, 0)
        account, call, status, response = "", None, 0, Response()
        try:
            caller = _caller(drive, request, name)
            account = caller.key
            file_id = request.path_params.get("file_id")
            plan = drive.faults.plan(name, account, units, drive.clock.time(), file_id)
            call = Call(drive, request, method, caller, plan)
            response = await _carry_out(call, handler)
            status = response.status_code
        except ApiError as error:
            response = error_response(error)
            status = error.status
        except ConnectionBrokenError:
            response = Response()
        except ClientDisconnect:
            response = Response(status_code=499)
        finally:
            drive.meter.book(
                LoggedRequest(
                    drive.clock.time(),
                    account,
                    name,
                    status,
                    units if account else 0,
                    request.scope["path"],
                    _TOKEN_IN_QUERY.sub("", request.scope["query_string"].decode("latin-1")),
                    call.bytes_in if call else 0,
                    int(response.headers.get("content-length", 0)),
                )
            )
        return response

    return endpoint


async def _carry_out(call: Call, handler: Handler) -> Response:
    plan = call.plan
    if plan.delay:
        await asyncio.sleep(plan.delay)
    _alter(call, "before")
    await _end(call, plan.before)
    call.drive.permissions.expire()
    response = await handler(call)
    _alter(call, "after")
    await _end(call, plan.after)
    return response


def _alter(call: Call, when: Moment) -> None:
    for fault in call.plan.alterations:
        if fault.when == when and (file_id := fault.target or call.file_id) is not None:
            alter(call.drive, file_id, fault.alteration())


class ConnectionBrokenError(Exception):
    """A fault ended the connection; there is nobody to answer."""


async def _end(call: Call, end: ApiError | End | None) -> None:
    if isinstance(end, ApiError):
        raise end
    if end is not None:
        await call.break_off(end)
        raise ConnectionBrokenError


_PUBLIC = ("files.get", "files.get_media", "files.list")
_ANONYMOUS = Account("", "", "anonymous", "", spaces=frozenset({DRIVE}))


def _caller(drive: Drive, request: Request, method: str) -> Account:
    """Return who calls.

    The URI of an upload session is known to the one who began it, and needs no token; an API key does for reading what
    links make public.
    """
    upload = request.query_params.get("upload_id")
    if upload and "authorization" not in request.headers:
        session = drive.uploads.find(upload)
        return replace(drive.tokens.account(session.account), client=session.client)
    key = request.query_params.get("key") or request.headers.get("x-goog-api-key")
    if key and method in _PUBLIC and "authorization" not in request.headers:
        return _ANONYMOUS
    # Content needs the scope that making a file does: one for metadata changes nothing else.
    is_upload = "/upload/" in request.scope["path"]
    return drive.tokens.authenticate(bearer_token(request), "files.create" if is_upload else method)


def bearer_token(request: Request) -> str:
    """Return the token of the header, or of the parameter ``access_token`` or ``oauth_token``; or else raise 401."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    for parameter in ("access_token", "oauth_token"):
        if token := request.query_params.get(parameter, ""):
            return token
    raise unauthenticated() if "authorization" in request.headers else login_required()
