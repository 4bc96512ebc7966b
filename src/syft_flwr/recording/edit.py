"""Put another body in the place of a recorded one, so that a test plays what might have come."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from syft_flwr.errors import RecordingError
from syft_flwr.inline import split, to_properties
from syft_flwr.recording.cut import whole
from syft_flwr.recording.raw import message_of, read_lines, shown_files, write_whole
from syft_flwr.recording.reader import Recording
from syft_flwr.suggestions import some_of


def replace_bodies(recording: Recording, bodies: Mapping[str, bytes], target: Path) -> list[str]:
    """Write a recording with other bodies, whose lengths and checksums are right wherever they stand.

    Args:
        recording: What was recorded, with bodies.
        bodies: The new ones, under what names the old: its SHA-256, for all files that have it; an exchange's ID, for
            the message that came; or a message's file name (``ID.request``, ``ID.response``).
        target: The new recording.

    Returns:
        The names of the messages that have another body now.

    Raises:
        RecordingError: A body is named that is not there or not the only one, the recording has no bodies, a file can't
            be read or written, or the target exists.
    """
    if not recording.header.bodies:
        told = "redacted" if recording.header.redacted else "recorded without bodies"
        raise RecordingError(f"{recording.path} was {told}: there is no body to replace")
    try:
        lines = read_lines(recording)
        editor = _Editor(lines)
        for name, body in bodies.items():
            editor.replace(name, body)
        editor.mend()
        left = {sha256: editor.bodies.get(sha256, recording.body(sha256)) for sha256 in _contents(lines)}
        write_whole(target, lines, left)
    except OSError as error:
        raise RecordingError(f"can't write {recording.path} anew to {target}: {error.strerror}") from error
    return sorted(editor.names)


class _Editor:
    """Mends the lines of a recording in place."""

    def __init__(self, lines: list[dict[str, Any]]) -> None:
        self.bodies: dict[str, bytes] = {}
        """The new bodies by their SHA-256."""
        self.names: set[str] = set()
        """Of messages that have one of them."""
        self._lines = lines
        self._names: dict[str, str] = {}
        for file in self._shown():
            if message_of(file):
                self._names[file["id"]] = file["name"]
        self._came = {line["download"] for line in lines if "download" in line}
        self._new: dict[tuple[str, str | None], bytes] = {}
        """File and SHA-256 of what is replaced, and by what."""

    def replace(self, name: str, body: bytes) -> None:
        """Note that a body is to be replaced."""
        for sha256, files in self._named(name).items():
            for file_id in files:
                if self._new.setdefault((file_id, sha256), body) != body:
                    raise RecordingError(f"{name} names a body that is replaced already, by another one")
                self.names.add(self._names.get(file_id, file_id))
        self.bodies[hashlib.sha256(body).hexdigest()] = body

    def mend(self) -> None:
        """Write lengths, checksums and inlined bodies anew."""
        for file in self._shown():
            body = self._new.get((file["id"], file.get("sha256Checksum")))
            if body is not None:
                file |= {"sha256Checksum": hashlib.sha256(body).hexdigest(), "size": str(len(body))}
                inlined, others = split(file.get("properties", {}))
                if inlined:  # what does not fit any more was downloaded as well
                    [fitting] = to_properties(body) or [{}]
                    file["properties"] = others | fitting
        for file_id, described in _described(self._lines):
            body = self._new.get((file_id, described["sha256"]))
            if body is not None:
                described |= {"sha256": hashlib.sha256(body).hexdigest(), "size": len(body)}

    def _named(self, name: str) -> dict[str, set[str]]:
        """Return the contents that a name stands for, with the files that have them.

        Raises:
            RecordingError: There is none, or more than one where one is meant.
        """
        contents = _contents(self._lines)
        if name in contents:
            return {name: contents[name]}
        if "." not in name:
            name = whole(name, {message_of({"name": each}) for each in self._names.values()})
        named = {file for file, known in self._names.items() if known == name}
        named |= {file for file in self._came if message_of({"name": self._names.get(file)}) == name}
        found = {sha256: files & named for sha256, files in contents.items() if files & named}
        if not found:
            known = sorted({self._names[file] for files in contents.values() for file in files & self._names.keys()})
            raise RecordingError(f"no body of {name} was recorded; there are those of {some_of(known)}")
        if len(found) > 1:
            raise RecordingError(f"{name} has several bodies; choose one by its SHA-256: {', '.join(sorted(found))}")
        return found

    def _shown(self) -> Iterator[dict[str, Any]]:
        header, *documents = self._lines
        for part in (header["start"], *documents):
            yield from shown_files(part)


def _described(lines: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the file of each transfer, and what tells of its content."""
    for line in lines:
        if "download" in line:
            yield line["download"], line
        elif "upload" in line:
            yield line["upload"]["id"], line["upload"]


def _contents(lines: list[dict[str, Any]]) -> dict[str, set[str]]:
    """Return the files that have each body, by its SHA-256."""
    found: dict[str, set[str]] = {}
    for file_id, described in _described(lines):
        if described["sha256"] is not None:
            found.setdefault(described["sha256"], set()).add(file_id)
    return found
