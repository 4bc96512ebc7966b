"""``files.list`` over HTTP; the grammar itself has tests of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from emulator_steps import ALICE, BOB, FILES, Raw, create, folder, found, refusal, share
from googleapiclient.http import MediaInMemoryUpload

from drive_emulator import DriveEmulator, search
from drive_emulator.query import parse_query
from drive_emulator.query_sql import compile_sql


def test_spaces_may_be_left_out_or_sent_as_plus(alice: Any, raw: Callable[..., Raw]) -> None:
    inbox = folder(alice, "inbox")
    create(alice, "it's", inbox)

    for q in (rf"name='it\'s'and'{inbox}'in+parents", r"name+%3D+'it\'s'+and+trashed=false"):
        assert [file["name"] for file in raw()("GET", f"{FILES}?q={q}").json["files"]] == ["it's"]


def test_and_binds_tighter_than_or(alice: Any) -> None:
    for name in ("a", "b", "c"):
        create(alice, name)

    assert sorted(found(alice, "name='a' or name='b' and name='c'")) == ["a"]
    assert sorted(found(alice, "(name='a' or name='b') and not name='b'")) == ["a"]


def test_name_contains_matches_prefixes_of_words_only(alice: Any) -> None:
    create(alice, "syft_outbox_inbox_alice")
    create(alice, "HelloWorld")

    assert found(alice, "name contains 'Hello'") == ["HelloWorld"]
    assert found(alice, "name contains 'World'") == []


def test_many_parents_go_in_one_call_although_the_client_must_send_it_as_post(
    emulator: DriveEmulator, alice: Any
) -> None:
    folders = [folder(alice, str(number)) for number in range(60)]
    for number in (0, 30, 59):
        create(alice, f"in {number}", folders[number])
    emulator.clear_log()
    q = " or ".join(f"'{parent}' in parents" for parent in folders)
    assert len(q) > 2048

    assert sorted(found(alice, f"({q}) and trashed = false")) == ["in 0", "in 30", "in 59"]
    assert [request["method"] for request in emulator.requests()] == ["files.list"]


@pytest.mark.parametrize("q", ["'{0}' in parents", "name='x' or '{0}' in parents", "not '{0}' in parents"])
def test_a_parent_that_cannot_be_seen_makes_the_whole_query_404(alice: Any, bob: Any, q: str) -> None:
    private = folder(alice, "private")

    assert refusal(bob.files().list(q=q.format(private))) == (404, "notFound")
    assert refusal(bob.files().list(q=q.format("nothing"))) == (404, "notFound")


def test_only_what_the_account_can_see_is_found(alice: Any, bob: Any) -> None:
    create(alice, "private")
    share(alice, create(alice, "shared"), BOB)

    assert found(bob, "") == ["shared"]


@pytest.mark.parametrize(("email", "key"), [(BOB, ""), (None, "&key=AIza")], ids=["an account", "an API key"])
def test_whoever_has_the_link_of_a_folder_finds_what_lies_in_it(
    alice: Any, raw: Callable[..., Raw], email: str | None, key: str
) -> None:
    top = folder(alice, "top")
    alice.permissions().create(fileId=top, body={"type": "anyone", "role": "reader"}).execute()
    below = folder(alice, "z", top)
    names = [create(alice, name, top) and name for name in "abc"]
    create(alice, "d", below)
    caller, fields = raw(email), "nextPageToken,files(name,parents)"

    for order in ("name", "starred,name", "folder desc,viewedByMeTime,name"):
        query, found, token = quote(f"'{top}' in parents and starred = false"), [], ""
        while token is not None:
            url = f"{FILES}?q={query}&orderBy={quote(order)}&pageSize=1&pageToken={token}&fields={fields}{key}"
            page = caller("GET", url).json
            found += page["files"]
            token = page.get("nextPageToken")
        assert found == [{"name": name, "parents": [top]} for name in [*names, "z"]]
    either = quote(f"'{top}' in parents or '{below}' in parents")
    assert len(caller("GET", f"{FILES}?q={either}{key}").json["files"]) == 5
    assert caller("GET", f"{FILES}?q=name='a'{key}".replace("'", "%27")).json["files"] == []


def test_trash_is_found_unless_it_is_excluded(alice: Any) -> None:
    alice.files().update(fileId=create(alice, "x"), body={"trashed": True}).execute()

    assert found(alice, "name='x'") == ["x"]
    assert found(alice, "name='x' and trashed=false") == []


def test_people_stars_properties_and_times_can_be_asked_for(alice: Any, bob: Any) -> None:
    old = create(alice, "old", createdTime="2020-01-01T00:00:00Z", properties={"k": "v"})
    create(alice, "new")
    share(alice, old, BOB, "reader")
    alice.files().update(fileId=old, body={"starred": True}).execute()

    for q in (
        f"'{BOB}' in readers",
        f"not '{BOB.upper()}' in writers and '{BOB}' in readers",
        "starred = true",
        "properties has { key='k' and value='v' }",
        "createdTime < '2021-01-01T00:00:00'",
        "visibility = 'limited' and name = 'old'",
    ):
        assert found(alice, q) == ["old"], q
    assert found(bob, f"'{ALICE}' in owners and not 'me' in owners") == ["old"]
    assert found(bob, "starred = true") == []


def test_visibility_tells_links_from_names(alice: Any) -> None:
    file = create(alice, "public")
    create(alice, "private")
    alice.permissions().create(fileId=file, body={"type": "anyone", "role": "reader"}).execute()

    assert found(alice, "visibility = 'anyoneWithLink'") == ["public"]
    assert found(alice, "visibility = 'limited'") == ["private"]


@pytest.mark.parametrize(
    ("order", "names"),
    [
        ("name", ["a", "B", "c"]),
        ("name desc", ["c", "B", "a"]),
        ("folder,name", ["c", "a", "B"]),
        ("folder desc,name desc", ["B", "a", "c"]),
        ("quotaBytesUsed,name", ["a", "B", "c"]),
        ("createdTime", ["B", "a", "c"]),
        ("", ["c", "a", "B"]),
    ],
)
def test_order_and_paging_visit_every_file_once(alice: Any, order: str, names: list[str]) -> None:
    create(alice, "B", createdTime="2020-01-01T00:00:00Z")
    create(alice, "a", createdTime="2021-01-01T00:00:00Z")
    folder(alice, "c")
    token, seen = None, []
    while True:
        page = alice.files().list(orderBy=order, pageSize=1, pageToken=token).execute()
        seen += [file["name"] for file in page["files"]]
        if (token := page.get("nextPageToken")) is None:
            break

    assert seen == names


def test_paging_skips_nothing_while_others_write(alice: Any) -> None:
    made = [create(alice, str(number)) for number in range(6)]
    page = alice.files().list(pageSize=3).execute()

    create(alice, "new")
    alice.files().delete(fileId=made[5]).execute()
    rest = alice.files().list(pageSize=10, pageToken=page["nextPageToken"]).execute()

    assert [file["id"] for file in page["files"] + rest["files"]] == list(reversed(made))


def test_a_page_token_belongs_to_its_query(alice: Any) -> None:
    for name in ("a", "b"):
        create(alice, name)
    token = alice.files().list(pageSize=1).execute()["nextPageToken"]

    assert refusal(alice.files().list(pageSize=1, pageToken=token, q="name='a'")) == (400, "invalid")


@pytest.mark.parametrize(
    "query",
    [
        "q=name%20%3D",
        "q=%27",
        "q=" + quote("name = 'a' and"),
        "q=" + quote("(" * 200),
        "q=" + quote("nonsense = 'x'"),
        "q=" + quote("modifiedTime > 'yesterday'"),
        "orderBy=nonsense",
        "orderBy=name%20sideways",
        "orderBy=,",
        "pageSize=0",
        "pageSize=x",
        "pageToken=x",
        "pageToken=" + quote("W1tdLCIiLCIiXQ=="),
        "pageToken=" + quote("W1sxLjVdLCIiLCIiXQ=="),
        "corpora=nonsense",
        "fields=nonsense",
        "fields=files(id",
    ],
)
def test_a_malformed_list_is_refused(raw: Callable[..., Raw], query: str) -> None:
    answer = raw()("GET", f"{FILES}?{query}")

    assert answer.status == 400
    assert answer.json["error"]["errors"][0]["location"]


@pytest.mark.parametrize(
    ("q", "index"),
    [
        ("'{0}' in parents and trashed = false", "file_folder (parent=?)"),
        ("('{0}' in parents or '{1}' in parents) and name contains 'x'", "file_folder (parent=?)"),
        ("name = 'x' and trashed = false", "file_name (name=?)"),
        ("createdTime > '2020-01-01T00:00:00'", "file_created (created_ms>?)"),
    ],
)
def test_folders_names_and_times_are_looked_up_by_index(
    emulator: DriveEmulator, alice: Any, q: str, index: str
) -> None:
    q = q.format(folder(alice, "a"), folder(alice, "b"))
    assert emulator._server is not None
    drive = emulator._server.drive
    account = drive.accounts.get(ALICE)
    assert account is not None

    sql, values = drive.search._statement(
        account, compile_sql(parse_query(q)), [search.NEWEST_FIRST, ("f.n", True)], None
    )

    plan = [row[3] for row in drive.database.rows(f"EXPLAIN QUERY PLAN {sql}", *values)]
    assert any(index in step for step in plan), plan
    assert not any(step.startswith("SCAN") for step in plan), plan


def test_the_full_text_is_that_of_name_description_and_content(alice: Any) -> None:
    def upload(name: str, content: bytes, mime_type: str, **body: str) -> None:
        media = MediaInMemoryUpload(content, mimetype=mime_type)
        alice.files().create(body={"name": name, **body}, media_body=media).execute()

    upload("letter", b"Dear Aunt, we have arrived.", "text/plain")
    upload("long", b"padding " * 20_000 + b"needle", "application/json")
    upload("picture", b"aunt", "image/png")
    upload("plain", b"", "text/plain", description="From our aunt")

    assert sorted(found(alice, "fullText contains 'aunt'")) == ["letter", "plain"]
    assert found(alice, "fullText contains '\"have arrived\"'") == ["letter"]
    assert found(alice, "fullText contains 'needle'") == ["long"]
    assert found(alice, "fullText contains 'picture'") == ["picture"]


@pytest.mark.parametrize(
    "q", ["fullText contains 'x'", "trashed = false and not (name = 'x' or fullText contains 'y')"]
)
def test_what_is_searched_for_in_texts_is_not_sorted(raw: Callable[..., Raw], q: str) -> None:
    answer = raw()("GET", f"{FILES}?orderBy=name&q={quote(q)}")

    assert (answer.status, answer.reason) == (400, "badRequest")
    assert answer.json["error"]["errors"][0]["location"] == "orderBy"


def test_shortcuts_are_found_by_what_they_lead_to(alice: Any, raw: Callable[..., Raw]) -> None:
    target = create(alice, "target")
    shortcut = {"mimeType": "application/vnd.google-apps.shortcut", "shortcutDetails": {"targetId": target}}
    alice.files().create(body={"name": "shortcut", **shortcut}).execute()

    assert found(alice, f"shortcutDetails.targetId = '{target}'") == ["shortcut"]
    assert found(alice, f"shortcutDetails.targetId != '{target}'") == []
    assert found(alice, f"not shortcutDetails.targetId = '{target}'") == ["target"]
    assert raw()("GET", f"{FILES}?q=" + quote("shortcutDetails.targetId contains 'x'")).status == 400


def test_a_page_size_out_of_range_is_told_the_range(raw: Callable[..., Raw]) -> None:
    message = raw()("GET", f"{FILES}?pageSize=0").json["error"]["message"]

    assert message == "Invalid value '0'. Values must be within the range: [1, 1000]"


@pytest.mark.parametrize(
    ("query", "status", "reason"),
    [
        ("corpora=drive", 403, "forbidden"),
        ("corpora=allDrives", 403, "forbidden"),
        ("driveId=0AX&corpora=drive", 403, "forbidden"),
        ("corpora=drive&includeItemsFromAllDrives=true", 403, "teamDriveIdRequiresTeamDriveCorpora"),
        ("driveId=0AX&includeItemsFromAllDrives=true", 403, "teamDriveIdRequiresTeamDriveCorpora"),
        ("driveId=0AX&corpora=drive&includeItemsFromAllDrives=true", 404, "notFound"),
        ("corpora=domain", 400, "invalid"),
    ],
)
def test_there_is_no_shared_drive_to_search_in(raw: Callable[..., Raw], query: str, status: int, reason: str) -> None:
    answer = raw()("GET", f"{FILES}?supportsAllDrives=true&{query}")

    assert (answer.status, answer.reason) == (status, reason)


def test_all_drives_are_those_that_there_are(alice: Any) -> None:
    create(alice, "mine")
    listed = alice.files().list(corpora="allDrives", includeItemsFromAllDrives=True, supportsAllDrives=True).execute()

    assert [file["name"] for file in listed["files"]] == ["mine"]
