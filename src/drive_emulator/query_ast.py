"""What a search query says: frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

TextTerm: TypeAlias = Literal["name", "mimeType", "fullText", "shortcutDetails.targetId"]
BooleanTerm: TypeAlias = Literal["trashed", "starred", "sharedWithMe"]
TimeTerm: TypeAlias = Literal["modifiedTime", "createdTime", "viewedByMeTime"]
CollectionTerm: TypeAlias = Literal["parents", "owners", "writers", "readers"]
PropertyTerm: TypeAlias = Literal["properties", "appProperties"]
TextOperator: TypeAlias = Literal["contains", "=", "!="]
Relation: TypeAlias = Literal["=", "!=", "<", "<=", ">", ">="]


@dataclass(frozen=True, slots=True)
class And:
    """All of them; none at all is true (the empty query)."""

    operands: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Or:
    operands: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Not:
    operand: Expression


@dataclass(frozen=True, slots=True)
class TextCondition:
    """``name contains 'x'``, ``mimeType = 'x'``."""

    term: TextTerm
    operator: TextOperator
    value: str


@dataclass(frozen=True, slots=True)
class BooleanCondition:
    """``trashed = true``; ``!=`` is folded into the value."""

    term: BooleanTerm
    value: bool


@dataclass(frozen=True, slots=True)
class TimeCondition:
    """``modifiedTime > '2026-01-10T00:00:00'``; the value is aware, in UTC."""

    term: TimeTerm
    operator: Relation
    value: datetime


@dataclass(frozen=True, slots=True)
class VisibilityCondition:
    """``visibility = 'limited'``."""

    operator: Literal["=", "!="]
    value: str


@dataclass(frozen=True, slots=True)
class Membership:
    """``'x' in parents``; the member of the other three is an e-mail address, or ``me``."""

    term: CollectionTerm
    member: str


@dataclass(frozen=True, slots=True)
class HasProperty:
    """``properties has { key='k' and value='v' }``."""

    term: PropertyTerm
    key: str
    value: str


Condition: TypeAlias = TextCondition | BooleanCondition | TimeCondition | VisibilityCondition | Membership | HasProperty
Expression: TypeAlias = And | Or | Not | Condition
