"""File IDs that prove where they come from, so that reserved IDs need no table."""

from __future__ import annotations

import base64
import hashlib
import secrets
import string

_SALT = b"drive-emulator file id"
_ALPHABET = frozenset(string.ascii_letters + string.digits + "-_")


def new_file_id() -> str:
    """Return a fresh ID in the form of Drive's: 33 URL-safe characters that begin with ``1``."""
    return _seal(secrets.token_bytes(16))


def is_reserved(file_id: str) -> bool:
    """Tell whether :func:`new_file_id` made this ID; Drive takes no others for ``files.create``."""
    if len(file_id) != 33 or not file_id.startswith("1") or not _ALPHABET.issuperset(file_id):
        return False
    return _seal(base64.urlsafe_b64decode(file_id[1:])[:16]) == file_id


def new_root_id() -> str:
    """Return an ID for an account's My Drive folder: 19 characters that begin with ``0A``."""
    return "0A" + base64.urlsafe_b64encode(secrets.token_bytes(12)).decode()[:14] + "PVA"


def permission_id(principal: str) -> str:
    """Return the permission ID of an account or domain: 20 digits, the same on every file."""
    digest = hashlib.sha256(principal.lower().encode()).digest()
    return str(10**19 + int.from_bytes(digest[:8], "big") % (9 * 10**19))


def _seal(seed: bytes) -> str:
    mark = hashlib.sha256(_SALT + seed).digest()[:8]
    return "1" + base64.urlsafe_b64encode(seed + mark).decode()
