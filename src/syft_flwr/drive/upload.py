"""Resumable uploads: a body in chunks; after a break, the session is asked where it stands.

Protocol: https://developers.google.com/workspace/drive/api/guides/manage-uploads#resumable
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self
from urllib.parse import urlsplit

from syft_flwr.drive.answers import read_stored
from syft_flwr.drive.calls import Attempt, CallGovernor
from syft_flwr.drive.unfinished import Unfinished
from syft_flwr.errors import DriveError, DriveUnavailableError, RateLimitedError, TransferError

CHUNK = 8 * 1024 * 1024
"""Bytes in one request: a multiple of 256 KiB, and what an upload holds in memory."""

_MAX_SESSIONS = 3


class Body:
    """The bytes to upload, from memory or from a file; seekable. Used by one thread."""

    def __init__(self, source: bytes | Path) -> None:
        self._stream: BinaryIO = io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")
        self.size = len(source) if isinstance(source, bytes) else os.fstat(self._stream.fileno()).st_size

    def read(self, offset: int, count: int) -> bytes:
        self._stream.seek(offset)
        return self._stream.read(count)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stream.close()


class _SessionGoneError(Exception):
    """Drive has forgotten the upload session."""


class UploadSession:
    """How far one upload session got."""

    def __init__(self, uri: str, file_id: str) -> None:
        self._uri = uri
        self._file_id = file_id
        self._offset = 0
        self._in_doubt = False
        self.takes_nothing = False
        self.stored: int | None = None

    def step(self, body: Body, attempt: Attempt) -> None:
        """Send the next chunk; after a failure, first ask what arrived of the last one."""
        if self._in_doubt:
            self._put(attempt, b"", f"bytes */{body.size}")
            if self.stored is not None:
                return
        start = self._offset
        chunk = body.read(start, CHUNK)
        self._in_doubt = True
        if chunk:
            self._put(attempt, chunk, f"bytes {start}-{start + len(chunk) - 1}/{body.size}")
        self.takes_nothing = self.stored is None and self._offset <= start
        if self.takes_nothing:
            raise DriveUnavailableError("files.create: Drive took nothing of the chunk, or does not finish the upload")
        self._in_doubt = False

    def _put(self, attempt: Attempt, chunk: bytes, content_range: str) -> None:
        headers = {"content-range": content_range, "content-length": str(len(chunk))}
        try:
            response, content = attempt.request(self._uri, "PUT", chunk, headers, accept=(308,))
        except DriveUnavailableError:
            raise
        except DriveError as error:
            if error.status in (404, 410):
                raise _SessionGoneError from error
            raise
        if response.status == 308:
            self._offset = _next_offset(response)
        else:
            self.stored = read_stored(json.loads(content), self._file_id)


def upload_resumable(
    governor: CallGovernor,
    uri: str,
    metadata: Mapping[str, Any],
    body: Body,
    unfinished: Unfinished[str, UploadSession],
) -> int:
    """Create a file from ``metadata``, which holds its reserved ID, and ``body``; return its size in Drive.

    Args:
        governor: Runs the calls.
        uri: The upload URL, with ``uploadType=resumable`` and the ``fields`` of the answer.
        metadata: The ``drive#file`` resource to create.
        body: Its content.
        unfinished: Sessions that failed for a limit or an outage, by their files: the next attempt goes on with one.

    Raises:
        ConflictError: The file exists already: from an earlier attempt whose answer was lost, as a rule.
        TransferError: Drive gave up on several upload sessions.
    """
    file = json.dumps([metadata, body.size])
    for _ in range(_MAX_SESSIONS):
        session = unfinished.take(file)
        if session is None:
            session = UploadSession(governor.run("files.create", _open(uri, metadata, body.size)), metadata["id"])
        try:
            while session.stored is None:
                governor.run("uploads.put", partial(session.step, body))
        except _SessionGoneError:
            continue
        except (RateLimitedError, DriveUnavailableError):
            if not session.takes_nothing:
                unfinished.keep(file, session)
            raise
        return session.stored
    raise TransferError(f"Drive dropped {_MAX_SESSIONS} upload sessions in a row")


def _open(uri: str, metadata: Mapping[str, Any], size: int) -> Callable[[Attempt], str]:
    content = json.dumps(metadata).encode()
    headers = {
        "content-type": "application/json; charset=UTF-8",
        "x-upload-content-type": str(metadata.get("mimeType", "application/octet-stream")),
        "x-upload-content-length": str(size),
    }

    def step(attempt: Attempt) -> str:
        response, _ = attempt.request(uri, "POST", content, headers)
        location = str(response.get("location", ""))
        here, there = urlsplit(uri), urlsplit(location)
        if (there.scheme, there.hostname) != (here.scheme, here.hostname):  # the token goes there, and the body
            raise DriveUnavailableError("files.create: Drive opened no upload session")
        return location

    return step


def _next_offset(response: Mapping[str, str]) -> int:
    """Read the ``Range`` of a 308 answer, ``bytes=0-N``; without one, nothing has arrived."""
    last = response.get("range", "").rpartition("-")[2]
    return int(last) + 1 if last.isdecimal() else 0
