"""``files.list``: what an account can see, filtered by a query, in order, page by page."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from drive_emulator.access import Access
from drive_emulator.blobs import BlobStore
from drive_emulator.clock import EmulatorClock
from drive_emulator.errors import ApiError, invalid, not_found
from drive_emulator.feed_behaviour import FeedBehaviour
from drive_emulator.model import APP_DATA, DRIVE, Account, File, View, spaces_condition
from drive_emulator.query import And, Condition, Expression, Not, Or, bind, parse_query
from drive_emulator.query_sql import SqlCondition, compile_sql
from drive_emulator.records import FILE_COLUMNS, FILE_WIDTH, VIEW_COLUMNS, VIEW_WIDTH, load_file, load_seen, to_seen
from drive_emulator.storage import Database

# What orderBy can name, and what it stands for; NULL sorts first.
_ORDERS = {
    "createdTime": "f.created_ms",
    "folder": "(f.mime_type <> 'application/vnd.google-apps.folder')",
    "modifiedByMeTime": "IFNULL(v.modified, 0)",
    "modifiedTime": "f.modified_ms",
    "name": "f.name COLLATE NOCASE",
    "name_natural": "natural_key(f.name)",
    "quotaBytesUsed": "IFNULL(f.size, 0)",
    "recency": "MAX(f.modified_ms, IFNULL(v.viewed, 0))",
    "sharedWithMeTime": "IFNULL(v.shared_at, 0)",
    "starred": "IFNULL(v.starred, 0)",
    "viewedByMeTime": "IFNULL(v.viewed, 0)",
}

_TEXT = re.compile(r"text/|application/(json|xml|javascript)\b")
_INDEXED = 1024 * 1024
"""Bytes of a content that are searched."""

NEWEST_FIRST = (_ORDERS["createdTime"], True)


@dataclass(frozen=True, slots=True)
class SearchPage:
    """Some of the files found, and the token of the rest."""

    found: list[tuple[File, View]]
    next_token: str | None


class Search:
    """Answers ``files.list``."""

    def __init__(
        self, database: Database, blobs: BlobStore, access: Access, clock: EmulatorClock, behaviour: FeedBehaviour
    ) -> None:
        self._database = database
        self._access = access
        self._clock = clock
        self._behaviour = behaviour
        self._blobs = blobs
        database.add_function("visibility", self._visibility)
        database.add_function("full_text", self._full_text)

    def page(
        self,
        account: Account,
        q: str,
        order_by: str,
        size: int,
        token: str | None = None,
        *,
        spaces: Collection[str] = (DRIVE,),
    ) -> SearchPage:
        """Find up to ``size`` files. Without an order, the newest come first.

        Paging goes by the sort keys of the last file seen, so nothing that stays in place is skipped or repeated
        while others write.

        Raises:
            ApiError: 400 for a malformed query, order or token; 404 when the query names a folder that can't be seen.
        """
        query, linked = self._parse(account, q)
        order = _parse_order(order_by)
        if order and any(condition.term == "fullText" for condition in _conditions(query)):
            message = (
                "Sorting is not supported for queries with fullText terms. "
                "Results are always in descending relevance order."
            )
            raise ApiError(400, "badRequest", message, location="orderBy")
        order = order or [NEWEST_FIRST]
        keys = [*order, ("f.n", order[0][1])]  # what is equal keeps its order of arrival, or the reverse
        after = None if token is None else _read_token(token, q, order_by, len(keys))
        found: list[tuple[File, View]] = []
        last: list[Any] = []
        parts = [
            self._statement(account, compile_sql(part), keys, after, spaces=spaces, linked=linked)
            for part in _by_folder(query)
        ]
        sql, values = " UNION ALL ".join(part for part, _ in parts), [value for _, part in parts for value in part]
        columns = range(FILE_WIDTH + VIEW_WIDTH + 1, FILE_WIDTH + VIEW_WIDTH + 1 + len(keys))
        by = ", ".join(f"{n} DESC" if descends else f"{n}" for n, (_, descends) in zip(columns, keys, strict=True))
        for row in self._database.iterate(f"{sql} ORDER BY {by} LIMIT ?", *values, size + 1):
            if len(found) == size:
                return SearchPage(found, _write_token(last, q, order_by))
            found.append(to_seen(account.key, row))
            last = list(row[FILE_WIDTH + VIEW_WIDTH :])
        return SearchPage(found, None)

    def _parse(self, account: Account, q: str) -> tuple[Expression, list[str]]:
        """Return the query, and which of the folders that it names the account sees by a link alone."""
        aliases = ["root", APP_DATA] if APP_DATA in q else ["root"]
        folders = {alias: self._access.resolve(account, alias) for alias in aliases}
        query = bind(parse_query(q), folders=folders, me=account.key)
        linked = []
        for folder_id in [str(one.value) for one in _conditions(query) if one.term == "parents"]:
            seen = load_seen(self._database, account.key, folder_id)
            if seen is None or self._access.role(account, *seen) is None:
                # Drive does not say which one.
                raise not_found("")
            if seen[1].role is None:
                linked.append(folder_id)
        return query, linked

    def _visibility(self, file_id: str) -> str:
        """Tell by which kind of link a file is open, one for anyone before one for a domain; SQLite asks it."""
        file = load_file(self._database, file_id)
        permissions = () if file is None else self._access.effective_permissions(file)
        links = sorted((p for p in permissions if p.type in ("anyone", "domain")), key=lambda link: link.type)
        return links[0].type + ("CanFind" if links[0].discoverable else "WithLink") if links else "limited"

    def _full_text(self, file_id: str) -> str:
        """Return the words that a file is found by: of its name, its description and its content, if that is text."""
        if (file := load_file(self._database, file_id)) is None:
            return ""
        texts = [file.name, file.settings.get("description") or ""]
        if file.content is not None and _TEXT.match(file.mime_type):
            content = self._blobs.read(file.content.blob, 0, min(file.content.size, _INDEXED))
            texts.append(b"".join(content).decode("utf-8", "replace"))
        return "\n".join(texts)

    def _statement(
        self,
        account: Account,
        condition: SqlCondition,
        keys: list[tuple[str, bool]],
        after: list[Any] | None,
        *,
        spaces: Collection[str] = (DRIVE,),
        linked: Collection[str] = (),
    ) -> tuple[str, list[Any]]:
        space, named = spaces_condition(account, spaces)
        visible = "v.role IS NOT NULL"
        if linked:  # whoever has the link of a folder finds what lies in it, but only there
            visible = f"(v.role IS NOT NULL OR f.parent IN ({','.join('?' * len(linked))}))"
        where = [visible, "f.id <> ?", "(v.app IS NULL OR f.parent IS NOT NULL)", space, condition.sql]
        values: list[Any] = [account.key, *linked, account.root_id, *named, *condition.params]
        if account.own_files_only:
            where.append("EXISTS (SELECT 1 FROM opened WHERE client = ? AND account = ? AND file_id = f.id)")
            values += [account.client, account.key]
        if lag := self._behaviour.list_lag_seconds:
            where.append("f.made <= ?")
            values.append(int((self._clock.time() - lag) * 1000))
        if after is not None:
            behind, more = _after(keys, after)
            where.append(behind)
            values += more
        # CROSS JOIN keeps SQLite from starting at all that the account can see where the query names folders or names;
        # what a client keeps for itself, it finds by an index.
        join = "LEFT JOIN" if linked else "CROSS JOIN" if DRIVE in spaces else "JOIN"
        sql = (
            f"SELECT {FILE_COLUMNS}, {VIEW_COLUMNS}, {', '.join(key for key, _ in keys)}"  # noqa: S608 - constants
            f" FROM file f {join} view v ON v.file_id = f.id AND v.account = ? WHERE {' AND '.join(where)}"
        )
        return sql, values


def _by_folder(query: Expression) -> list[Expression]:
    """Split a query that names several folders: SQLite finds what lies in each in order, and merges, page by page."""
    operands = query.operands if isinstance(query, And) else (query,)
    for index, operand in enumerate(operands):
        if isinstance(operand, Or) and all(
            isinstance(one, Condition) and one.term == "parents" for one in operand.operands
        ):
            before, behind = operands[:index], operands[index + 1 :]
            return [And((*before, folder, *behind)) for folder in dict.fromkeys(operand.operands)]
    return [query]


def _conditions(expression: Expression) -> Iterator[Condition]:
    """Yield what the query is put together of."""
    match expression:
        case And(operands) | Or(operands):
            for operand in operands:
                yield from _conditions(operand)
        case Not(operand):
            yield from _conditions(operand)
        case condition:
            yield condition


def _parse_order(text: str) -> list[tuple[str, bool]]:
    keys = []
    for part in text.split(",") if text.strip() else []:
        name, *rest = part.split()[:3] or [""]
        if name not in _ORDERS or rest not in ([], ["asc"], ["desc"]):
            raise invalid("orderBy")
        keys.append((_ORDERS[name], rest == ["desc"]))
    return keys


def _after(keys: list[tuple[str, bool]], last: list[Any]) -> tuple[str, list[Any]]:
    """Return the condition of what sorts behind the last row."""
    (first, descends), *_ = keys
    # SQLite starts in an index of the first key at such a row, instead of passing over what earlier pages held.
    start = f"{first} {'<=' if descends else '>='} ?"
    if len({descending for _, descending in keys}) == 1:
        names, marks = ", ".join(key for key, _ in keys), ", ".join("?" * len(keys))
        return f"{start} AND ({names}) {'<' if descends else '>'} ({marks})", [last[0], *last]
    sql = "0"
    values: list[Any] = []
    for (key, descending), value in reversed(list(zip(keys, last, strict=True))):
        sql = f"({key} {'<' if descending else '>'} ? OR ({key} = ? AND {sql}))"
        values = [value, value, *values]
    return f"{start} AND {sql}", [last[0], *values]


def _write_token(last: list[Any], q: str, order_by: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([last, q, order_by]).encode()).decode()


def _read_token(token: str, q: str, order_by: str, width: int) -> list[Any]:
    """Return the sort keys that the token holds; it belongs to one query and order."""
    try:
        last, *asked = json.loads(base64.b64decode(token, altchars=b"-_", validate=True))
    except (ValueError, TypeError, RecursionError) as error:
        raise invalid("pageToken") from error
    if asked != [q, order_by] or not isinstance(last, list) or len(last) != width:
        raise invalid("pageToken")
    if not all(isinstance(key, str) or (isinstance(key, int) and abs(key) < 2**63) for key in last):
        raise invalid("pageToken")
    return last
