"""Words of names and texts, as Drive finds them."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_WORD: Final = re.compile(r"[^\W_]+")


def words(text: str) -> list[str]:
    """Split into the lower-cased runs of letters and digits that Drive indexes a name by."""
    return _WORD.findall(text.casefold())


def contains_prefixes(name: str, wanted: str) -> bool:
    """Whether every word of ``wanted`` begins some word of the name (``HelloWorld`` has ``Hello``, not ``World``)."""
    folded = name.casefold()
    return all(prefix in folded and beginning.search(folded) for prefix, beginning in _beginnings(wanted))


@lru_cache(maxsize=256)
def _beginnings(wanted: str) -> list[tuple[str, re.Pattern[str]]]:
    """Return each word with the pattern of its standing where a word begins. SQLite asks this of every name."""
    return [(word, re.compile(rf"(?<![^\W_]){re.escape(word)}")) for word in words(wanted)]


def contains_words(text: str, wanted: str) -> bool:
    """Whether the text has every word of ``wanted``; within double quotes, as one run of words."""
    present, needed = words(text), words(wanted)
    stripped = wanted.strip()
    if len(stripped) >= 2 and stripped.startswith('"') and stripped.endswith('"'):
        width = len(needed)
        return any(present[start : start + width] == needed for start in range(len(present) - width + 1))
    return set(needed) <= set(present)
