"""What a query means, in Python: asked of one file, and compared with what SQLite finds."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Final

from drive_emulator.query_ast import (
    And,
    BooleanCondition,
    Expression,
    HasProperty,
    Membership,
    Not,
    Or,
    TextCondition,
    TimeCondition,
    VisibilityCondition,
)
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


def _matches_text(condition: TextCondition, view: Any) -> bool:
    if condition.term == "fullText":
        return contains_words(view.full_text, condition.value)
    if condition.term == "mimeType":
        if condition.operator == "contains":
            return condition.value in view.mime_type
        return (view.mime_type == condition.value) == (condition.operator == "=")
    if condition.operator == "contains":
        return contains_prefixes(view.name, condition.value)
    return (fold_ascii(view.name) == fold_ascii(condition.value)) == (condition.operator == "=")


def _matches_time(condition: TimeCondition, view: Any) -> bool:
    held = {
        "modifiedTime": view.modified_time,
        "createdTime": view.created_time,
        "viewedByMeTime": view.viewed_by_me_time,
    }[condition.term]
    return held is not None and _RELATIONS[condition.operator](held, condition.value)


def _is_member(condition: Membership, view: Any) -> bool:
    if condition.term == "parents":
        return condition.member in view.parents
    people = {"owners": view.owners, "writers": view.writers, "readers": view.readers}[condition.term]
    return condition.member.lower() in (person.lower() for person in people)
