"""Write a recording that is made as a whole: all of it comes to be, or nothing."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping
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


def write_whole(target: Path, lines: Iterable[Mapping[str, Any]], bodies: Mapping[str, Path | bytes] | None) -> None:
    """Write a new recording.

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
