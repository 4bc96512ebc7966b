"""Write a recording while the feed goes on."""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from syft_flwr.errors import ConfigurationError, RecordingError
from syft_flwr.inline import split
from syft_flwr.ports import Clock
from syft_flwr.private import make_private_directory
from syft_flwr.recording.entries import Header
from syft_flwr.recording.raw import keep_line_ends, line_of
from syft_flwr.recording.reader import bodies_directory, claim, read_recording, release
from syft_flwr.recording.redaction import load_redactor
from syft_flwr.recording.tap import GatewayTap
from syft_flwr.resources import ChangePage, DriveFile

MOST_BODIES = 4 * 1024**3
"""Bytes of contents that a recording keeps unless told otherwise."""

_LONGEST_HELD = 2.0
"""Seconds that a line of a redacted recording waits for what is looked up next."""

_log = logging.getLogger(__name__)


class Recorder:
    """Appends to a recording until closed; a context manager, and disposable as a subscription is.

    A line is written at once and whole, so another process can read along. A file that exists already is continued,
    without what a killed recorder left of a last line. Should the disk fail, the recording ends there and ``report``
    is called; the feed goes on.

    Args:
        path: The file; made with mode 0600. Contents lie beside it, in ``{name}.bodies``, under their SHA-256.
        tap: Tells what passes between the account and Drive; without one, :meth:`shown` and :meth:`transferred` do.
        account: The account's address.
        start: What the account knows now; see :mod:`syft_flwr.recording.entries`.
        clock: Gives the offsets.
        bodies: Whether to keep the contents of messages that the runtime asks for, which it has admitted, and uploads.
        redact: Whether to replace addresses and names, each always by the same other one.
        max_bodies: Bytes of contents that are kept at most; of what comes beyond, the log tells, and the size is noted.
        report: Takes the error that ended the recording.

    Raises:
        RecordingError: The file exists and is no recording, one of another account or made with other options, or one
            that somebody else writes at present.
        ConfigurationError: Both ``bodies`` and ``redact``: nobody can tell what a body tells.
    """

    def __init__(
        self,
        path: Path,
        tap: GatewayTap | None,
        *,
        account: str,
        start: Mapping[str, Any],
        clock: Clock,
        bodies: bool = False,
        redact: bool = False,
        max_bodies: int = MOST_BODIES,
        report: Callable[[Exception], None],
    ) -> None:
        if bodies and redact:
            raise ConfigurationError("a recording can't be redacted and keep bodies: nobody knows what is in a body")
        self.path = path
        self._taps: list[GatewayTap] = []
        self._report = report
        self._clock = clock
        self._bodies = bodies_directory(path) if bodies else None
        self._room = max_bodies
        self._redactor = load_redactor(path, account) if redact else None
        self._lock = threading.Lock()
        self._pages: list[Mapping[str, Any]] = []
        self._token = ""
        self._next_token = start.get("token") or ""
        self._held: list[dict[str, Any]] = []
        self._lines = 0
        self._closed = self._has_gap = False
        try:
            self._file = self._open(self._header(account, start))
        except OSError as error:
            raise RecordingError(f"can't write {path}: {error.strerror}") from error
        if tap is not None:
            self.listen(tap)

    def listen(self, tap: GatewayTap) -> None:
        """Listen to a further tap, such as that of an account's next process."""
        self._taps.append(tap)
        tap.add(self)

    def close(self) -> None:
        """End the recording in good order, unless something is missing in it; idempotent."""
        self._let_go()
        self._write({"end": True, "token": self._next_token})
        with self._lock:
            if not self._closed:
                self._closed = True
                release(self._file)

    dispose = close

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- what the tap tells -----------------------------------------------------------------------------------

    def page(self, token: str, page: ChangePage) -> None:
        """Keep a page; with the last one the poll is written."""
        if not self._pages:
            self._token = token
        self._pages.append(page.raw)
        if page.next_page_token is None:
            self.poll_ended()

    def poll_ended(self) -> None:
        """Write the poll, with the pages that there are."""
        pages, self._pages = self._pages, []
        if pages:
            last = pages[-1]
            self._next_token = last.get("nextPageToken") or last.get("newStartPageToken") or self._next_token
            self._write({"poll": pages, "token": self._token})

    def start_token(self, token: str) -> None:
        self._next_token = token
        self._write({"restart": token})

    def listed(self, files: Sequence[DriveFile], *, by_feed: bool) -> None:
        self._write({"sweep" if by_feed else "folders": [file.to_api() for file in files]})

    def got(self, file_id: str, file: DriveFile | None) -> None:
        self._write({"get": file_id, "file": None if file is None else file.to_api()})

    def downloaded(self, file_id: str, body: bytes | Path | None) -> None:
        self.transferred({"download": file_id}, body)

    def uploading(
        self, file_id: str, name: str, parent: str, body: bytes | Path, properties: Mapping[str, str] | None
    ) -> None:
        upload = {"id": file_id, "name": name, "parent": parent, "properties": dict(properties or {})}
        self.transferred({"upload": upload}, body)

    # -- what others tell -------------------------------------------------------------------------------------

    def missed(self) -> None:
        """Leave the recording without an end: it lacks something, and shall not pass for the whole."""
        self._has_gap = True

    def shown(self, files: Sequence[Mapping[str, Any]] = (), gone: Sequence[str] = ()) -> None:
        """Write what an account's feed brought to others, as a poll that stays at its token.

        Args:
            files: ``drive#file`` resources.
            gone: IDs of files that Drive no longer has.
        """
        token = self._next_token = self._next_token or "log"
        changes = [{"fileId": file["id"], "removed": False, "file": file} for file in files]
        changes += [{"fileId": file_id, "removed": True} for file_id in gone]
        self._write({"poll": [{"changes": changes, "newStartPageToken": token}], "token": token})

    def transferred(self, document: Mapping[str, Any], body: bytes | Path | None) -> None:
        """Write that a content was downloaded or uploaded.

        Args:
            document: ``download`` or ``upload`` as in :mod:`syft_flwr.recording.entries`; where there is no body, its
                ``size``.
            body: The content; of a download ``None`` if it was gone, or is not to be had.
        """
        size, sha256 = (document.get("size"), None) if body is None else self._keep(body)
        content = {"size": size, "sha256": sha256}
        if "upload" in document:
            self._write({"upload": {**document["upload"], **content}})
        else:
            self._write({"download": document["download"], **content})

    # -- inside -----------------------------------------------------------------------------------------------

    def _header(self, account: str, start: Mapping[str, Any]) -> Header:
        _drop_bodies({"sweep": start.get("pending", ())})
        header = Header(
            account=account,
            time=self._clock.time(),
            bodies=self._bodies is not None,
            redacted=self._redactor is not None,
            start=start,
        )
        return header if self._redactor is None else self._redactor.header(header)

    def _open(self, header: Header) -> int:
        """Begin the file, or go on with it."""
        if self._bodies is not None:
            make_private_directory(self._bodies)
            keep_line_ends(self._bodies)
            self._room -= sum(body.lstat().st_size for body in self._bodies.iterdir())
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
        os.fchmod(descriptor, 0o600)
        try:
            claim(descriptor, self.path)
            if os.fstat(descriptor).st_size == 0:
                self._offset = -self._clock.monotonic()
                _append(descriptor, header.to_line())
                self._lines = 1
            else:
                self._offset = self._continue(descriptor, header) - self._clock.monotonic()
                _append(descriptor, {"at": self._at(), "resume": header.start})
                self._lines += 1
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _continue(self, descriptor: int, header: Header) -> float:
        """Cut off what is not whole; return the seconds since the first recorder began."""
        before = read_recording(self.path, allow_cut_off=True)
        for name in ("account", "bodies", "redacted"):
            if (was := getattr(before.header, name)) != (wanted := getattr(header, name)):
                raise RecordingError(f"{self.path} was recorded with {name} {was!r}, not {wanted!r}: use another file")
        self._lines = len(before.entries) + 1
        if before.cut_off is not None:
            os.truncate(descriptor, self.path.read_bytes().rindex(b"\n") + 1)
        return max(before.duration, header.time - before.header.time)

    def _at(self) -> float:
        return round(self._offset + self._clock.monotonic(), 6)

    def _write(self, document: dict[str, Any]) -> None:
        with self._lock:
            if self._closed:
                return
            try:
                _drop_bodies(document)
                for ready in self._redacted({"at": self._at(), **document}):
                    if "end" in ready and self._has_gap:
                        continue
                    self._lines += 1
                    _append(self._file, ready | ({"lines": self._lines} if "end" in ready else {}))
            except Exception as error:  # a full disk must not stop the feed
                self._closed = True
                release(self._file)
                self._let_go()
                self._report(error)

    def _redacted(self, document: dict[str, Any]) -> list[dict[str, Any]]:
        """Return what can be written now: a name may be told or not by what the next look-ups show."""
        if self._redactor is None:
            return [document]
        self._held.append(document)
        is_open = [self._redactor.waits_for_more(each) for each in self._held]
        is_late = document["at"] - self._held[0]["at"] > _LONGEST_HELD
        if any(is_open) and not is_late and document.keys().isdisjoint(("poll", "end")):
            return []
        held, self._held = self._held, []
        return [self._redactor.line(each) for each in held]

    def _let_go(self) -> None:
        for tap in self._taps:
            tap.remove(self)

    def _keep(self, body: bytes | Path) -> tuple[int, str | None]:
        """Return a content's size and checksum, after keeping it; without bodies the size alone."""
        size = len(body) if isinstance(body, bytes) else body.stat().st_size
        if self._bodies is None or not self._has_room(size):
            return size, None
        partial = self._bodies / f".{secrets.token_hex(8)}"
        try:
            partial.touch(mode=0o600)
            if isinstance(body, bytes):
                partial.write_bytes(body)
            else:
                shutil.copyfile(body, partial)
            with partial.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            partial.replace(self._bodies / sha256)
        except OSError as error:
            partial.unlink(missing_ok=True)
            self.missed()
            self._report(error)
            return size, None
        return size, sha256

    def _has_room(self, size: int) -> bool:
        with self._lock:
            before, self._room = self._room, self._room - size
            if self._room < 0 <= before:
                _log.warning("%s: no more room for contents; from here on, only their sizes are recorded", self.path)
            return self._room >= 0


def _drop_bodies(document: Mapping[str, Any]) -> None:
    """Take the bodies out of files' properties, in place: what was read from the files keeps its own.

    Whose they are is not known yet; the body of a message that was admitted is kept when it is asked for.
    """
    pages = (page for page in document.get("poll", ()))
    changes = (change for page in pages for change in page.get("changes", ()))
    shown = [change.get("file") for change in changes]
    for file in (*shown, *document.get("sweep", ()), *document.get("folders", ()), document.get("file")):
        if file and file.get("properties"):
            _, file["properties"] = split(file["properties"])


def _append(descriptor: int, document: Mapping[str, Any]) -> None:
    """Write a whole line in one call, so that a reader seldom meets a part of one."""
    line = line_of(document)
    while line:
        line = line[os.write(descriptor, line) :]
