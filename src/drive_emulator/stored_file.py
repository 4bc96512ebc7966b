"""What a test sees of a file, whoever owns it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file or folder as it lies in the emulator, whoever may see it.

    Attributes:
        path: Names from the owner's My Drive down to its own, ``"My Drive/SyftBox/…"`` joined by slashes.
        owner: E-mail address.
        roles: Role of each address with access, inherited ones included; links appear under their permission ID.
        size: In bytes; ``None`` for folders.
        content: ``None`` for folders, and where content was not asked for.
    """

    id: str
    name: str
    path: str
    mime_type: str
    parent: str | None
    owner: str
    trashed: bool
    created_time: str
    size: int | None
    roles: Mapping[str, str]
    properties: Mapping[str, str]
    content: bytes | None


def to_stored_file(told: Mapping[str, Any]) -> StoredFile:
    """Read what the control plane says of a file: its fields, with the content in base64."""
    content = told["content"]
    return StoredFile(**{**told, "content": None if content is None else base64.b64decode(content)})
