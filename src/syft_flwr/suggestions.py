"""What somebody may have meant who misspelt a name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_NAMED = 3


def some_of(known: Iterable[str]) -> str:
    """Name the first of many, and how many more there are: ``"a, b, c and 7 more"``."""
    first, more = (names := list(known))[:_NAMED], names[_NAMED:]
    return (", ".join(first) or "none") + (f" and {len(more)} more" if more else "")


def near_match(text: str, known: Iterable[str], *, likeness: float = 0.6) -> str:
    """Return ``"; did you mean …?"`` with the known names that are like a text, or an empty text."""
    found = difflib.get_close_matches(text.lower(), [name.lower() for name in known], n=2, cutoff=likeness)
    return f"; did you mean {' or '.join(found)}?" if found else ""
