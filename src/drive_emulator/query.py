"""Search queries, the ``q`` of ``files.list``: parsed once, then bound to who asks.

The grammar is in ``query.lark`` and follows
https://developers.google.com/workspace/drive/api/guides/ref-search-terms. What the documentation leaves open:

* ``name =`` ignores the case of ASCII letters, as Drive was seen to do (rclone's Drive backend compares again
  for that reason); ``contains`` ignores case altogether.
* ``name contains`` wants each of its words to begin some word of the name; words are runs of letters and digits.
* ``fullText`` looks for whole words in the name, the description and the content of what is text.
* A bare boolean term (``sharedWithMe``) means that it is true. Keywords may be in any case, terms may not.
* A time that a file lacks (``viewedByMeTime``) satisfies no comparison, ``!=`` included.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Any, Final, TypeAlias, cast

from lark import Lark, Token, Transformer
from lark.exceptions import UnexpectedInput, UnexpectedToken, VisitError

from drive_emulator.errors import ApiError

__all__ = ["And", "Condition", "Expression", "Not", "Or", "QueryError", "bind", "parse_query"]

MAX_DEPTH: Final = 24
"""Levels of ``not`` and of alternating ``and`` and ``or``: SQLite's parser stack bounds it."""
MAX_LENGTH: Final = 65_536
"""Characters of a query."""
VISIBILITIES: Final = frozenset({"anyoneCanFind", "anyoneWithLink", "domainCanFind", "domainWithLink", "limited"})

_TIME_TERMS: Final = frozenset({"modifiedTime", "createdTime", "viewedByMeTime"})

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d(?:[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)?)?", re.ASCII)


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
class Condition:
    """What is asked of one term: ``"name"`` ``"contains"`` a text; a truth is compared by ``"="`` alone.

    Times are aware, in UTC. A property (``"has"``) is key and value; what a collection has ``"in"`` it is the ID of a
    folder, an e-mail address, or ``me``.
    """

    term: str
    operator: str
    value: str | bool | datetime | tuple[str, str]


Expression: TypeAlias = And | Or | Not | Condition


class QueryError(ApiError):
    """A malformed query: 400 at the parameter ``q``. Drive says no more; its text tells people what is wrong, and at
    which character from 0 on, unless it is the whole query.
    """

    def __init__(self, detail: str, *, position: int | None = None) -> None:
        super().__init__(400, "invalid", "Invalid Value", location="q")
        self.detail = detail
        self.position = position

    def __str__(self) -> str:
        where = "" if self.position is None else f" at character {self.position}"
        return f"{self.message}: {self.detail}{where}"


@lru_cache(maxsize=512)
def parse_query(text: str) -> Expression:
    """Parse a query; results are cached. Blank text asks for everything.

    Raises:
        QueryError: It is not in the grammar, nests deeper than MAX_DEPTH or is longer than MAX_LENGTH.
    """
    if len(text) > MAX_LENGTH:
        raise QueryError(f"more than {MAX_LENGTH} characters")
    if _SURROGATE.search(text):
        raise QueryError("half a character")
    try:
        parsed = _parser().parse(text)
    except UnexpectedInput as error:
        if isinstance(error, UnexpectedToken) and error.token.type == "$END":
            raise QueryError("it ends too early", position=len(text)) from error
        raise QueryError("not expected", position=error.pos_in_stream) from error
    except VisitError as error:
        raise error.orig_exc from error
    return cast(_Node, parsed).expression


def bind(expression: Expression, *, folders: Mapping[str, str], me: str) -> Expression:
    """Put what the caller means by ``me`` and by the aliases of its folders in their place."""
    match expression:
        case And(operands):
            return And(tuple(bind(operand, folders=folders, me=me) for operand in operands))
        case Or(operands):
            return Or(tuple(bind(operand, folders=folders, me=me) for operand in operands))
        case Not(operand):
            return Not(bind(operand, folders=folders, me=me))
        case Condition("parents", operator, str(folder)):
            return Condition("parents", operator, folders.get(folder, folder))
        case Condition(term, "in", "me"):
            return Condition(term, "in", me)
        case _:
            return expression


@dataclass(frozen=True, slots=True)
class _Node:
    """An expression with its depth, so that the bound is kept while parsing, without recursion."""

    expression: Expression
    depth: int


class _ToExpression(Transformer[Token, Any]):
    """Build the expression bottom-up, while the parser runs."""

    def start(self, children: list[Any]) -> _Node:
        return children[0] or _Node(And(()), 1)

    def disjunction(self, children: list[_Node]) -> _Node:
        return _joined(Or, children)

    def conjunction(self, children: list[_Node]) -> _Node:
        return _joined(And, children)

    def negation(self, children: list[_Node]) -> _Node:
        return _bounded(Not(children[0].expression), children)

    def comparison(self, children: list[Token]) -> _Node:
        term, relation, value = children
        if term in _TIME_TERMS:
            return _Node(Condition(str(term), str(relation), _moment(value)), 1)
        wanted = _string(value)
        if term == "visibility" and wanted not in VISIBILITIES:
            raise QueryError("not a visibility", position=value.start_pos)
        return _Node(Condition(str(term), relation.lower(), wanted), 1)

    def boolean(self, children: list[Token | None]) -> _Node:
        term, relation, value = children
        truth = value is None or value.lower() == "true"
        return _Node(Condition(str(term), "=", truth != (relation == "!=")), 1)

    def membership(self, children: list[Token]) -> _Node:
        term, member = sorted(children, key=lambda token: token.type)  # either may come first
        return _Node(Condition(str(term), "in", _string(member)), 1)

    def property(self, children: list[Token]) -> _Node:
        term, key, value = children
        return _Node(Condition(str(term), "has", (_string(key), _string(value))), 1)


def _joined(kind: type[And | Or], children: list[_Node]) -> _Node:
    if len(children) == 1:
        return children[0]
    operands: list[Expression] = []
    for child in children:
        # Brackets that change nothing vanish, so that they can't build up depth.
        operands.extend(child.expression.operands if isinstance(child.expression, kind) else [child.expression])
    return _bounded(kind(tuple(operands)), children)


def _bounded(expression: Expression, children: list[_Node]) -> _Node:
    depth = 1 + max(child.depth for child in children)
    if depth > MAX_DEPTH:
        raise QueryError(f"more than {MAX_DEPTH} levels")
    return _Node(expression, depth)


def _string(token: Token) -> str:
    def unescape(match: re.Match[str]) -> str:
        if (character := match[1]) not in "\\'\"":
            position = None if token.start_pos is None else token.start_pos + 1 + match.start()
            raise QueryError("a backslash that is not escaped", position=position)
        return character

    return _ESCAPE.sub(unescape, token[1:-1])


def _moment(token: Token) -> datetime:
    text = _string(token)
    if not _TIME.fullmatch(text):
        raise QueryError("not an RFC 3339 time", position=token.start_pos)
    try:
        moment = datetime.fromisoformat(text.upper())
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise QueryError("no such time", position=token.start_pos) from error


@cache
def _parser() -> Lark:
    return Lark.open("query.lark", rel_to=__file__, parser="lalr", transformer=_ToExpression(), maybe_placeholders=True)
