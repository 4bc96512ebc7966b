"""Cut a recording down to some of its exchanges, for a test that plays nothing else."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from syft_flwr.errors import RecordingError
from syft_flwr.recording.raw import message_of, read_lines, shown_files, write_whole
from syft_flwr.recording.reader import Recording
from syft_flwr.resources import FOLDER_MIME_TYPE
from syft_flwr.suggestions import some_of

_SHORTEST = 8
"""Characters of an ID that a terminal shows."""


def exchanges(recording: Recording) -> list[str]:
    """Return the exchanges of a recording, in the order in which it shows them.

    Raises:
        RecordingError: Its file can't be read any more.
    """
    try:
        header, *documents = read_lines(recording)
    except OSError as error:
        raise RecordingError(f"can't read {recording.path}: {error.strerror}") from error
    return [future_id for future_id in dict.fromkeys(map(message_of, _shown(header, documents))) if future_id]


def cut(recording: Recording, wanted: str | Collection[str], target: Path) -> int:
    """Write a recording of some exchanges alone, and of the folders that they lie in; return how many lines it has.

    It has an end, even where the recording that it is cut from has none.

    Args:
        recording: What was recorded, as far as it was read.
        wanted: An exchange, as messages and ``watch`` show it, or several.
        target: The new file. The bodies that belong to the exchanges go into ``{target}.bodies``.

    Raises:
        RecordingError: Nothing of an exchange was recorded, a file can't be read or written, or the target exists.
    """
    future_ids = {wanted} if isinstance(wanted, str) else set(wanted)
    try:
        header, *documents = read_lines(recording)
        shown = _shown(header, documents)
        known = {message_of(file) for file in shown} - {""}
        future_ids = {whole(each, known) for each in future_ids}
        for missing in sorted(future_ids - known):
            raise RecordingError(f"{recording.path} has no exchange {missing!r}; it has {some_of(sorted(known))}")
        files = {file["id"] for file in shown if message_of(file) in future_ids}
        knife = _Knife(future_ids, files, _way_to(files, shown))
        lines = knife.cut(header, documents)
        bodies = {sha256: recording.body(sha256) for sha256 in knife.bodies} if recording.header.bodies else None
        write_whole(target, lines, bodies)
    except OSError as error:
        raise RecordingError(f"can't cut {recording.path} to {target}: {error.strerror}") from error
    return len(lines)


def whole(beginning: str, known: Collection[str]) -> str:
    """Return the exchange whose ID begins so, as ``watch`` shows it, if there is exactly one; else what was given."""
    found = [each for each in known if len(beginning) >= _SHORTEST and each.startswith(beginning)]
    return found[0] if len(found) == 1 else beginning


class _Knife:
    """Takes away what does not concern some exchanges.

    Args:
        future_ids: The exchanges.
        files: IDs of their files.
        folders: IDs of the folders that they lie in.
    """

    def __init__(self, future_ids: set[str], files: set[str], folders: set[str]) -> None:
        self.bodies: set[str] = set()
        """SHA-256 of their bodies."""
        self._future_ids = future_ids
        self._files = files
        self._kept = files | folders
        self._folders = folders
        self._token: str | None = None
        self._has_asked = False
        """Whether a look-up was kept since the last look at the feed: its answer holds up to the next look."""

    def cut(self, header: Mapping[str, Any], documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the lines that are left, and an end."""
        lines = [{**header, "start": self._start(header["start"])}]
        lines += (left for each in documents if "end" not in each and (left := self._left_of(each)) is not None)
        at = documents[-1]["at"] if documents else 0.0
        return [*lines, {"at": at, "end": True, "token": self._token, "lines": len(lines) + 1}]

    def _left_of(self, document: dict[str, Any]) -> dict[str, Any] | None:
        if "poll" in document:
            return self._poll(document)
        for kind in ("sweep", "folders"):
            if kind in document:
                files = [file for file in document[kind] if self._keeps(file)]
                stays = self._is_look(files) if kind == "sweep" else files
                return {**document, kind: files} if stays else None
        if "resume" in document:
            return {**document, "resume": self._start(document["resume"])}
        if "restart" in document:
            self._token = document["restart"]
        elif "get" in document:
            if document["get"] not in self._kept:
                return None
            self._has_asked = True
        elif "download" in document or "upload" in document:
            described = document.get("upload", document)
            if (document.get("download") or described["id"]) not in self._files:
                return None
            self.bodies |= {described["sha256"]} - {None}
        return document

    def _poll(self, document: dict[str, Any]) -> dict[str, Any] | None:
        """Cut a poll; the next one goes on where the last that is left ended."""
        pages = [
            {**page, "changes": [c for c in page["changes"] if c.get("fileId") in self._kept]}
            for page in document["poll"]
        ]
        if not self._is_look([change for page in pages for change in page["changes"]]):
            return None
        begins = self._token or document["token"]
        self._token = pages[-1].get("nextPageToken") or pages[-1].get("newStartPageToken")
        return {**document, "poll": pages, "token": begins}

    def _is_look(self, left: list[Any]) -> bool:
        """Tell whether a look at the feed stays: it shows something, or ends what a look-up before it told."""
        stays = bool(left) or self._has_asked
        self._has_asked = self._has_asked and not stays
        return stays

    def _keeps(self, file: Mapping[str, Any]) -> bool:
        return file.get("id") in self._kept

    def _start(self, start: Mapping[str, Any]) -> dict[str, Any]:
        """Return what an account knew, as far as it concerns the exchanges."""
        self._token = start.get("token")
        marks = start.get("marks", {})
        return {
            **start,
            "folders": [file for file in start.get("folders", ()) if self._keeps(file)],
            "pending": [file for file in start.get("pending", ()) if self._keeps(file)],
            "futures": [future for future in start.get("futures", ()) if future.get("future_id") in self._future_ids],
            "done": [row for row in start.get("done", ()) if self._is_done(*row[:2])],
            "marks": {folder: mark for folder, mark in marks.items() if folder in self._folders},
        }

    def _is_done(self, key: str | None, file_id: str | None) -> bool:
        ends = tuple(f", {json.dumps(future_id)}]" for future_id in self._future_ids)
        return file_id in self._files or (key or "").endswith(ends)


def _shown(header: Mapping[str, Any], documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [file for part in (header["start"], *documents) for file in shown_files(part)]


def _way_to(files: set[str], shown: list[dict[str, Any]]) -> set[str]:
    """Return the IDs of all folders that files have ever lain in, up to the roots."""
    folders = {file["id"] for file in shown if file.get("mimeType") == FOLDER_MIME_TYPE}
    way: set[str] = set()
    below = files
    while below:
        above = {parent for file in shown if file["id"] in below for parent in file.get("parents") or ()}
        below = (above & folders) - way
        way |= below
    return way
