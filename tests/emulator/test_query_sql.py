"""Search queries in SQLite: the same files as in Python, found through indexes."""

import json
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from query_oracle import matches

from drive_emulator.query import MAX_DEPTH, VISIBILITIES, bind, parse_query
from drive_emulator.query_sql import compile_sql
from drive_emulator.storage import Database

ME, BOB = "ann@x.org", "bob@x.org"
NOON = datetime(2026, 1, 10, 12, tzinfo=UTC)


@dataclass(frozen=True)
class File:
    """A file as ``ME`` sees it."""

    name: str
    mime_type: str
    folder: str | None
    roles: dict[str, str]
    trashed: bool
    starred: bool
    shared: bool
    modified_time: datetime
    created_time: datetime
    viewed_by_me_time: datetime | None
    properties: dict[str, str]
    visibility: str
    app_properties: dict[str, str] = field(default_factory=dict)

    @property
    def full_text(self):
        return f"{self.name} {self.mime_type}"

    @property
    def parents(self):
        return () if self.folder is None else (self.folder,)

    @property
    def owners(self):
        return [person for person, role in self.roles.items() if role == "owner"]

    @property
    def writers(self):
        return [person for person, role in self.roles.items() if role in ("owner", "writer")]

    @property
    def readers(self):
        return list(self.roles)

    @property
    def shared_with_me(self):
        return self.shared and self.roles[ME] != "owner"


NAMES = ["a", "A", "b c", "B_c.d", "Straße", "strasse", "é", "É", "it's", "a\\b", 'q"', "🌱", ""]
TYPES = ["text/plain", "Text/plain", "application/vnd.google-apps.folder"]
TIMES = [NOON + timedelta(microseconds=offset) for offset in (-1_000, -1, 0, 1, 1_000, 86_400_000_000)]
WHOLE_TIMES = [moment for moment in TIMES if moment.microsecond % 1000 == 0]


def quoted(text):
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def joined(*parts):
    return st.tuples(*(st.just(part) if isinstance(part, str) else part for part in parts)).map(" ".join)


def one_of(*values):
    return st.sampled_from(values)


# A small vocabulary, so that conditions meet files that they match.
texts = one_of(*NAMES, *TYPES).map(quoted)
conditions = st.one_of(
    joined(one_of("name", "mimeType"), one_of("contains", "=", "!="), texts),
    joined("fullText contains", texts),
    joined(one_of("trashed", "starred", "sharedWithMe"), one_of("=", "!="), one_of("true", "false")),
    joined(
        one_of("modifiedTime", "createdTime", "viewedByMeTime"),
        one_of("=", "!=", "<", "<=", ">", ">="),
        one_of(*TIMES).map(lambda moment: quoted(moment.isoformat())),
    ),
    joined("visibility", one_of("=", "!="), one_of(*sorted(VISIBILITIES)).map(quoted)),
    joined(one_of("'p1'", "'p2'", "'root'", "'P1'"), "in parents"),
    joined(one_of("'me'", "'BOB@x.org'", "'cat@x.org'"), "in", one_of("owners", "writers", "readers")),
    joined(one_of("properties", "appProperties"), "has { key=", texts, "and value=", texts, "}"),
)
queries = st.recursive(
    conditions,
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=4).map(" and ".join),
        st.lists(inner, min_size=2, max_size=4).map(" or ".join),
        inner.map("({})".format),
        inner.map("not ({})".format),
        inner.map("not {}".format),
    ),
    max_leaves=8,
)
files = st.lists(
    st.builds(
        File,
        name=one_of(*NAMES),
        mime_type=one_of(*TYPES),
        folder=one_of(None, "p1", "my-root"),
        roles=one_of(
            {ME: "owner"}, {ME: "owner", BOB: "reader"}, {ME: "reader", BOB: "owner"}, {BOB: "owner", ME: "writer"}
        ),
        trashed=st.booleans(),
        starred=st.booleans(),
        shared=st.booleans(),
        modified_time=one_of(*WHOLE_TIMES),
        created_time=one_of(*WHOLE_TIMES),
        viewed_by_me_time=st.none() | one_of(*WHOLE_TIMES),
        properties=st.dictionaries(one_of(*NAMES), one_of(*NAMES), max_size=2),
        visibility=one_of(*sorted(VISIBILITIES)),
    ),
    max_size=6,
)


def milliseconds(moment):
    return None if moment is None else (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def insert(database, table, **values):
    columns, marks = ", ".join(values), ", ".join("?" * len(values))
    database.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", *values.values())


def stored(files):
    database = Database(None)
    database.add_function("visibility", lambda number: files[int(number)].visibility)
    database.add_function("full_text", lambda number: files[int(number)].full_text)
    for number, file in enumerate(files):
        insert(
            database,
            "file",
            id=str(number),
            name=file.name,
            mime_type=file.mime_type,
            parent=file.folder,
            owner=file.owners[0],
            created_ms=milliseconds(file.created_time),
            modified_ms=milliseconds(file.modified_time),
            modified_by=ME,
            version=1,
            trashed=file.trashed,
            explicitly_trashed=file.trashed,
            properties=json.dumps(file.properties),
            app_properties=json.dumps(file.app_properties),
            settings="{}",
            made=0,
        )
        for person, role in file.roles.items():
            mine = {"starred": file.starred, "viewed": milliseconds(file.viewed_by_me_time)} if person == ME else {}
            shared = {"shared_at": 1} if file.shared else {}
            insert(database, "view", account=person, file_id=str(number), role=role, **mine, **shared)
    return database


# As search.py joins them: CROSS keeps SQLite from starting at all that the account can see.
SELECT = "SELECT f.id FROM file f CROSS JOIN view v ON v.file_id = f.id AND v.account = ? WHERE"


def find(database, query):
    condition = compile_sql(query)
    rows = database.rows(f"{SELECT} {condition.sql} AND 1", ME, *condition.params)
    return {int(number) for (number,) in rows}


@given(queries, files)
def test_sqlite_and_python_find_the_same_files(text, files):
    query = bind(parse_query(text), folders={"root": "my-root"}, me=ME)
    with closing(stored(files)) as database:
        found = find(database, query)
    assert found == {number for number, file in enumerate(files) if matches(query, file)}


def plan(text):
    condition = compile_sql(parse_query(text))
    with closing(stored([])) as database:
        rows = database.rows(f"EXPLAIN QUERY PLAN {SELECT} {condition.sql}", ME, *condition.params)
        return " ".join(row[3] for row in rows)


FOLDERS = " or ".join(f"'{number}' in parents" for number in range(100))


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("'x' in parents", "file_folder"),
        (f"({FOLDERS}) and trashed = false", "file_folder"),
        (f"name = 'rpc' and mimeType = 'text/plain' and ({FOLDERS})", "file_"),
        ("name = 'rpc' and trashed = false", "file_name"),
        ("name = 'rpc' or name = 'x' or 'x' in parents", "MULTI-INDEX OR"),
        ("createdTime > '2026-01-01'", "file_created"),
        ("modifiedTime >= '2026-01-01' and trashed = false", "file_modified"),
    ],
)
def test_folders_names_and_times_are_looked_up_in_an_index(query, index):
    assert index in plan(query)


@pytest.mark.parametrize(
    "text",
    [
        " or ".join(f"name = '{number}'" for number in range(2_000)),
        " and ".join(f"name != '{number}'" for number in range(2_000)),
        " or ".join(f"'{number}' in parents" for number in range(3_000)),
        "trashed and (starred or not (" * (MAX_DEPTH // 3 - 1) + "trashed" + "))" * (MAX_DEPTH // 3 - 1),
        "not " * (MAX_DEPTH - 1) + "trashed",
    ],
)
def test_sqlite_takes_the_longest_and_the_deepest_query(text):
    with closing(stored([])) as database:
        assert find(database, parse_query(text)) == set()
