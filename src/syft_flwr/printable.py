"""Text that a peer chose, made fit to print: in a log, a terminal, a report or a JSON line it is data, no command."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from typing import Any

LONGEST = 200
"""Characters of a peer's text that are shown, unless a caller says otherwise."""
_LONGEST_TRACEBACK = 20_000

_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0").union(
    map(chr, range(0x180B, 0x1810)), map(chr, range(0xFE00, 0xFE10)), map(chr, range(0xE0100, 0xE01F0))
)
"""What Python calls printable although it shows as nothing: two texts that differ in it alone would look the same."""


def printable(text: object, longest: int = LONGEST) -> str:
    r"""Return a text on one line, without anything that a terminal, a log or a reader could take for more than text.

    Control characters (C0, C1, newlines among them), marks that change the direction of writing, characters that
    cannot be seen, lone surrogates and spaces other than the ordinary one are written as escapes (``\n``, ``\x1b``,
    ``\u202e``). What is too long is cut, and ends in ``…``.

    Args:
        text: What a peer sent, or what quotes it; :func:`str` is taken of anything else.
        longest: Most characters to return.
    """
    text = text if isinstance(text, str) else text_of(text)
    if len(text) <= longest and text.isprintable() and _INVISIBLE.isdisjoint(text):
        return text
    shown = "".join(
        char if char.isprintable() and char not in _INVISIBLE else ascii(char)[1:-1] for char in text[: longest + 1]
    )
    return shown if len(shown) <= longest and len(text) <= longest else shown[: longest - 1] + "…"


def printable_data(data: Any, longest: int = 10_000) -> Any:
    """Return what JSON can hold with every text in it made :func:`printable`, names included."""
    if isinstance(data, str):
        return printable(data, longest)
    if isinstance(data, Mapping):
        return {printable_data(name, longest): printable_data(value, longest) for name, value in data.items()}
    if isinstance(data, list | tuple):
        return [printable_data(value, longest) for value in data]
    return data


def printable_error(error: BaseException, longest: int = LONGEST) -> str:
    """Return an exception's type and, behind it, as much of its text as is wanted, on one line."""
    name, text = type(error).__name__, text_of(error)
    return f"{name}: {printable(text, longest)}" if text else name


def printable_traceback(error: BaseException) -> str:
    """Return an exception's traceback, indented: whatever its texts hold, none begins a line of its own."""
    try:
        lines = traceback.format_exception(error)
    except Exception:  # a user's __str__ or __repr__
        return type(error).__name__
    shown = "\n".join("  " + printable(line, 1_000) for line in "".join(lines).rstrip().split("\n"))
    return shown if len(shown) <= _LONGEST_TRACEBACK else "… " + shown[-_LONGEST_TRACEBACK:]


def text_of(value: object) -> str:
    """Return :func:`str` of a value; its type's name, or nothing of an exception, where that raises."""
    try:
        return str(value)
    except Exception:  # a user's __str__
        return type(value).__name__ if not isinstance(value, BaseException) else ""
