"""Batches: many calls in one ``multipart/mixed`` body, and their answers in another.

https://developers.google.com/workspace/drive/api/guides/performance#batch-requests
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from drive_emulator.errors import ApiError
from drive_emulator.multipart import MultipartError, MultipartParser, PartBegin, PartEnd, parse_headers

__all__ = ["BatchRequest", "BatchResponse", "join_batch", "split_batch"]

MAX_CALLS: Final = 100
_REQUEST_LINE: Final = re.compile(rb"([A-Z]+) (/[!-~]*|https?://[^/ ]+(/[!-~]*))(?: HTTP/1\.[01])?")


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """One call of a batch: its ``target`` is path and query, as they came; its own headers have names in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    content_id: str | None


@dataclass(frozen=True, slots=True)
class BatchResponse:
    """The answer to one call; ``content_id`` is the call's."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    content_id: str | None


def split_batch(content_type: str, body: bytes) -> list[BatchRequest]:
    """Split the body of a batch into its calls, in order.

    Raises:
        ApiError: 400 when it is malformed, empty, or has more than MAX_CALLS calls.
    """
    requests: list[BatchRequest] = []
    try:
        for headers, content in _parts(content_type, body):
            requests.append(_parse_call(headers, content))
            if len(requests) > MAX_CALLS:
                raise _malformed(f"The batch request exceeds the limit of {MAX_CALLS} calls.")
    except MultipartError as error:
        raise _malformed(f"Failed to parse batch request, error: {error.message}") from error
    if not requests:
        raise _malformed("The batch request has no calls.")
    return requests


def join_batch(responses: Iterable[BatchResponse], *, boundary: str) -> tuple[str, bytes]:
    """Join the answers by a boundary that none contains; return the ``Content-Type`` and the body."""
    lines: list[bytes] = []
    for response in responses:
        lines += [b"--" + boundary.encode("ascii"), b"Content-Type: application/http"]
        if response.content_id is not None:
            lines.append(b"Content-ID: " + answer_id(response.content_id).encode("latin-1"))
        try:
            phrase = HTTPStatus(response.status).phrase
        except ValueError:
            phrase = ""
        lines += [b"", f"HTTP/1.1 {response.status} {phrase}".encode("ascii")]
        lines += [f"{name}: {value}".encode("latin-1") for name, value in response.headers.items()]
        lines += [b"", response.body]
    lines += [b"--" + boundary.encode("ascii") + b"--", b""]
    return f"multipart/mixed; boundary={boundary}", b"\r\n".join(lines)


def _malformed(message: str) -> ApiError:
    return ApiError(400, "badRequest", message)


def answer_id(content_id: str) -> str:
    """Return the answer's Content-ID: ``<x>`` becomes ``<response-x>``."""
    return f"<response-{content_id[1:]}" if content_id.startswith("<") else f"response-{content_id}"


def _parts(content_type: str, body: bytes) -> Iterable[tuple[dict[str, str], bytes]]:
    parser = MultipartParser(content_type)
    headers: dict[str, str] = {}
    chunks: list[bytes] = []
    for event in parser.feed(body):
        match event:
            case PartBegin():
                headers, chunks = event.headers, []
            case PartEnd():
                yield headers, b"".join(chunks)
            case _:
                chunks.append(event)
    parser.finish()


def _parse_call(part: dict[str, str], content: bytes) -> BatchRequest:
    """Parse a part: a request line, headers, a blank line and a body."""
    content = content.lstrip(b"\r\n")
    line, _, rest = content.partition(b"\n")
    match = _REQUEST_LINE.fullmatch(line.rstrip())
    if match is None:
        raise _malformed("Failed to parse batch request, error: no request line.")
    blank = re.search(rb"(?:\A|\n)\r?\n", rest)
    block, body = (rest, b"") if blank is None else (rest[: blank.start()], rest[blank.end() :])
    headers = parse_headers(block)
    length = headers.get("content-length", "")
    if length.isascii() and length.isdigit() and len(length) < 20:
        body = body[: int(length)]
    target = (match[3] or match[2]).decode("ascii")
    return BatchRequest(match[1].decode("ascii"), target, headers, body, part.get("content-id"))
