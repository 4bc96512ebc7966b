"""Cut a recording down to one exchange, for a test that plays nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from syft_flwr.errors import RecordingError
from syft_flwr.models import FOLDER_MIME_TYPE
from syft_flwr.private import create_private, make_private_directory
from syft_flwr.recording.reader import Recording, bodies_directory, open_plain


def cut(recording: Recording, future_id: str, target: Path) -> int:
    """Write a recording of nothing but one exchange, and of the folders that it lies in; return how many lines it has.

    Args:
        recording: What was recorded, whole.
        future_id: The exchange, as messages and ``watch`` show it.
        target: The new file. The bodies that belong to the exchange go into ``{target}.bodies``.

    Raises:
        RecordingError: Nothing of this exchange was recorded, or a file can't be read or written.
    """
    try:
        with open_plain(recording.path) as file:
            header, *documents = [json.loads(line) for line in file]
        knife = _Knife(future_id, {file["id"] for file in _files(header, documents) if _future(file) == future_id})
        if not knife.wanted:
            known = sorted({_future(file) for file in _files(header, documents)} - {""})
            raise RecordingError(f"{recording.path} has no exchange {future_id!r}; it has {', '.join(known) or 'none'}")
        lines = knife.cut(header, documents)
        if recording.header.bodies:
            _copy(recording, knife.bodies, bodies_directory(target))
        with create_private(target) as written:
            written.write(b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines))
    except OSError as error:
        raise RecordingError(f"can't cut {recording.path} to {target}: {error.strerror}") from error
    return len(lines)


class _Knife:
    """Takes away what does not concern one exchange."""

    def __init__(self, future_id: str, wanted: set[str]) -> None:
        self.future_id = future_id
        self.wanted = wanted
        """IDs of its files."""
        self.bodies: set[str] = set()
        """SHA-256 of its bodies."""
        self._token: str | None = None

    def cut(self, header: Mapping[str, Any], documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the lines that are left."""
        lines = [{**header, "start": self._start(header["start"])}]
        for document in documents:
            if "end" in document:
                lines.append({**document, "token": self._token, "lines": len(lines) + 1})
            elif (left := self._left_of(document)) is not None:
                lines.append(left)
        return lines

    def _left_of(self, document: dict[str, Any]) -> dict[str, Any] | None:
        if "poll" in document:
            return self._poll(document)
        for kind in ("sweep", "folders"):
            if kind in document:
                files = [file for file in document[kind] if self._keeps(file)]
                return {**document, kind: files} if files else None
        if "resume" in document:
            return {**document, "resume": self._start(document["resume"])}
        if "restart" in document:
            self._token = document["restart"]
        elif "get" in document:
            shown = document.get("file")
            return document if document["get"] in self.wanted or (shown and self._keeps(shown)) else None
        elif "download" in document or "upload" in document:
            described = document.get("upload", document)
            file_id = document.get("download") or described["id"]
            if file_id not in self.wanted:
                return None
            self.bodies |= {described["sha256"]} - {None}
        return document

    def _poll(self, document: dict[str, Any]) -> dict[str, Any] | None:
        """Cut a poll; the next one goes on where the last that is left ended."""
        pages = [{**page, "changes": [c for c in page["changes"] if self._shows(c)]} for page in document["poll"]]
        if not any(page["changes"] for page in pages):
            return None
        begins = self._token or document["token"]
        self._token = pages[-1].get("nextPageToken") or pages[-1].get("newStartPageToken")
        return {**document, "poll": pages, "token": begins}

    def _shows(self, change: Mapping[str, Any]) -> bool:
        return change.get("fileId") in self.wanted or self._keeps(change.get("file") or {})

    def _keeps(self, file: Mapping[str, Any]) -> bool:
        return file.get("id") in self.wanted or file.get("mimeType") == FOLDER_MIME_TYPE

    def _start(self, start: Mapping[str, Any]) -> dict[str, Any]:
        """Return what an account knew, as far as it concerns the exchange."""
        self._token = start.get("token")
        pending = [file for file in start.get("pending", ()) if self._keeps(file)]
        futures = [future for future in start.get("futures", ()) if future.get("future_id") == self.future_id]
        return {**start, "pending": pending, "futures": futures, "done": []}


def _files(header: Mapping[str, Any], documents: list[dict[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Yield every file that a recording shows, of messages that came and of its own."""
    yield from header["start"].get("pending", ())
    for document in documents:
        yield from document.get("sweep", ())
        yield from document.get("resume", {}).get("pending", ())
        for page in document.get("poll", ()):
            yield from (change["file"] for change in page["changes"] if change.get("file"))
        if "upload" in document:
            yield document["upload"]


def _future(file: Mapping[str, Any]) -> str:
    """Return the exchange that a file belongs to; ``""`` if it is no message."""
    future_id, _, kind = str(file.get("name", "")).partition(".")
    return future_id if kind in ("request", "response") else ""


def _copy(recording: Recording, bodies: set[str], directory: Path) -> None:
    make_private_directory(directory)
    with create_private(directory / ".gitattributes") as file:
        file.write(b"* -text\n")
    for sha256 in bodies:
        with recording.open_body(sha256) as source, create_private(directory / sha256) as copy:
            copy.write(source.read())
