"""MIME multipart bodies, parsed as they arrive: uploads (``multipart/related``) and batches (``multipart/mixed``).

No part is ever held as a whole, only the headers and the last few bytes, which may belong to a boundary. Lines end in
CRLF or, as google-api-python-client sends them, in LF; the first line decides, so that a body which ends in CR arrives
unharmed.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from drive_emulator.errors import ApiError

MAX_HEADER_BYTES: Final = 16_384
"""Bytes of one part's headers, and of what precedes the first part."""
MAX_PADDING: Final = 256
"""Blanks after a boundary."""
MAX_METADATA_BYTES: Final = 1_048_576

_CONTENT_TYPE: Final = re.compile(
    r'(?i:\s*multipart/[^;]*;.*?\bboundary)\s*=\s*(?:"([ -!#-~]{1,200})"|([!-~]{1,200}?))\s*(?:;.*)?'
)
_HEADER: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*:[ \t]*(.*)", re.DOTALL)
_AFTER_BOUNDARY: Final = re.compile(rb"--|[ \t]{0,%d}\r?\n" % MAX_PADDING)
_BLANK_LINE: Final = re.compile(rb"(?:\A|\n)\r?\n")


class MultipartError(ApiError):
    """A body that is no such multipart body: 400."""

    def __init__(self, message: str = "Malformed multipart body.") -> None:
        super().__init__(400, "badRequest", message)


@dataclass(frozen=True, slots=True)
class PartBegin:
    """The headers of a part, names in lower case."""

    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class PartEnd:
    """The part that began last is complete."""


Event: TypeAlias = PartBegin | bytes | PartEnd
"""Parts come one after the other: a beginning, chunks of content (decoded), an end."""


def parse_headers(block: bytes) -> dict[str, str]:
    """Parse the lines of a header block, names to lower case; a line that starts with a blank goes on the last one."""
    headers: dict[str, str] = {}
    for line in re.sub(rb"\r?\n[ \t]+", b" ", block).splitlines():
        match = _HEADER.fullmatch(line)
        if match is None:
            raise MultipartError
        headers[match[1].decode("ascii").lower()] = match[2].strip().decode("latin-1")
    return headers


class MultipartParser:
    """Turns chunks of a body, whose ``Content-Type`` names the boundary, into events."""

    def __init__(self, content_type: str) -> None:
        if (found := _CONTENT_TYPE.fullmatch(content_type)) is None:
            raise MultipartError
        self._dashes = b"--" + (found[1] or found[2]).encode("latin-1")
        self._longest = len(self._dashes) + MAX_PADDING + 4  # of boundary lines
        # A boundary begins a line. The body's first line, and a part's first, begin after a newline of our own making.
        self._buffer = b"\n"
        self._events = self._parse()
        self._complete = False

    def feed(self, data: bytes) -> Iterator[Event]:
        """Return the events that this chunk completes. Consume them before feeding on."""
        self._buffer += data
        while (event := next(self._events)) is not None:
            yield event

    def finish(self) -> None:
        """Say that the body is over: its last boundary must have come."""
        if not self._complete:
            raise MultipartError("Missing end boundary in multipart body.")

    def _parse(self) -> Generator[Event | None]:
        """Yield what the buffer holds, and ``None`` where more is needed."""
        while (found := self._find_boundary(b"\n")) is None:
            self._bound()
            yield None
        newline = b"\r\n" if found[1][0].endswith(b"\r\n") else b"\n"
        while (after := found[1])[0] != b"--":
            self._buffer = self._buffer[after.end() :]
            while (blank := _BLANK_LINE.search(self._buffer, 0, MAX_HEADER_BYTES)) is None:
                self._bound()
                yield None
            headers = parse_headers(self._buffer[: blank.start()])
            decoder = _Decoder(headers.get("content-transfer-encoding", ""))
            yield PartBegin(headers)
            self._buffer, start = newline + self._buffer[blank.end() :], len(newline)
            while (found := self._find_boundary(newline)) is None:
                if (end := len(self._buffer) - self._longest) > start:
                    yield from decoder.decode(self._buffer[start:end])
                    self._buffer, start = self._buffer[end:], 0
                yield None
            yield from decoder.decode(self._buffer[start : found[0]])
            yield from decoder.finish()
            yield PartEnd()
        self._complete = True
        while True:
            self._buffer = b""
            yield None

    def _find_boundary(self, newline: bytes) -> tuple[int, re.Match[bytes]] | None:
        """Return where the first boundary line begins, and what follows the boundary on it."""
        delimiter = newline + self._dashes
        at = self._buffer.find(delimiter)
        while at >= 0:
            if after := _AFTER_BOUNDARY.match(self._buffer, at + len(delimiter)):
                return at, after
            at = self._buffer.find(delimiter, at + 1)
        return None

    def _bound(self) -> None:
        if len(self._buffer) > MAX_HEADER_BYTES:
            raise MultipartError


class _Decoder:
    """Undoes a part's ``Content-Transfer-Encoding``."""

    def __init__(self, encoding: str) -> None:
        name = encoding.strip().lower()
        if name not in ("", "binary", "8bit", "7bit", "base64"):
            raise MultipartError
        self._base64 = name == "base64"
        self._digits = b""

    def decode(self, data: bytes) -> Iterator[bytes]:
        if self._base64:
            # Only the last four digits can be padded, so they wait for the end.
            self._digits += data.translate(None, b" \t\r\n")
            whole = max(0, len(self._digits) - 1) // 4 * 4
            ready, self._digits = self._digits[:whole], self._digits[whole:]
            if b"=" in ready:
                raise MultipartError
            data = _from_base64(ready)
        if data:
            yield data

    def finish(self) -> Iterator[bytes]:
        if self._digits:
            yield _from_base64(self._digits)


def _from_base64(digits: bytes) -> bytes:
    try:
        return base64.b64decode(digits, validate=True)
    except binascii.Error as error:
        raise MultipartError from error


class RelatedUpload:
    """An upload's two parts: the file's ``metadata``, JSON as it came, then its content with a ``media_type``."""

    def __init__(self, content_type: str) -> None:
        self._parser = MultipartParser(content_type)
        self._parts = 0
        self.metadata = b""
        self.media_type: str | None = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take a chunk of the body and return what it brings of the content."""
        for event in self._parser.feed(data):
            match event:
                case PartBegin(headers):
                    self._parts += 1
                    self.media_type = headers.get("content-type") if self._parts == 2 else None
                case bytes() if self._parts == 2:
                    yield event
                case bytes():
                    self.metadata += event
            if self._parts > 2 or len(self.metadata) > MAX_METADATA_BYTES:
                raise MultipartError

    def finish(self) -> None:
        """Say that the body is over."""
        self._parser.finish()
        if self._parts < 2:
            raise MultipartError
