"""Field masks: the grammar, the defaults, exact projection."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drive_emulator import fields
from drive_emulator.fields import FieldsError, field_mask, parse_fields

ROOT = Path(__file__).parents[2]
FILE = {
    "kind": "drive#file",
    "id": "1",
    "name": "n",
    "mimeType": "text/plain",
    "size": "3",
    "owners": [{"displayName": "ann", "emailAddress": "ann@example.com"}],
    "parents": ["p"],
    "properties": {"a": "1", "b": "2"},
    "capabilities": {"canEdit": True, "canCopy": False},
}
LIST = {"kind": "drive#fileList", "incompleteSearch": False, "nextPageToken": "t", "files": [FILE]}
SHORT_FILE = {"kind": "drive#file", "id": "1", "name": "n", "mimeType": "text/plain"}


@pytest.mark.parametrize(
    ("method", "mask", "resource", "expected"),
    [
        ("files.get", "id", FILE, {"id": "1"}),
        ("files.get", "name, id", FILE, {"id": "1", "name": "n"}),
        ("files.get", " size ", FILE, {"size": "3"}),
        ("files.get", "*", FILE, FILE),
        ("files.get", "id,*", FILE, FILE),
        ("files.get", "", FILE, {}),
        ("files.get", "webViewLink", FILE, {}),
        ("files.get", "owners", FILE, {"owners": FILE["owners"]}),
        ("files.get", "owners/emailAddress", FILE, {"owners": [{"emailAddress": "ann@example.com"}]}),
        ("files.get", "owners(emailAddress)", FILE, {"owners": [{"emailAddress": "ann@example.com"}]}),
        ("files.get", "owners(emailAddress,displayName)", FILE, {"owners": FILE["owners"]}),
        ("files.get", "owners(*)", FILE, {"owners": FILE["owners"]}),
        ("files.get", "owners/*", FILE, {"owners": FILE["owners"]}),
        ("files.get", "owners/emailAddress,owners", FILE, {"owners": FILE["owners"]}),
        ("files.get", "owners,owners/emailAddress", FILE, {"owners": FILE["owners"]}),
        ("files.get", "properties/a", FILE, {"properties": {"a": "1"}}),
        ("files.get", "properties", FILE, {"properties": {"a": "1", "b": "2"}}),
        ("files.get", "capabilities(canEdit)", FILE, {"capabilities": {"canEdit": True}}),
        ("files.get", None, FILE, SHORT_FILE),
        ("files.create", None, FILE, SHORT_FILE),
        ("files.update", None, FILE, SHORT_FILE),
        ("files.copy", None, FILE, SHORT_FILE),
        ("files.list", None, LIST, LIST | {"files": [SHORT_FILE]}),
        ("files.list", "files(id)", LIST, {"files": [{"id": "1"}]}),
        ("files.list", "files/id,nextPageToken", LIST, {"nextPageToken": "t", "files": [{"id": "1"}]}),
        ("files.list", "files(id,owners(emailAddress))", {"files": []}, {"files": []}),
        (
            "files.list",
            "files(id),files/owners/displayName",
            LIST,
            {"files": [{"id": "1", "owners": [{"displayName": "ann"}]}]},
        ),
    ],
)
def test_a_mask_sends_exactly_what_it_selects(method, mask, resource, expected):
    assert field_mask(method, mask).project(resource) == expected


def test_without_a_mask_permissions_changes_and_revisions_send_their_short_form():
    permission = {"kind": "drive#permission", "id": "1", "type": "user", "role": "reader"}
    full = permission | {"emailAddress": "a@example.com", "displayName": "a"}
    assert field_mask("permissions.create", None).project(full) == permission
    assert field_mask("permissions.list", None).project({"permissions": [full]}) == {"permissions": [permission]}
    change = {"kind": "drive#change", "removed": False, "fileId": "1", "time": "t", "changeType": "file", "file": FILE}
    page = {"kind": "drive#changeList", "newStartPageToken": "2", "changes": [change]}
    assert field_mask("changes.list", None).project(page) == page | {"changes": [change | {"file": SHORT_FILE}]}
    revision = {"kind": "drive#revision", "id": "1", "mimeType": "text/plain", "modifiedTime": "t"}
    assert field_mask("revisions.list", None).project({"revisions": [revision | {"size": "1"}]}) == {
        "revisions": [revision]
    }


def test_about_requires_a_mask():
    with pytest.raises(FieldsError, match="The 'fields' parameter is required for this method") as caught:
        field_mask("about.get", None)
    assert (caught.value.reason, caught.value.location) == ("required", "fields")


@pytest.mark.parametrize(
    ("method", "mask", "named"),
    [
        ("files.list", "items(id,title)", "items"),
        ("files.list", "id", "id"),
        ("files.list", "files(id,capabilities,canAddChildren)", "canAddChildren"),
        ("files.get", "title", "title"),
        ("files.get", "Name", "Name"),
        ("files.get", "id/x", "x"),
        ("files.get", "id(x)", "x"),
        ("files.get", "id/*", "*"),
        ("files.get", "parents/x", "x"),
        ("files.get", "properties/a/b", "b"),
        ("files.get", "owners/emailAddress/x", "x"),
        ("files.get", "id,", "id,"),
        ("files.get", ",id", ",id"),
        ("files.get", "id,,name", "id,,name"),
        ("files.get", "id name", "id name"),
        ("files.get", "owners(", "owners("),
        ("files.get", "owners()", "owners()"),
        ("files.get", "owners(me", "owners(me"),
        ("files.get", "owners(me))", "owners(me))"),
        ("files.get", "owners/", "owners/"),
        ("files.get", "/id", "/id"),
        ("files.get", "(id)", "(id)"),
        ("files.get", "*/id", "*/id"),
        ("files.get", "(" * 60_000, "((("),
    ],
)
def test_a_mask_that_selects_what_does_not_exist_is_refused(method, mask, named):
    with pytest.raises(FieldsError) as caught:
        field_mask(method, mask)
    assert caught.value.message.startswith(f"Invalid field selection {named}")
    assert caught.value.reason == "invalidParameter"


def test_a_mask_of_absurd_length_is_refused():
    with pytest.raises(FieldsError):
        field_mask("files.get", "id," * 30_000 + "id")


def test_a_mask_tells_what_need_not_be_computed():
    mask = field_mask("files.list", "nextPageToken,files(id,owners/me)")
    assert mask.selects("files", "owners", "me")
    assert mask.selects("files", "owners")
    assert not mask.selects("files", "permissions")
    assert not mask.selects("kind")
    assert field_mask("files.list", "files").selects("files", "permissions", "id")


# Random masks over a random answer, against the plainest definition: a value is sent if a selected path begins its own.


def paths(schema, depth=3):
    """Every path of field names below a schema, down to a depth."""
    described = fields._fields_of(schema)
    for name, below in ({"a": None, "b": None} if described is fields._ANY else described or {}).items():
        yield (name,)
        if depth > 1:
            yield from ((name, *rest) for rest in paths(below, depth - 1))


PATHS = sorted(paths("FileList"))


def resource(selected):
    """An answer that has a value at each path that is the beginning of no other."""
    built = {}
    for path in selected:
        here = built
        for name in path[:-1]:
            here = here.setdefault(name, {})
            if not isinstance(here, dict):
                break
        else:
            here.setdefault(path[-1], "value")
    return built


def leaves(value, path=()):
    if isinstance(value, dict):
        return {leaf for name, below in value.items() for leaf in leaves(below, (*path, name))}
    if isinstance(value, list):
        return {leaf for below in value for leaf in leaves(below, path)}
    return {path}


@st.composite
def rendered(draw, selected):
    """One of the ways to write the same paths."""
    written = []
    for path in selected:
        text = path[-1]
        for name in reversed(path[:-1]):
            text = draw(st.sampled_from([f"{name}({text})", f"{name}/{text}", f"{name} ( {text} )"]))
        written.append(text)
    return draw(st.sampled_from([",", ", "])).join(written)


@given(st.data())
def test_a_value_is_sent_if_a_selected_path_begins_its_own(data):
    selected = data.draw(st.lists(st.sampled_from(PATHS), min_size=1, max_size=5))
    answer = resource(data.draw(st.lists(st.sampled_from(PATHS), max_size=8)))
    mask = parse_fields(data.draw(rendered(selected)), "FileList")
    expected = {leaf for leaf in leaves(answer) if any(leaf[: len(path)] == path for path in selected)}
    assert {leaf for leaf in leaves(mask.project(answer)) if leaf} >= expected
    assert all(
        any(leaf[: len(path)] == path[: len(leaf)] for path in selected) for leaf in leaves(mask.project(answer))
    )


FRAGMENTS = ["id", "files", "owners", "*", "(", ")", ",", "/", " ", "x"]


@given(st.text() | st.lists(st.sampled_from(FRAGMENTS)).map("".join), st.sampled_from(sorted(fields._METHODS)))
def test_any_text_is_a_mask_or_is_refused(text, method):
    try:
        mask = field_mask(method, text)
    except FieldsError:
        return
    assert mask.project({}) == {}
