"""Search queries: the grammar, its errors, and what they ask for."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from query_oracle import matches

from drive_emulator.query import MAX_DEPTH, MAX_LENGTH, QueryError, bind, parse_query
from drive_emulator.words import contains_prefixes, words

NOON = datetime(2026, 1, 10, 12, tzinfo=UTC)


@dataclass(frozen=True)
class File:
    id: str = "f"
    name: str = "HelloWorld.txt"
    mime_type: str = "text/plain"
    parents: tuple[str, ...] = ("inbox",)
    owners: tuple[str, ...] = ("Ann@Example.com",)
    writers: tuple[str, ...] = ("Ann@Example.com", "bob@example.com")
    readers: tuple[str, ...] = ("Ann@Example.com", "bob@example.com", "cat@example.com")
    full_text: str = "HelloWorld.txt and what is in it"
    trashed: bool = False
    starred: bool = False
    shared_with_me: bool = False
    modified_time: datetime = NOON
    created_time: datetime = NOON
    viewed_by_me_time: datetime | None = None
    properties: dict[str, str] = field(default_factory=dict)
    app_properties: dict[str, str] = field(default_factory=dict)
    visibility: str = "limited"


def ask(text, **attributes):
    query = bind(parse_query(text), folders={"root": "my-root"}, me="ann@example.com")
    return matches(query, File(**attributes))


@pytest.mark.parametrize(
    ("query", "attributes", "expected"),
    [
        # what the grammar takes
        ("", {}, True),
        ("  ", {}, True),
        ("name='x' and 'id' in parents", {"name": "x", "parents": ("id",)}, True),
        ("name='x'and'id'in parents", {"name": "x", "parents": ("id",)}, True),
        ("name = 'x'\n\tand trashed = false", {"name": "x"}, True),
        ('name = "x"', {"name": "x"}, True),
        (r"name = 'Valentine\'s \\ Day'", {"name": r"Valentine's \ Day"}, True),
        (r'name = "a \"quoted\" name"', {"name": 'a "quoted" name'}, True),
        ("name = '🌱 🎉'", {"name": "🌱 🎉"}, True),
        ("name = ''", {"name": ""}, True),
        ("name = 'and or not ( '", {"name": "and or not ( "}, True),
        ("NOT trashed = TRUE AND name = 'x' Or starred = true", {"name": "x"}, True),
        ("((((trashed = false))))", {}, True),
        # and binds tighter than or, not tighter than both
        ("trashed = false or starred = true and starred = true", {}, True),
        ("(trashed = false or starred = true) and starred = true", {}, False),
        ("not trashed = true or trashed = true", {"trashed": True}, True),
        ("not (trashed = false or starred = true)", {}, False),
        ("not not trashed = false", {}, True),
        ("not(trashed=true)and not(starred=true)", {}, True),
        # names
        ("name contains 'hello'", {}, True),
        ("name contains 'Hell'", {}, True),
        ("name contains 'World'", {}, False),
        ("name contains 'txt'", {}, True),
        ("name contains 'hello.t'", {}, True),
        ("name contains 'zelda'", {}, False),
        ("name contains 'syft_outbox_inbox'", {"name": "syft_outbox_inbox_a@x.org_to_b@y.org"}, True),
        ("name contains 'box'", {"name": "syft_outbox_inbox_a@x.org_to_b@y.org"}, False),
        ("name contains 'ÉLAN'", {"name": "mon élan"}, True),
        ("name = 'helloworld.TXT'", {}, True),
        ("name = 'ÉLAN VITAL'", {"name": "Élan Vital"}, True),
        ("name = 'élan vital'", {"name": "Élan Vital"}, False),
        ("name = 'strasse'", {"name": "Straße"}, False),
        ("name != 'x'", {}, True),
        ("name != 'HELLOworld.txt'", {}, False),
        ("fullText contains 'hello'", {}, False),
        ("fullText contains 'TXT helloworld'", {}, True),
        ("fullText contains '\"helloworld txt\"'", {}, True),
        ("fullText contains '\"txt helloworld\"'", {}, False),
        ("fullText contains 'what'", {}, True),
        # types
        ("mimeType = 'text/plain'", {}, True),
        ("mimeType != 'text/plain'", {}, False),
        ("mimeType contains 'text/'", {}, True),
        ("mimeType contains 'image/'", {}, False),
        ("mimeType = 'TEXT/plain'", {}, False),
        # people and places
        ("'inbox' in parents", {}, True),
        ("'Inbox' in parents", {}, False),
        ("'root' in parents", {"parents": ("my-root",)}, True),
        ("'root' in parents", {"parents": ("root",)}, False),
        ("'inbox' in parents", {"parents": ()}, False),
        ("parents in 'inbox' and not parents in 'other'", {}, True),
        ("'me' in owners and owners in 'me'", {}, True),
        ("'ANN@example.COM' in owners", {}, True),
        ("'me' in owners", {}, True),
        ("'bob@example.com' in owners", {}, False),
        ("'bob@example.com' in writers", {}, True),
        ("'cat@example.com' in writers", {}, False),
        ("'cat@example.com' in readers and not 'me' in writers", {}, False),
        # flags
        ("trashed", {"trashed": True}, True),
        ("not trashed", {"trashed": True}, False),
        ("starred != true", {}, True),
        ("starred = true", {"starred": True}, True),
        ("sharedWithMe and name contains 'hello'", {"shared_with_me": True}, True),
        ("sharedWithMe = false", {"shared_with_me": True}, False),
        # times
        ("modifiedTime = '2026-01-10T12:00:00'", {}, True),
        ("modifiedTime = '2026-01-10T12:00:00Z'", {}, True),
        ("modifiedTime = '2026-01-10T12:00:00+00:00'", {}, True),
        ("modifiedTime = '2026-01-10T04:00:00-08:00'", {}, True),
        ("modifiedTime = '2026-01-10t12:00:00.000z'", {}, True),
        ("modifiedTime >= '2026-01-10T12:00:00'", {}, True),
        ("modifiedTime > '2026-01-10T12:00:00'", {}, False),
        ("modifiedTime <= '2026-01-10T12:00:00'", {}, True),
        ("modifiedTime < '2026-01-10T12:00:00.001'", {}, True),
        ("modifiedTime != '2026-01-10T12:00:00'", {}, False),
        ("createdTime > '2026-01-10'", {}, True),
        ("createdTime<'2026-01-10'", {}, False),
        ("viewedByMeTime > '2020-01-01'", {"viewed_by_me_time": NOON}, True),
        ("viewedByMeTime > '2020-01-01'", {}, False),
        ("viewedByMeTime != '2020-01-01'", {}, False),
        ("not viewedByMeTime > '2020-01-01'", {}, True),
        # properties
        ("properties has { key='a' and value='b' }", {"properties": {"a": "b"}}, True),
        ("properties has{key='a'and value='B'}", {"properties": {"a": "b"}}, False),
        ("properties has { key='a' and value='b' }", {"app_properties": {"a": "b"}}, False),
        ("appProperties has { key='a' and value='b' } and trashed=false", {"app_properties": {"a": "b"}}, True),
        # visibility
        ("visibility = 'limited'", {}, True),
        ("visibility != 'anyoneWithLink'", {}, True),
        ("visibility = 'anyoneCanFind'", {}, False),
    ],
)
def test_a_query_matches_what_the_documentation_says(query, attributes, expected):
    assert ask(query, **attributes) is expected


@pytest.mark.parametrize(
    ("query", "position"),
    [
        ("name", 4),
        ("name =", 6),
        ("name = x", 7),
        ("name = 'x", 7),
        ("name < 'x'", 5),
        ("name has 'x'", 5),
        ("name in 'x'", 5),
        ("Name = 'x'", 0),
        ("names = 'x'", 0),
        ("title = 'x'", 0),
        ("id = 'x'", 0),
        ("fullText = 'x'", 9),
        ("mimeType > 'x'", 9),
        ("modifiedTime contains 'x'", 13),
        ("modifiedTime > 'yesterday'", 15),
        ("modifiedTime > '2026-13-01'", 15),
        ("modifiedTime > '2026-01-10T25:00:00'", 15),
        ("modifiedTime > '2026-01-10T12:00'", 15),
        ("modifiedTime > '0001-01-01T00:00:00+10:00'", 15),
        ("modifiedTime > true", 15),
        ("trashed = 'true'", 10),
        ("trashed > true", 8),
        ("trashed = yes", 10),
        ("'x' in name", 7),
        ("'x' contains parents", 4),
        ("'x'", 3),
        ("properties has 'x'", 15),
        ("properties has { key='x' }", 25),
        ("properties = 'x'", 11),
        ("visibility = 'secret'", 13),
        ("visibility contains 'limited'", 11),
        (r"name = 'a\b'", 9),
        ("name = 'it's'", 11),
        ("and", 0),
        ("trashed and", 11),
        ("trashed or or starred", 11),
        ("trashed starred", 8),
        ("not", 3),
        ("nottrashed", 0),
        ("(trashed", 8),
        ("trashed)", 7),
        ("()", 1),
        ("name = 'x';", 10),
    ],
)
def test_a_malformed_query_is_refused_and_says_where(query, position):
    with pytest.raises(QueryError) as caught:
        parse_query(query)
    assert caught.value.position == position
    assert (caught.value.message, caught.value.reason, caught.value.location) == ("Invalid Value", "invalid", "q")


@pytest.mark.parametrize(
    "query",
    [
        "not " * 50_000 + "trashed",
        "not " * MAX_DEPTH + "trashed",
        "(" * 100_000,
        "x" * (MAX_LENGTH + 1),
        "name = '\ud800'",
    ],
)
def test_a_query_too_deep_too_long_or_not_text_is_refused(query):
    with pytest.raises(QueryError):
        parse_query(query)


def test_brackets_that_change_nothing_may_be_nested_without_end():
    assert parse_query("(" * 5_000 + "trashed" + ")" * 5_000) == parse_query("trashed")


def test_a_parsed_query_is_cached():
    assert parse_query("name = 'cached'") is parse_query("name = 'cached'")


def quoted(text):
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


FRAGMENTS = [*("name", "contains", "=", "'x'", "(", ")", "not", "and", "or", "in", "parents"), *"\\'\"{}", "has"]


@given(st.text() | st.lists(st.sampled_from(FRAGMENTS)).map(" ".join))
def test_any_text_parses_or_is_refused(text):
    try:
        query = parse_query(text)
    except QueryError:
        return
    matches(query, File())


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_every_name_can_be_asked_for(name):
    query = parse_query(f"name = {quoted(name)}")
    assert matches(query, File(name=name))
    assert not matches(query, File(name=name + "!"))


@given(st.text(), st.text())
def test_a_name_contains_the_beginnings_of_its_words_and_no_other_text(name, wanted):
    expected = all(any(word.startswith(prefix) for word in words(name)) for prefix in words(wanted))
    assert contains_prefixes(name, wanted) == expected


@given(st.text(), st.data())
def test_a_name_contains_every_beginning_of_each_of_its_words(name, data):
    for word in words(name):
        assert contains_prefixes(name, word[: data.draw(st.integers(0, len(word)))])
