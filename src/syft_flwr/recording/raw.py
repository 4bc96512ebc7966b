"""A recording as it is written, for what makes one out of another: read its lines, walk over them, write them anew."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from syft_flwr.errors import RecordingError
from syft_flwr.private import create_private, make_private_directory
from syft_flwr.recording.reader import Recording, bodies_directory, open_plain


def read_lines(recording: Recording) -> list[dict[str, Any]]:
    """Return the JSON objects of a recording as they are written, without a last line that is not whole.

    Raises:
        OSError: The file went away.
    """
    with open_plain(recording.path) as file:
        return [json.loads(line) for line, _ in zip(file, (recording.header, *recording.entries), strict=False)]


def shown_files(part: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every file and folder that a start or an entry shows; for what the account wrote itself, a file like it."""
    for name in ("folders", "pending", "sweep"):
        yield from part.get(name, ())
    for page in part.get("poll", ()):
        yield from (change["file"] for change in page["changes"] if change.get("file"))
    for future in part.get("futures", ()):
        yield {"id": future["request_id"], "name": f"{future['future_id']}.request"}
    if part.get("file"):
        yield part["file"]
    if "upload" in part:
        yield {**part["upload"], "parents": [part["upload"]["parent"]]}
    if "resume" in part:
        yield from shown_files(part["resume"])


def message_of(file: Mapping[str, Any]) -> str:
    """Return the exchange that a file belongs to by its name; ``""`` if it is no message."""
    future_id, _, kind = str(file.get("name", "")).partition(".")
    return future_id if kind in ("request", "response") else ""


def write_whole(target: Path, lines: Iterable[Mapping[str, Any]], bodies: Mapping[str, Path | bytes] | None) -> None:
    """Write a new recording: all of it, or nothing.

    Args:
        target: The file; its bodies go into ``{target}.bodies``. Neither may exist.
        lines: The header and the entries.
        bodies: Contents by their SHA-256; ``None`` for a recording without.

    Raises:
        RecordingError: One of both exists.
        OSError: They can't be written, or a body can't be read; what was begun is removed.
    """
    directory = bodies_directory(target)
    for place in (target, directory):
        if place.is_symlink() or place.exists():
            raise RecordingError(f"{place} exists; choose another name, or remove it")
    with ExitStack() as begun:
        if bodies is not None:
            begun.callback(shutil.rmtree, directory, ignore_errors=True)
            make_private_directory(directory)
            keep_line_ends(directory)
            for sha256, body in bodies.items():
                with create_private(directory / sha256) as copy:
                    if isinstance(body, bytes):
                        copy.write(body)
                    else:
                        with open_plain(body, os.O_NOFOLLOW) as source:
                            shutil.copyfileobj(source, copy)
        begun.callback(target.unlink, missing_ok=True)
        with create_private(target) as file:
            file.writelines(line_of(line) for line in lines)
        begun.pop_all()


def line_of(document: Mapping[str, Any]) -> bytes:
    """Return an entry as it is written."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace") + b"\n"


def keep_line_ends(directory: Path) -> None:
    """Have Git leave bodies alone: where it takes one for text, it may convert line ends, and the checksum is wrong."""
    with create_private(directory / ".gitattributes") as file:
        file.write(b"* -text\n")
