"""Ask a query of one file, in Python. This is the definition of what a query means."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from drive_emulator.query_ast import (
    And,
    BooleanCondition,
    Expression,
    FileView,
    HasProperty,
    Membership,
    Not,
    Or,
    TextCondition,
    TimeCondition,
    VisibilityCondition,
)

_WORD: Final = re.compile(r"[^\W_]+")
_UPPER: Final = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}
_RELATIONS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def fold_ascii(text: str) -> str:
    """Lower-case the letters A to Z and nothing else: as Drive's ``name =`` and SQLite's NOCASE do."""
    return text.translate(_UPPER)


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


def matches(expression: Expression, view: FileView) -> bool:
    """Whether the file is what the expression asks for. Its depth is bounded by the parser."""
    match expression:
        case And(operands):
            return all(matches(operand, view) for operand in operands)
        case Or(operands):
            return any(matches(operand, view) for operand in operands)
        case Not(operand):
            return not matches(operand, view)
        case TextCondition():
            return _matches_text(expression, view)
        case BooleanCondition(term, value):
            held = {"trashed": view.trashed, "starred": view.starred, "sharedWithMe": view.shared_with_me}[term]
            return held == value
        case TimeCondition():
            return _matches_time(expression, view)
        case VisibilityCondition(relation, value):
            return (view.visibility == value) == (relation == "=")
        case Membership():
            return _is_member(expression, view)
        case HasProperty(term, key, value):
            return (view.properties if term == "properties" else view.app_properties).get(key) == value


def _matches_text(condition: TextCondition, view: FileView) -> bool:
    if condition.term == "fullText":
        return contains_words(view.full_text, condition.value)
    if condition.term == "mimeType":
        if condition.operator == "contains":
            return condition.value in view.mime_type
        return (view.mime_type == condition.value) == (condition.operator == "=")
    if condition.operator == "contains":
        return contains_prefixes(view.name, condition.value)
    return (fold_ascii(view.name) == fold_ascii(condition.value)) == (condition.operator == "=")


def _matches_time(condition: TimeCondition, view: FileView) -> bool:
    held = {
        "modifiedTime": view.modified_time,
        "createdTime": view.created_time,
        "viewedByMeTime": view.viewed_by_me_time,
    }[condition.term]
    return held is not None and _RELATIONS[condition.operator](held, condition.value)


def _is_member(condition: Membership, view: FileView) -> bool:
    if condition.term == "parents":
        return condition.member in view.parents
    people = {"owners": view.owners, "writers": view.writers, "readers": view.readers}[condition.term]
    return condition.member.lower() in (person.lower() for person in people)
