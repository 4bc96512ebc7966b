"""What clients other than Python's send: Go, rclone, Java, Ruby, R."""

from __future__ import annotations

import gzip
import json
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest
from emulator_steps import ALICE, BOB, FILES, create, folder, get, share

from drive_emulator import DriveEmulator
from drive_emulator.metadata import Metadata

UPLOAD = "/upload/drive/v3/files"
PIECE = 300_000  # no multiple of 262,144
CONTENT = bytes(range(256)) * 3_000


def begin(raw: Any, path: str = f"{UPLOAD}?uploadType=resumable", verb: str = "POST", **headers: str) -> str:
    answer = raw(verb, path, {"name": "large"} if verb == "POST" else {}, headers)
    assert answer.status == 200
    parts = urlsplit(answer.headers["Location"])
    return f"{parts.path}?{parts.query}"


def send_pieces(raw: Any, uri: str, verb: str, headers: dict[str, str] | None = None) -> list[Any]:
    total, answers = len(CONTENT), []
    for start in range(0, total, PIECE):
        piece = CONTENT[start : start + PIECE]
        content_range = f"bytes {start}-{start + len(piece) - 1}/{total}"
        answers.append(raw(verb, uri, piece, {"Content-Range": content_range, **(headers or {})}))
    return answers


def content(raw: Any, file_id: str) -> bytes:
    body: bytes = raw("GET", f"{FILES}/{file_id}?alt=media").body
    return body


@pytest.mark.parametrize("verb", ["POST", "PUT"])
def test_pieces_of_any_length_come_by_post_as_well(raw, emulator: DriveEmulator, verb: str) -> None:
    alice = raw(ALICE)
    answers = send_pieces(alice, begin(alice), verb)
    assert [answer.status for answer in answers] == [308, 308, 200]
    file_id = answers[-1].json["id"]
    assert content(alice, file_id) == CONTENT
    answers = send_pieces(alice, begin(alice, f"{UPLOAD}/{file_id}?uploadType=resumable", "PATCH"), verb)
    assert (answers[-1].status, answers[-1].json["id"]) == (200, file_id)
    pieces = [request for request in emulator.requests() if "upload_id" in request["query"]]
    assert {(request["method"], request["units"]) for request in pieces} == {("uploads.put", 0)}


def test_a_small_piece_that_is_not_the_last_is_refused(raw) -> None:
    alice = raw(ALICE)
    answer = alice("PUT", begin(alice), b"x" * 1000, {"Content-Range": "bytes 0-999/5000"})
    assert answer.status == 400


def test_a_client_may_ask_for_no_308(raw) -> None:
    alice = raw(ALICE)
    first, *_, last = send_pieces(alice, begin(alice), "POST", {"X-GUploader-No-308": "yes"})
    assert (first.status, first.headers["X-HTTP-Status-Code-Override"]) == (200, "308")
    assert first.headers["Range"] == f"bytes=0-{PIECE - 1}"
    assert "X-HTTP-Status-Code-Override" not in last.headers
    assert last.json["name"] == "large"


def test_a_session_s_uri_needs_no_authorization(raw) -> None:
    uri = begin(raw(ALICE))
    assert send_pieces(raw(None), uri, "PUT")[-1].json["name"] == "large"
    assert raw(None)("PUT", f"{UPLOAD}?upload_id=unknown", b"").status == 404


def test_bodies_may_be_gzipped(raw) -> None:
    alice, headers = raw(ALICE), {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    answer = alice("POST", FILES, gzip.compress(json.dumps({"name": "zipped"}).encode()), headers)
    assert (answer.status, answer.json["name"]) == (200, "zipped")
    uri = begin(alice)
    answer = alice("PUT", uri, gzip.compress(CONTENT), {"Content-Encoding": "gzip"})
    assert (answer.status, content(alice, answer.json["id"])) == (200, CONTENT)
    simple = alice("POST", f"{UPLOAD}?uploadType=media", gzip.compress(CONTENT), {"Content-Encoding": "gzip"})
    assert content(alice, simple.json["id"]) == CONTENT


def test_every_body_may_be_gzipped_and_in_several_streams(raw, alice) -> None:
    create(alice, "x")

    def send(path: str, body: bytes, **headers: str) -> Any:
        zipped = gzip.compress(body[:9]) + gzip.compress(body[9:])
        return raw(ALICE)("POST", path, zipped, {"Content-Encoding": "gzip", **headers})

    call = b"--b\r\nContent-Type: application/http\r\n\r\nGET /drive/v3/files\r\n\r\n--b--"
    assert b'"name":"x"' in send("/batch/drive/v3", call, **{"Content-Type": "multipart/mixed; boundary=b"}).body
    assert send("/token", b"grant_type=refresh_token").json["error"] == "invalid_grant"
    assert send(FILES, b"fields=files(name)", **{"X-HTTP-Method-Override": "GET"}).json == {"files": [{"name": "x"}]}
    assert send(FILES, b'{"name": "zipped"}').json["name"] == "zipped"


@pytest.mark.parametrize("headers", [{}, {"X-Goog-Upload-Command": "upload, finalize"}], ids=["PUT", "Ruby's"])
def test_a_body_of_unknown_length_is_the_whole_upload(raw, headers: dict[str, str]) -> None:
    alice = raw(ALICE)
    answer = alice("PUT", begin(alice), iter((CONTENT[:PIECE], CONTENT[PIECE:])), headers)
    assert (answer.status, content(alice, answer.json["id"])) == (200, CONTENT)


@pytest.mark.parametrize("body", [b"no gzip", gzip.compress(b"{}" * 1000)[:-9]], ids=["no gzip", "cut off"])
def test_a_body_that_is_no_gzip_is_refused(raw, body: bytes) -> None:
    assert raw(ALICE)("POST", FILES, body, {"Content-Encoding": "gzip"}).status == 400


@pytest.mark.parametrize("wish", ["HTTP2-Settings\r\nUpgrade: h2c", "Upgrade\r\nUpgrade: TLS/1.2"], ids=["h2c", "TLS"])
@pytest.mark.parametrize("cut", [0, 2, 21], ids=["at once", "within the body", "before the body"])
def test_who_would_rather_speak_another_protocol_is_answered_in_this_one(
    emulator: DriveEmulator, wish: str, cut: int
) -> None:
    """Java's own HTTP client asks for HTTP/2 so, and Apache's for TLS."""
    body = json.dumps({"name": "from Java"})
    head = (
        f"POST {FILES} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {ALICE}\r\nConnection: Upgrade, {wish}\r\n"
    )
    sent = f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()
    with socket.create_connection(("127.0.0.1", emulator.port), timeout=30) as connection:
        connection.sendall(sent[: len(sent) - cut])
        connection.sendall(sent[len(sent) - cut :])
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answers = b"".join(iter(lambda: connection.recv(65_536), b""))

    assert answers.count(b"HTTP/1.1 200 OK") == 2
    assert [file.name for file in emulator.files()] == ["from Java"]


def test_the_newer_upload_protocol_of_ruby_s_client(raw) -> None:
    alice = raw(ALICE)
    start = {"X-Goog-Upload-Protocol": "resumable", "X-Goog-Upload-Command": "start"}
    answer = alice("POST", UPLOAD, {"name": "ruby"}, {**start, "X-Goog-Upload-Header-Content-Type": "text/x-ruby"})
    assert (answer.status, answer.headers["X-Goog-Upload-Status"]) == (200, "active")
    parts = urlsplit(answer.headers["X-Goog-Upload-URL"])
    uri = f"{parts.path}?{parts.query}"
    answer = alice("POST", uri, CONTENT[:PIECE], {"X-Goog-Upload-Command": "upload", "X-Goog-Upload-Offset": "0"})
    assert (answer.status, answer.headers["X-Goog-Upload-Size-Received"]) == (200, str(PIECE))
    answer = alice("POST", uri, None, {"X-Goog-Upload-Command": "query", "Content-Length": "0"})
    assert answer.headers["X-Goog-Upload-Size-Received"] == str(PIECE)
    finish = {"X-Goog-Upload-Command": "upload, finalize", "X-Goog-Upload-Offset": str(PIECE)}
    answer = alice("POST", uri, CONTENT[PIECE:], finish)
    assert (answer.headers["X-Goog-Upload-Status"], answer.json["mimeType"]) == ("final", "text/x-ruby")
    assert content(alice, answer.json["id"]) == CONTENT


def test_one_parent_may_stand_without_its_list(raw, alice) -> None:
    parent = folder(alice, "parent")
    answer = raw(ALICE)("POST", f"{FILES}?fields=parents", {"name": "from R", "parents": parent})
    assert answer.json["parents"] == [parent]


def test_files_are_ordered_as_asked(alice) -> None:
    for name in ("n10", "N2", "n1", "m"):
        create(alice, name)
    query = {"q": "mimeType = 'text/plain'", "fields": "files(name)"}

    def names(order: str) -> list[str]:
        return [file["name"] for file in alice.files().list(orderBy=order, **query).execute()["files"]]

    assert names("name_natural") == ["m", "n1", "N2", "n10"]
    assert names("name_natural desc") == ["n10", "N2", "n1", "m"]
    assert names("name asc") == names("name") == ["m", "n1", "n10", "N2"]


def test_an_owner_s_file_moves_with_a_parent_added_and_a_stranger_s_does_not(raw, alice, bob) -> None:
    here, there = folder(alice, "here"), folder(alice, "there")
    file_id = create(alice, "f", here)
    moved = raw(ALICE)("PATCH", f"{FILES}/{file_id}?addParents={there}&fields=parents", {})
    assert moved.json["parents"] == [there]
    share(alice, file_id, BOB)
    own = folder(bob, "bob's")
    refused = raw(BOB)("PATCH", f"{FILES}/{file_id}?addParents={own}", {})
    assert (refused.status, refused.reason) == (403, "cannotAddParent")


def test_a_file_has_one_parent_and_no_folder_lies_in_itself(raw, alice) -> None:
    one, other = folder(alice, "one"), folder(alice, "other")
    refused = raw(ALICE)("POST", FILES, {"name": "f", "parents": [one, other]})
    assert (refused.status, refused.reason) == (403, "cannotAddParent")
    below = folder(alice, "below", one)
    assert raw(ALICE)("PATCH", f"{FILES}/{one}?addParents={below}", {}).status == 400


def test_a_personal_account_has_no_shared_drives(raw) -> None:
    assert raw(ALICE)("GET", "/drive/v3/drives").json == {"kind": "drive#driveList", "drives": []}
    assert raw(ALICE)("GET", "/drive/v3/drives?fields=nextPageToken,drives(id)").json == {"drives": []}
    assert raw(ALICE)("GET", "/drive/v3/drives?fields=nothing").reason == "invalidParameter"
    assert raw(ALICE)("GET", "/drive/v3/drives?pageSize=0").reason == "invalidParameter"
    missing = raw(ALICE)("GET", "/drive/v3/drives/0AX")
    assert (missing.status, missing.reason) == (404, "notFound")
    assert missing.json["error"]["message"] == "Shared drive not found: 0AX"


def test_a_shortcut_needs_a_target_and_tells_its_type(raw, alice) -> None:
    shortcut = {"name": "s", "mimeType": "application/vnd.google-apps.shortcut"}
    assert raw(ALICE)("POST", FILES, shortcut).status == 400
    assert raw(ALICE)("POST", FILES, {**shortcut, "shortcutDetails": None}).status == 400
    assert raw(ALICE)("POST", FILES, {**shortcut, "shortcutDetails": {"targetId": "none"}}).status == 404
    target = create(alice, "target")
    made = raw(ALICE)("POST", f"{FILES}?fields=shortcutDetails", {**shortcut, "shortcutDetails": {"targetId": target}})
    assert made.json["shortcutDetails"] == {"targetId": target, "targetMimeType": "text/plain"}


def test_the_target_of_a_shortcut_does_not_change(raw, alice) -> None:
    one, other = create(alice, "one"), create(alice, "other")
    shortcut = create(alice, "s", mime_type="application/vnd.google-apps.shortcut", shortcutDetails={"targetId": one})
    held = get(alice, shortcut)["shortcutDetails"]

    assert raw(ALICE)("PATCH", f"{FILES}/{shortcut}", {"shortcutDetails": {"targetId": one}}).status == 200
    assert raw(ALICE)("PATCH", f"{FILES}/{shortcut}", {"name": "same", "shortcutDetails": held}).status == 200
    for details in ({"targetId": other}, None):
        changed = raw(ALICE)("PATCH", f"{FILES}/{shortcut}", {"shortcutDetails": details})
        assert (changed.status, changed.reason) == (403, "fieldNotWritable")
    assert raw(ALICE)("PATCH", f"{FILES}/{one}", {"shortcutDetails": {"targetId": other}}).reason == "fieldNotWritable"
    assert "shortcutDetails" not in get(alice, create(alice, "no shortcut", shortcutDetails={"targetId": one}))
    assert get(alice, shortcut)["shortcutDetails"] == held


def test_a_page_above_the_maximum_is_as_large_as_there_is(raw, alice) -> None:
    create(alice, "f")
    assert raw(ALICE)("GET", f"{FILES}?pageSize=5000").status == 200
    assert raw(ALICE)("GET", f"{FILES}?pageSize=0").status == 400


def test_a_page_of_no_given_size_has_the_documented_one(alice, emulator: DriveEmulator) -> None:
    token = alice.changes().getStartPageToken().execute()["startPageToken"]
    drive = emulator._server.drive
    account = drive.accounts.get(ALICE)
    with drive.database.transaction():
        names = [drive.files.create(account, Metadata(name=str(number)), None).id for number in range(101)]
        for number in range(101):
            grant = {"type": "group", "role": "reader", "emailAddress": f"{number}@example.com"}
            drive.permissions.create(account, names[0], grant, transfer_ownership=False)

    assert len(alice.files().list().execute()["files"]) == 100
    assert len(alice.changes().list(pageToken=token).execute()["changes"]) == 100
    shared = alice.permissions().list(fileId=names[0]).execute()  # outside of shared drives, all at once
    assert (len(shared["permissions"]), "nextPageToken" in shared) == (102, False)
    page = alice.permissions().list(fileId=names[0], pageSize=101).execute()
    assert (len(page["permissions"]), "nextPageToken" in page) == (100, True)


def test_the_emulator_says_that_it_is_there(raw) -> None:
    answer = raw(None)("GET", "/health")
    assert (answer.status, answer.json) == (200, {"status": "ok"})


def test_version_2_tells_the_etag_which_changes_with_the_file(raw, alice) -> None:
    top = folder(alice, "top")
    file_id = create(alice, "f", top)
    first = raw(ALICE)("GET", f"/drive/v2/files/{file_id}").json
    assert (first["title"], first["labels"]["trashed"], first["fileSize"]) == ("f", False, "0")
    assert [parent["id"] for parent in first["parents"]] == [top]
    headers = {"If-Match": first["etag"], "Content-Type": "text/plain"}
    assert raw(ALICE)("PATCH", f"{UPLOAD}/{file_id}?uploadType=media", b"x", headers).status == 200
    assert raw(ALICE)("GET", f"/drive/v2/files/{file_id}").json["etag"] != first["etag"]
    assert raw(BOB)("GET", f"/drive/v2/files/{file_id}").status == 404
