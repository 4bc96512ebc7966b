"""Small bodies in files' public properties: who lists a file has its content, and need not download it.

The content is written as well, so that others see an ordinary file. The body is deflated and written as base85 into
properties ``b0``, ``b1`` …, of which Drive takes 30 with 124 bytes of UTF-8 each, name and value together
(https://developers.google.com/workspace/drive/api/guides/properties). What does not fit goes on in the properties of
further, empty files, whose IDs stand in :data:`MORE`: to write one and to look at it costs a quarter of a download.
"""

from __future__ import annotations

import hashlib
import zlib
from base64 import b85decode, b85encode
from collections.abc import Mapping, Sequence

from syft_flwr.wire import ANNOUNCEMENT

MORE = "more"
"""Property that names the files in which a body goes on, by ID, in order, with commas between them."""
MOST_FILES = 3
"""Files over which a body may be spread: with more, to write and to look at them costs what a download does."""
LARGEST = 64 * 1024
"""Bytes of a body that is worth an attempt."""
_FIRST = 27
"""Properties for a body in its own file; three are left for others."""
_FURTHER = 30
_PIECE = 121


def to_properties(body: bytes, *, files: int = 1) -> list[dict[str, str]]:
    """Return the properties that hold a body, those of its own file and of up to ``files`` in all; none if it is large.

    Files after the first are to be named in the first one's :data:`MORE`.
    """
    if len(body) > LARGEST:
        return []
    text = b85encode(zlib.compress(body, 9)).decode()
    rooms = [_FIRST * _PIECE] + [_FURTHER * _PIECE] * (files - 1)
    if len(text) > sum(rooms):
        return []
    spread: list[dict[str, str]] = []
    for room in rooms:
        part, text = text[:room], text[room:]
        spread.append({f"b{start // _PIECE}": part[start : start + _PIECE] for start in range(0, len(part), _PIECE)})
        if not text:
            break
    return spread


def from_properties(spread: Sequence[Mapping[str, str]], *, size: int, sha256: str | None) -> bytes | None:
    """Return the body that files' properties hold, if it is what Drive tells of the content; else ``None``.

    Args:
        spread: The properties of its own file, and of those that it goes on in.
        size: Bytes of the content.
        sha256: Its SHA-256 in hexadecimal digits.
    """
    if sha256 is None or size > LARGEST:
        return None
    pieces: list[str] = []
    for properties in spread:
        if "b0" not in properties:
            return None
        pieces += (properties.get(f"b{number}", "") for number in range(_FURTHER))
    try:
        body = zlib.decompressobj().decompress(b85decode("".join(pieces)), size + 1)
    except (ValueError, zlib.error):
        return None
    return body if len(body) == size and hashlib.sha256(body).hexdigest() == sha256 else None


def without_bodies(name: str, properties: Mapping[str, str] | None) -> dict[str, str] | None:
    """Return what properties tell beside bodies and the next file; ``None`` for a file that a body goes on in."""
    if name.endswith(f".{MORE}"):
        return None
    return {name: value for name, value in split(properties or {})[1].items() if name != ANNOUNCEMENT}


def split(properties: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return a file's properties in two: those that hold its body, and the others."""
    if not properties:
        return {}, {}
    inlined = {
        name: value for name, value in properties.items() if name == MORE or (name[:1] == "b" and name[1:].isdecimal())
    }
    return inlined, {name: value for name, value in properties.items() if name not in inlined}
