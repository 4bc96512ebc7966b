"""Small bodies in a file's public properties: who lists the file has its content, and need not download it.

The content is written as well, so that others see an ordinary file. The body is deflated and written as base64url into
properties ``b0``, ``b1`` …, of which Drive takes 30 with 124 bytes of UTF-8 each, name and value together
(https://developers.google.com/workspace/drive/api/guides/properties).
"""

from __future__ import annotations

import binascii
import hashlib
import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping

_MOST = 28
"""Properties for a body; two are left for others."""
_PIECE = 120
_LARGEST = 64 * 1024
"""Bytes of a body that is worth an attempt."""


def to_properties(body: bytes) -> dict[str, str]:
    """Return the properties that hold a body; none if it does not fit."""
    if len(body) > _LARGEST:
        return {}
    text = urlsafe_b64encode(zlib.compress(body, 9)).decode()
    if len(text) > _MOST * _PIECE:
        return {}
    return {f"b{start // _PIECE}": text[start : start + _PIECE] for start in range(0, len(text), _PIECE)}


def from_properties(properties: Mapping[str, str], *, size: int, sha256: str | None) -> bytes | None:
    """Return the body that properties hold, if it is what Drive's metadata tell of the content; else ``None``."""
    if "b0" not in properties or sha256 is None or size > _LARGEST:
        return None
    pieces: list[str] = []
    while (piece := properties.get(f"b{len(pieces)}")) is not None:
        pieces.append(piece)
    try:
        body = zlib.decompressobj().decompress(urlsafe_b64decode("".join(pieces)), size + 1)
    except (binascii.Error, ValueError, zlib.error):
        return None
    return body if len(body) == size and hashlib.sha256(body).hexdigest() == sha256 else None


def split(properties: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return a file's properties in two: those that hold its body, and the others."""
    inlined = {name: value for name, value in properties.items() if name[:1] == "b" and name[1:].isdecimal()}
    return inlined, {name: value for name, value in properties.items() if name not in inlined}
