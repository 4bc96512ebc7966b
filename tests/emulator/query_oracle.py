"""What a query means, in Python: asked of one file, and compared with what SQLite finds."""

from __future__ import annotations

import operator
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from drive_emulator.query import And, Condition, Expression, Not, Or
from drive_emulator.words import contains_prefixes, contains_words

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


def matches(expression: Expression, view: Any) -> bool:
    """Whether the file is what the expression asks for. Its depth is bounded by the parser."""
    match expression:
        case And(operands):
            return all(matches(operand, view) for operand in operands)
        case Or(operands):
            return any(matches(operand, view) for operand in operands)
        case Not(operand):
            return not matches(operand, view)
        case Condition("sharedWithMe", _, value):
            return view.shared_with_me == value
        case Condition("trashed" | "starred" as term, _, value):
            return getattr(view, term) == value
        case Condition("visibility", relation, value):
            return (view.visibility == value) == (relation == "=")
        case Condition(term, "has", (key, value)):
            return (view.properties if term == "properties" else view.app_properties).get(key) == value
        case Condition("parents", "in", folder):
            return folder in view.parents
        case Condition(term, "in", str(member)):
            people = {"owners": view.owners, "writers": view.writers, "readers": view.readers}[term]
            return member.lower() in (person.lower() for person in people)
        case Condition(term, relation, datetime() as moment):
            return _matches_time(term, relation, moment, view)
        case Condition(term, relation, str(value)):
            return _matches_text(term, relation, value, view)
        case _:
            raise AssertionError(expression)


def _matches_text(term: str, relation: str, value: str, view: Any) -> bool:
    if term == "fullText":
        return contains_words(view.full_text, value)
    if term == "mimeType":
        return value in view.mime_type if relation == "contains" else (view.mime_type == value) == (relation == "=")
    if relation == "contains":
        return contains_prefixes(view.name, value)
    return (fold_ascii(view.name) == fold_ascii(value)) == (relation == "=")


def _matches_time(term: str, relation: str, moment: datetime, view: Any) -> bool:
    times = {"modifiedTime": view.modified_time, "createdTime": view.created_time}
    held = {**times, "viewedByMeTime": view.viewed_by_me_time}[term]
    return held is not None and _RELATIONS[relation](held, moment)
