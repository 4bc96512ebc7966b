"""MIME multipart bodies, parsed as they arrive: uploads (``multipart/related``) and batches (``multipart/mixed``).

No part is ever held as a whole, only the headers and the last few bytes, which may begin a boundary. Lines end in
CRLF or, as google-api-python-client sends them, in LF; the first line decides, so that a body which ends in CR arrives
unharmed.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from typing import Final, TypeAlias

MAX_HEADER_BYTES: Final = 16_384
"""Bytes of one part's headers, and of what precedes the first part."""
MAX_PADDING: Final = 256
"""Blanks after a boundary."""
MAX_METADATA_BYTES: Final = 1_048_576
MAX_BOUNDARY: Final = 200

_HEADER: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*:[ \t]*(.*)", re.DOTALL)
_AFTER_BOUNDARY: Final = re.compile(rb"--|[ \t]{0,%d}\r?\n" % MAX_PADDING)
_UNFINISHED: Final = re.compile(rb"-|[ \t]{0,%d}\r?" % MAX_PADDING)
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/]*={0,2}")


class MultipartError(ValueError):
    """A body that is no such multipart body. The server answers 400, with this message and reason."""

    reason: Final = "badRequest"

    def __init__(self, message: str = "Malformed multipart body.") -> None:
        super().__init__(message)
        self.message = message


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
    """Parse the lines of a header block, names to lower case; a line that starts with a blank goes on the last one.

    Raises:
        MultipartError: A line is no header.
    """
    headers: dict[str, str] = {}
    for line in re.sub(rb"\r?\n[ \t]+", b" ", block).splitlines():
        match = _HEADER.fullmatch(line)
        if match is None:
            raise MultipartError
        headers[match[1].decode("ascii").lower()] = match[2].strip().decode("latin-1")
    return headers


def parse_content_type(value: str) -> tuple[str, str | None]:
    """Return the media type in lower case, and the boundary if there is one."""
    message = Message()
    message["content-type"] = value.replace("\r", " ").replace("\n", " ")
    return message.get_content_type(), message.get_boundary()


class MultipartParser:
    """Turns chunks of a body into events.

    Args:
        content_type: The body's ``Content-Type``.

    Raises:
        MultipartError: It is not multipart, or names no usable boundary.
    """

    def __init__(self, content_type: str) -> None:
        kind, boundary = parse_content_type(content_type)
        if not kind.startswith("multipart/") or not boundary or len(boundary) > MAX_BOUNDARY:
            raise MultipartError
        try:
            self._dashes = b"--" + boundary.encode("latin-1")
        except UnicodeEncodeError as error:
            raise MultipartError from error
        self._newline = b"\n"
        # A boundary begins a line. The body's first line, and a part's first, begin after a newline of our own making.
        self._buffer = b"\n"
        self._made_up = 1
        self._state = self._preamble
        self._decoder = _Decoder("")
        self._complete = False

    def feed(self, data: bytes) -> Iterator[Event]:
        """Return the events that this chunk completes. Consume them before feeding on.

        Raises:
            MultipartError: The body is malformed.
        """
        self._buffer += data
        while True:
            before = (self._state, len(self._buffer))
            yield from self._state()
            if (self._state, len(self._buffer)) == before:
                return

    def finish(self) -> None:
        """Say that the body is over.

        Raises:
            MultipartError: Its last boundary has not come.
        """
        if not self._complete:
            raise MultipartError("Missing end boundary in multipart body.")

    def _preamble(self) -> Iterator[Event]:
        _, after = self._find_boundary()
        if after is None:
            if len(self._buffer) > MAX_HEADER_BYTES:
                raise MultipartError
            return
        if after[0] == b"--":
            raise MultipartError
        self._newline = b"\r\n" if after[0].endswith(b"\r\n") else b"\n"
        self._buffer = self._buffer[after.end() :]
        self._state = self._headers
        yield from ()

    def _headers(self) -> Iterator[Event]:
        blank = re.search(rb"(?:\A|\n)\r?\n", self._buffer)
        if blank is None or blank.start() > MAX_HEADER_BYTES:
            if len(self._buffer) > MAX_HEADER_BYTES:
                raise MultipartError
            return
        headers = parse_headers(self._buffer[: blank.start()])
        self._decoder = _Decoder(headers.get("content-transfer-encoding", ""))
        self._buffer = self._newline + self._buffer[blank.end() :]
        self._made_up = len(self._newline)
        self._state = self._content
        yield PartBegin(headers)

    def _content(self) -> Iterator[Event]:
        end, after = self._find_boundary()
        if content := self._buffer[self._made_up : end]:
            yield from self._decoder.decode(content)
        if after is None:
            if content:
                self._buffer = self._buffer[end:]
                self._made_up = 0
            return
        yield from self._decoder.finish()
        yield PartEnd()
        self._buffer = self._buffer[after.end() :]
        self._complete = after[0] == b"--"
        self._state = self._epilogue if self._complete else self._headers

    def _epilogue(self) -> Iterator[Event]:
        self._buffer = b""
        yield from ()

    def _find_boundary(self) -> tuple[int, re.Match[bytes] | None]:
        """Return where the first boundary line begins, and what follows the boundary on it.

        Without one, return from where on the buffer may be the beginning of one, and ``None``.
        """
        delimiter = self._newline + self._dashes
        at = self._buffer.find(delimiter)
        while at >= 0:
            if after := _AFTER_BOUNDARY.match(self._buffer, at + len(delimiter)):
                return at, after
            if _UNFINISHED.fullmatch(self._buffer, at + len(delimiter)):
                return at, None
            at = self._buffer.find(delimiter, at + 1)
        for length in range(min(len(delimiter) - 1, len(self._buffer)), 0, -1):
            if self._buffer.endswith(delimiter[:length]):
                return len(self._buffer) - length, None
        return len(self._buffer), None


class _Decoder:
    """Undoes a part's ``Content-Transfer-Encoding``."""

    def __init__(self, encoding: str) -> None:
        name = encoding.strip().lower()
        if name not in ("", "binary", "8bit", "7bit", "base64"):
            raise MultipartError
        self._base64 = name == "base64"
        self._pending = b""
        self._padded = False

    def decode(self, data: bytes) -> Iterator[bytes]:
        if not self._base64:
            yield data
            return
        digits = self._pending + data.translate(None, b" \t\r\n")
        if not digits:
            return
        whole = len(digits) // 4 * 4
        self._pending = digits[whole:]
        if (whole or self._pending) and self._padded:
            raise MultipartError
        self._padded = digits[:whole].endswith(b"=")
        if decoded := self._decoded(digits[:whole]):
            yield decoded

    def finish(self) -> Iterator[bytes]:
        if self._pending:
            raise MultipartError
        yield from ()

    @staticmethod
    def _decoded(digits: bytes) -> bytes:
        if not _BASE64.fullmatch(digits):
            raise MultipartError
        try:
            return base64.b64decode(digits)
        except binascii.Error as error:
            raise MultipartError from error


class RelatedUpload:
    """An upload's two parts: the file's metadata, then its content.

    Args:
        content_type: The request's ``Content-Type``.

    Attributes:
        metadata: The first part, JSON as it came; ``None`` until it is complete.
        media_type: The second part's ``Content-Type``; ``None`` until it has begun, or when it has none.
        media_begun: Whether the second part has begun.
    """

    def __init__(self, content_type: str) -> None:
        self._parser = MultipartParser(content_type)
        self._parts = 0
        self._collected = bytearray()
        self.metadata: bytes | None = None
        self.media_type: str | None = None
        self.media_begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take a chunk of the body and return what it brings of the content.

        Raises:
            MultipartError: It is malformed, has more than two parts, or metadata above MAX_METADATA_BYTES.
        """
        for event in self._parser.feed(data):
            match event:
                case PartBegin(headers):
                    self._parts += 1
                    if self._parts > 2:
                        raise MultipartError
                    if self._parts == 2:
                        self.media_begun = True
                        self.media_type = headers.get("content-type")
                case bytes() if self.media_begun:
                    yield event
                case bytes():
                    self._collected += event
                    if len(self._collected) > MAX_METADATA_BYTES:
                        raise MultipartError
                case PartEnd() if self._parts == 1:
                    self.metadata = bytes(self._collected)

    def finish(self) -> None:
        """Say that the body is over.

        Raises:
            MultipartError: It was cut short, or has one part only.
        """
        self._parser.finish()
        if not self.media_begun:
            raise MultipartError
