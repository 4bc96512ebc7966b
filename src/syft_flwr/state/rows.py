"""Keys and values as every store keeps them: text keys in code-point order, JSON text values."""

from __future__ import annotations

import json

from syft_flwr.errors import StateError
from syft_flwr.ports import JSON
from syft_flwr.resources import DriveFile


def check_key(key: object) -> str:
    """Return the key if a store can keep it.

    Raises:
        TypeError: It is no ``str``.
        UnicodeEncodeError: It has a lone surrogate, so UTF-8 can't hold it.
    """
    if not isinstance(key, str):
        raise TypeError(f"a key must be a str, not {type(key).__name__}")
    if not key.isascii():
        key.encode()
    return key


def encode(value: JSON) -> str:
    """Return the value as JSON text. ASCII only, so that any ``str`` comes back as it was.

    A :class:`~syft_flwr.resources.DriveFile` is written as its ``drive#file`` resource.

    Raises:
        TypeError: JSON has no such type.
        ValueError: It is a NaN or an infinity, or contains itself.
    """
    return _to_json(value)


def decode(text: object, key: str) -> JSON:
    """Read a value back.

    Raises:
        StateError: It is not the JSON text that :func:`encode` writes.
    """
    if not isinstance(text, str):
        raise StateError(f"the value of {key!r} is {type(text).__name__}, not JSON text")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise StateError(f"the value of {key!r} is not JSON: {error}") from error


def end_of_prefix(prefix: str) -> str | None:
    """Return the smallest text above every key that starts with ``prefix``, or ``None`` when there is none.

    UTF-8 bytes sort as code points do, so this is the prefix with its last code point raised by one.
    """
    stem = prefix.rstrip("\U0010ffff")  # can't be raised: carry to the one before
    if not stem:
        return None
    last = ord(stem[-1]) + 1
    if last == 0xD800:  # the first of the surrogates, which no key has
        last = 0xE000
    return stem[:-1] + chr(last)


def numbered(kind: str, number: int) -> str:
    """Return the key of a row of this kind and number; the keys of a kind sort by number."""
    return f"{kind}/{number:016d}"


def number_of(key: str) -> int:
    """Return the number in a key that :func:`numbered` made."""
    return int(key.rpartition("/")[2])


def _resource(value: object) -> JSON:
    if isinstance(value, DriveFile):
        return value.to_api()
    raise TypeError(f"a row can't hold a {type(value).__name__}")


_to_json = json.JSONEncoder(allow_nan=False, separators=(",", ":"), default=_resource).encode
