"""Downloads that stream to a file, go on after a break where it ended, and are verified."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from syft_flwr.drive.calls import Attempt, CallGovernor
from syft_flwr.errors import DamagedDownloadError, DriveUnavailableError, StateError

_WORTHWHILE = 256 * 1024
"""Bytes that a broken attempt must have brought to count as progress."""
_PAGE = "files.get_media: a page came in place of the content: a log-in page of the network?"


class Download:
    """The file that a download fills: a sink that knows how far it got. Used by one thread."""

    def __init__(self, target: Path, size: int | None, sha256: str | None) -> None:
        self._target = target
        self._size = size
        self._sha256 = sha256
        self.is_page = False
        self._hash = hashlib.sha256()
        self.offset = 0
        self.complete = False
        try:
            self._file = os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb", buffering=0)
        except OSError as error:
            raise StateError(f"can't write {target}: {error}") from error

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Place the answer: a 206 goes on where it says, anything else starts from the beginning."""
        was_page, self.is_page = self.is_page, headers.get("content-type", "").startswith("text/html")
        if self.is_page and self._sha256 is None:  # else that tells whether it is the content all the same
            raise DriveUnavailableError(_PAGE)
        start = 0
        if status == 206:
            start = _first_byte(headers.get("content-range", ""))
        if start == self.offset and not was_page:
            return
        if start != 0:
            raise DriveUnavailableError(
                f"files.get_media: asked for the bytes from {self.offset}, Drive sent those from {start}"
            )
        self._file.seek(0)
        self._file.truncate()
        self._hash = hashlib.sha256()
        self.offset = 0

    def write(self, block: bytes) -> None:
        if self._size is not None and self.offset + len(block) > self._size:
            self._hash.update(block[: self._size - self.offset])
            raise self._wrong(f"the content is larger than the {self._size} bytes that its metadata say")
        self.offset += len(block)
        self._hash.update(block)
        try:
            self._file.write(block)
        except OSError as error:
            raise StateError(f"can't write {self._target}: {error}") from error

    def verify(self) -> None:
        """Raise unless size and checksum are the expected ones: of a page, that is no content's fault."""
        if self._size is not None and self.offset != self._size:
            raise self._wrong(f"the content has {self.offset} bytes; its metadata say {self._size}")
        if self._sha256 is not None and self._hash.hexdigest() != self._sha256:
            raise self._wrong("the content's SHA-256 is not the one in its metadata")

    def _wrong(self, detail: str) -> DriveUnavailableError:
        if self.is_page:
            return DriveUnavailableError(_PAGE)
        return DamagedDownloadError(detail, sha256=self._hash.hexdigest())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._file.close()
        if kind is not None and self._target.is_file():
            self._target.unlink()


def download(governor: CallGovernor, uri: str, target: Path, *, size: int | None, sha256: str | None) -> None:
    """Fetch the content behind ``uri`` into ``target`` (mode 0600), which exists afterwards only if all is well.

    Raises:
        DamagedDownloadError: Size or checksum are wrong.
        StateError: The file can't be written.
    """
    with Download(target, size, sha256) as sink:
        while not sink.complete:
            governor.run("files.get_media", _step(uri, sink, size))
        sink.verify()


def _step(uri: str, sink: Download, size: int | None) -> Callable[[Attempt], None]:
    def step(attempt: Attempt) -> None:
        start = 0 if sink.is_page else sink.offset  # a page is not the beginning of the content
        if start > 0 and start == size:
            sink.complete = True
            return
        # Compressed, the bytes on the wire would not be those that Range counts.
        headers = {"accept-encoding": "identity"}
        if start > 0:
            headers["range"] = f"bytes={start}-"
        try:
            attempt.request(uri, headers=headers, sink=sink)
        except DriveUnavailableError as error:
            # A break that comes after progress is no reason to back off: only failures in a row are.
            if sink.offset - start < _WORTHWHILE or sink.is_page or isinstance(error, DamagedDownloadError):
                raise
        else:
            sink.complete = True
        finally:
            attempt.bytes_down += max(0, sink.offset - start)

    return step


def _first_byte(content_range: str) -> int:
    try:
        return int(content_range.removeprefix("bytes ").partition("-")[0])
    except ValueError:
        raise DriveUnavailableError(
            f"files.get_media: Drive sent a range that can't be read: {content_range[:80]!r}"
        ) from None
