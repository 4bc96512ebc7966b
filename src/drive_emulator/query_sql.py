"""Compile a query to a condition that SQLite can answer from its indexes.

The condition stands after ``WHERE`` where ``file f`` is joined with ``view v`` of the account that asks (the tables are
in ``storage.py``); the connection needs `register_functions`, and two functions of a file's ID, ``visibility`` and
``full_text``.
"""

from __future__ import annotations

import json
import re
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

from drive_emulator.query import And, Condition, Expression, Not, Or
from drive_emulator.words import contains_prefixes, contains_words

SqlValue: TypeAlias = str | int | float

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TARGET: Final = "json_extract(f.settings, '$.shortcutDetails.targetId')"
_TIMES: Final = {"createdTime": "f.created_ms", "modifiedTime": "f.modified_ms", "viewedByMeTime": "v.viewed"}
_CONDITIONS: Final = {
    ("name", "contains"): "contains_prefixes(f.name, ?)",
    ("name", "="): "f.name = ? COLLATE NOCASE",
    ("name", "!="): "f.name != ? COLLATE NOCASE",
    ("mimeType", "contains"): "instr(f.mime_type, ?) > 0",
    ("mimeType", "="): "f.mime_type = ?",
    ("mimeType", "!="): "f.mime_type != ?",
    ("shortcutDetails.targetId", "="): f"({_TARGET} IS NOT NULL AND {_TARGET} = ?)",
    ("shortcutDetails.targetId", "!="): f"({_TARGET} IS NOT NULL AND {_TARGET} != ?)",
    ("fullText", "contains"): "contains_words(full_text(f.id), ?)",
    ("visibility", "="): "visibility(f.id) = ?",
    ("visibility", "!="): "visibility(f.id) != ?",
    ("trashed", "="): "f.trashed = ?",
    ("starred", "="): "IFNULL(v.starred, 0) = ?",
    ("sharedWithMe", "="): "(v.shared_at IS NOT NULL AND v.role <> 'owner') = ?",
    ("owners", "in"): "f.owner = ?",
    ("writers", "in"): "f.id IN (SELECT file_id FROM view WHERE account = ? AND role IN ('writer', 'owner'))",
    ("readers", "in"): "f.id IN (SELECT file_id FROM view WHERE account = ? AND role IS NOT NULL)",
    ("properties", "has"): "has_property(f.properties, ?, ?)",
    ("appProperties", "has"): "has_property(f.app_properties, ?, ?)",
}
"""By term and operator; what is asked of times and of folders is put together below."""
_CHUNK: Final = 64
"""Terms joined without brackets. SQLite bounds the depth of an expression, and a chain of n terms is n deep."""


@dataclass(frozen=True, slots=True)
class SqlCondition:
    """A condition, which may stand beside others in an ``AND``, and the values of its placeholders."""

    sql: str
    params: tuple[SqlValue, ...]


def register_functions(connection: sqlite3.Connection) -> None:
    """Teach the connection to match words of names, and properties, as Drive does."""
    connection.create_function("contains_prefixes", 2, contains_prefixes, deterministic=True)
    connection.create_function("contains_words", 2, contains_words, deterministic=True)
    connection.create_function("natural_key", 1, _natural_key, deterministic=True)
    connection.create_function("has_property", 3, _has_property, deterministic=True)


def _natural_key(name: str) -> str:
    """Return a key that sorts names as people do: numbers by value, letters without regard to case."""
    return re.sub(r"[0-9]+", lambda digits: f"{len(digits[0].lstrip('0')):04d}{digits[0].lstrip('0')}", name.lower())


def compile_sql(expression: Expression) -> SqlCondition:
    """Compile a bound query to a condition that matching files meet, and no others."""
    match expression:
        case And(operands):
            return _join(" AND ", "1", [compile_sql(operand) for operand in operands])
        case Or(operands):
            return _join(" OR ", "0", _compile_any(operands))
        case Not(operand):
            inner = compile_sql(operand)
            return SqlCondition(f"NOT ({inner.sql})", inner.params)
        case _:
            return _compile_condition(expression)


def _compile_any(operands: tuple[Expression, ...]) -> list[SqlCondition]:
    """Compile alternatives, all folders among them to one look-up: a query may name a hundred."""
    folders: list[str] = []
    conditions: list[SqlCondition] = []
    for operand in operands:
        match operand:
            case Condition("parents", _, str(folder)):
                folders.append(folder)
            case _:
                conditions.append(compile_sql(operand))
    return [_in_folders(folders), *conditions] if folders else conditions


def _compile_condition(condition: Condition) -> SqlCondition:
    term, operator, value = condition.term, condition.operator, condition.value
    if term == "parents":
        return _in_folders([str(value)])
    if isinstance(value, datetime):
        column = _TIMES[term]
        return SqlCondition(f"({column} IS NOT NULL AND {column} {operator} ?)", (_milliseconds(value),))
    if isinstance(value, tuple):
        return SqlCondition(_CONDITIONS[term, operator], value)
    return SqlCondition(_CONDITIONS[term, operator], (str(value).lower() if operator == "in" else value,))


def _in_folders(folders: list[str]) -> SqlCondition:
    marks = ",".join("?" * len(folders))
    return SqlCondition(f"(f.parent IS NOT NULL AND f.parent IN ({marks}))", tuple(folders))


def _has_property(document: str, key: str, value: str) -> bool:
    held: bool = json.loads(document).get(key) == value
    return held


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
    return SqlCondition(sqls[0], params)
