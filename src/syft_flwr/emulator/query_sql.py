"""Compile a query to a condition that SQLite can answer from its indexes.

The condition stands after ``WHERE`` in a query on::

    files f (id, name, mime_type, trashed, created_ms, modified_ms, owner, ...)
    parents (file_id, parent_id)

with ``trashed`` 0 or 1, times in whole milliseconds since 1970 UTC, ``owner`` an address in lower case, none of
them NULL. Indexes that help: ``files (name COLLATE NOCASE)``, ``files (mime_type)``, ``files (created_ms)``,
``files (modified_ms)`` and ``parents (parent_id, file_id)``. The connection needs `register_functions`.

What these columns can't tell (writers, stars, properties ...) makes the condition wider than the query: every
file that the query matches satisfies it, and `Query.matches` decides on those that do.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

from syft_flwr.emulator.query import Query
from syft_flwr.emulator.query_ast import (
    And,
    BooleanCondition,
    Expression,
    Membership,
    Not,
    Or,
    TextCondition,
    TimeCondition,
)
from syft_flwr.emulator.query_match import contains_prefixes, contains_words

SqlValue: TypeAlias = str | int | float

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TIME_COLUMNS: Final = {"createdTime": "f.created_ms", "modifiedTime": "f.modified_ms"}
_CHUNK: Final = 64
"""Terms joined without brackets. SQLite bounds the depth of an expression, and a chain of n terms is n deep."""


@dataclass(frozen=True, slots=True)
class SqlCondition:
    """A condition with ``?`` placeholders.

    Attributes:
        sql: The condition, bracketed where it must be: it may stand beside others in an ``AND``.
        params: Values of its placeholders, in order.
        exact: Whether it is the query itself. If not, ask `Query.matches` of every row.
    """

    sql: str
    params: tuple[SqlValue, ...]
    exact: bool = True


def register_functions(connection: sqlite3.Connection) -> None:
    """Teach the connection to match words of names as Drive does."""
    connection.create_function("contains_prefixes", 2, contains_prefixes, deterministic=True)
    connection.create_function("contains_words", 2, contains_words, deterministic=True)


def compile_sql(query: Query) -> SqlCondition:
    """Compile a bound query to a condition that no matching file fails."""
    return _compile(query.expression, widen=True)


def _compile(expression: Expression, *, widen: bool) -> SqlCondition:  # noqa: PLR0911 - a return for each kind
    """Compile; what SQL can't tell counts as true, or as false below an odd number of ``not``."""
    match expression:
        case And(operands):
            return _join(" AND ", "1", [_compile(operand, widen=widen) for operand in operands])
        case Or(operands):
            return _join(" OR ", "0", _compile_any(operands, widen=widen))
        case Not(operand):
            inner = _compile(operand, widen=not widen)
            return SqlCondition(f"NOT ({inner.sql})", inner.params, inner.exact)
        case Membership("parents", folder):
            return _in_folders([folder])
        case Membership("owners", address):
            return SqlCondition("f.owner = ?", (address.casefold(),))
        case BooleanCondition("trashed", value):
            return SqlCondition("f.trashed = ?", (int(value),))
        case TextCondition():
            return _compile_text(expression)
        case TimeCondition("createdTime" | "modifiedTime" as term, relation, moment):
            return SqlCondition(f"{_TIME_COLUMNS[term]} {relation} ?", (_milliseconds(moment),))
        case _:
            return SqlCondition("1" if widen else "0", (), exact=False)


def _compile_any(operands: tuple[Expression, ...], *, widen: bool) -> list[SqlCondition]:
    """Compile alternatives, all folders among them to one look-up: a query may name a hundred."""
    folders = [operand.member for operand in operands if isinstance(operand, Membership) and operand.term == "parents"]
    conditions = [
        _compile(operand, widen=widen)
        for operand in operands
        if not (isinstance(operand, Membership) and operand.term == "parents")
    ]
    return [_in_folders(folders), *conditions] if folders else conditions


def _in_folders(folders: list[str]) -> SqlCondition:
    marks = ",".join("?" * len(folders))
    sql = f"f.id IN (SELECT file_id FROM parents WHERE parent_id IN ({marks}))"  # noqa: S608 - only question marks
    return SqlCondition(sql, tuple(folders))


def _compile_text(condition: TextCondition) -> SqlCondition:
    match condition.term, condition.operator:
        case "name", "contains":
            sql = "contains_prefixes(f.name, ?)"
        case "fullText", _:
            sql = "contains_words(f.name, ?)"
        case "mimeType", "contains":
            sql = "instr(f.mime_type, ?) > 0"
        case "name", relation:
            sql = f"f.name {relation} ? COLLATE NOCASE"
        case _, relation:
            sql = f"f.mime_type {relation} ?"
    return SqlCondition(sql, (condition.value,))


def _milliseconds(moment: datetime) -> int | float:
    """Milliseconds since 1970; a fraction stays one, so that no comparison is rounded."""
    microseconds = (moment - _EPOCH) // timedelta(microseconds=1)
    whole, rest = divmod(microseconds, 1000)
    return microseconds / 1000 if rest else whole


def _join(separator: str, empty: str, conditions: list[SqlCondition]) -> SqlCondition:
    sqls = [condition.sql for condition in conditions] or [empty]
    while len(sqls) > 1:
        sqls = [f"({separator.join(sqls[start : start + _CHUNK])})" for start in range(0, len(sqls), _CHUNK)]
    params = tuple(value for condition in conditions for value in condition.params)
    return SqlCondition(sqls[0], params, all(condition.exact for condition in conditions))
