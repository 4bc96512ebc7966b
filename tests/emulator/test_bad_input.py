"""Whatever comes in: never a 500, errors in Google's shape, and no error that changed anything."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import quote_from_bytes

import pytest
from emulator_steps import ALICE, BOB, FILES, FOLDER, Raw, create
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from drive_emulator import DriveEmulator
from drive_emulator.server import EmulatorServer

UPLOAD = f"/upload{FILES}"
PATHS = (
    *("/drive/v3/about", "/drive/v3/changes", "/drive/v3/changes/startPageToken", FILES, f"{FILES}/generateIds"),
    *(f"{FILES}/{{id}}", f"{FILES}/{{id}}/copy", f"{FILES}/{{id}}/permissions", f"{FILES}/{{id}}/permissions/{{id}}"),
    *(f"{FILES}/{{id}}/revisions", f"{FILES}/{{id}}/revisions/{{id}}", UPLOAD, f"{UPLOAD}/{{id}}"),
    *("/batch/drive/v3", "/batch", "/token", "/", "/drive/v3", "/drive/v3/files/", "/emulator/faults"),
    *("/emulator/behaviour", "/emulator/advance", "/emulator/touch", "/emulator/seed", "/emulator/tokens"),
)
PARAMETERS = (
    *("q", "fields", "pageToken", "pageSize", "orderBy", "alt", "uploadType", "upload_id", "addParents", "corpora"),
    *("removeParents", "count", "includeRemoved", "transferOwnership", "sendNotificationEmail", "access_token"),
)
PLAUSIBLE = (
    *("", "*", "id", "files(id)", "media", "multipart", "resumable", "true", "1", "1000", "name desc", "root", "user"),
    *("name = 'x'", "'root' in parents", "trashed=false", "nextPageToken,files(id,name)", ALICE, "0" * 19),
)
HEADERS = {
    "Content-Range": ("bytes 0-0/1", "bytes */*", "bytes 0-262143/*", "bytes 9-1/5"),
    "Content-Type": ("application/json", "multipart/related; boundary=b", "multipart/mixed; boundary=b", "½", "a/b"),
    "Range": ("bytes=0-", "bytes=-1", "bytes=5-1", "bytes=99999999999999999999-"),
    "X-HTTP-Method-Override": ("GET", "PATCH", "DELETE", "NONSENSE"),
    "X-Upload-Content-Length": ("1", "-1", "9" * 30),
    "X-Upload-Content-Type": ("text/plain", "½"),
    "Authorization": ("Bearer", "Basic x", "Bearer ½", f"bearer {BOB}", f"Bearer {ALICE} "),
}
FIELDS = (
    *("id", "name", "mimeType", "parents", "properties", "appProperties", "createdTime", "modifiedTime", "starred"),
    *("trashed", "role", "type", "emailAddress", "domain", "shortcutDetails", "writersCanShare", "description"),
    *("kind", "seconds", "seed", "email", "status", "rate", "delay_seconds", "size"),
)

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=True)
    | st.text(max_size=40)
    | st.sampled_from(
        (FOLDER, "root", "reader", "writer", "owner", "user", "anyone", BOB, "2020-01-01T00:00:00Z", "error")
    ),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=10), values, max_size=3),
    max_leaves=6,
)
json_bodies = st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=4).map(
    lambda body: json.dumps(body).encode()
)
multipart_bodies = st.tuples(st.binary(max_size=60) | json_bodies, st.binary(max_size=60)).map(
    lambda parts: b"--b\r\nContent-Type: a/b\r\n\r\n" + parts[0] + b"\n--b\n\n" + parts[1] + b"\r\n--b--"
)
bodies = (
    st.none()
    | st.binary(max_size=200)
    | json_bodies
    | json_values.map(lambda v: json.dumps(v).encode())
    | multipart_bodies
)
queries = st.lists(
    st.tuples(st.sampled_from(PARAMETERS), st.sampled_from(PLAUSIBLE).map(str.encode) | st.binary(max_size=30)),
    max_size=4,
)
headers = st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in HEADERS.items()})
ids = st.sampled_from(("root", "trash", "FILE", "FOLDER", "..", "%2e%2e%2f", "x" * 300, "%00", "1" * 33)) | st.binary(
    min_size=1, max_size=20
).map(quote_from_bytes)


@pytest.fixture(scope="module")
def ground(shared_emulator: DriveEmulator) -> dict[str, str]:
    """A file in a folder, so that some requests find something."""
    shared_emulator.reset()
    alice = Raw(shared_emulator.port, ALICE)
    folder = alice("POST", FILES, {"name": "folder", "mimeType": FOLDER}).json["id"]
    file = alice("POST", FILES, {"name": "file", "parents": [folder]}).json["id"]
    share = {"type": "user", "role": "writer", "emailAddress": BOB}
    assert alice("POST", f"{FILES}/{folder}/permissions", share).status == 200
    alice.close()
    return {"FOLDER": folder, "FILE": file}


def state(emulator: DriveEmulator) -> list[Any]:
    """Everything that is stored, tokens and accounts excepted: those come into being by calling."""
    assert emulator._server is not None
    database = emulator._server.drive.database
    tables = ("file", "permission", "view", "late", "blob", "upload")
    return [database.rows(f"SELECT * FROM {table} ORDER BY 1, 2") for table in tables]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    verb=st.sampled_from(("GET", "POST", "PATCH", "PUT", "DELETE", "HEAD", "OPTIONS", "BREW")),
    path=st.sampled_from(PATHS),
    file_id=ids,
    query=queries,
    extra=headers,
    body=bodies,
)
@example("POST", "/emulator/advance", "x", [], {}, b'{"seconds": 1e300}')
@example("POST", "/emulator/seed", "x", [], {}, b'{"seed": 1e400}')
@example("POST", "/emulator/seed", "x", [], {}, b'{"seed": 1%s}' % (b"0" * 400))
@example("GET", f"{FILES}/{{id}}", "%ED%A0%80", [], {}, None)
@example("POST", "/emulator/faults", "x", [], {"X-HTTP-Method-Override": "GET"}, b"{}")
@example("POST", FILES, "x", [], {}, b'{"name": "\\ud800"}')
@example("POST", FILES, "x", [], {}, b'{"createdTime": "0001-01-01T00:00:00+23:59"}')
@example("POST", FILES, "x", [], {}, b'{"properties": {"a": 1e999}}')
@example("POST", FILES, "x", [], {}, json.dumps({"name": "x" * 40_000}).encode())
@example("POST", FILES, "x", [], {}, b"[" * 100_000)
@example("GET", FILES, "x", [("pageToken", b"W1sxZTk5OV0sIiIsIiJd")], {}, None)
def test_no_request_breaks_the_emulator_nor_does_a_refused_one_change_anything(  # noqa: PLR0917
    shared_emulator: DriveEmulator,
    ground: dict[str, str],
    verb: str,
    path: str,
    file_id: str,
    query: list[tuple[str, bytes]],
    extra: dict[str, str],
    body: bytes | None,
) -> None:
    alice = Raw(shared_emulator.port, ALICE)
    if path.startswith("/emulator"):
        extra = {**extra, "Authorization": f"Bearer {shared_emulator.control_token}"}
    if alice("GET", f"{FILES}/{ground['FILE']}").status != 200:
        ground.update(ground_again(alice))
    before = state(shared_emulator)
    target = path.replace("{id}", ground.get(file_id, file_id))
    parameters = "&".join(f"{name}={quote_from_bytes(value)}" for name, value in query)
    extra = {name: value.encode("utf-8").decode("latin-1") for name, value in extra.items()}

    try:
        answer = alice(verb, f"{target}?{parameters}", body, extra)
    finally:
        alice.close()
    shared_emulator.clear_faults()

    assert answer.status < 500 or (answer.status == 503 and path.startswith("/upload")), answer.body
    if answer.status >= 400 and answer.status != 499:
        assert state(shared_emulator) == before
        if verb != "HEAD" and path != "/token":
            error = answer.json["error"]
            assert error["code"] == answer.status
            assert error["errors"][0]["reason"]


def ground_again(alice: Raw) -> dict[str, str]:
    folder = alice("POST", FILES, {"name": "folder", "mimeType": FOLDER}).json["id"]
    return {"FOLDER": folder, "FILE": alice("POST", FILES, {"name": "file", "parents": [folder]}).json["id"]}


@pytest.mark.parametrize(
    "junk", [b"\x00\x01\x02", b"GET\r\n\r\n", b"NONSENSE / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\nA\r\n\r\n"]
)
def test_what_is_no_http_gets_a_google_shaped_400(emulator: DriveEmulator, junk: bytes) -> None:
    with socket.create_connection(("127.0.0.1", emulator.port), timeout=10) as connection:
        connection.sendall(junk)
        answer = b""
        while chunk := connection.recv(4096):
            answer += chunk

    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"\r\nDate: " in head
    assert json.loads(body)["error"]["code"] == 400


@pytest.mark.parametrize("verb", ["PUT", "DELETE", "POST"])
def test_a_known_path_with_another_verb_is_404(raw: Callable[..., Raw], verb: str) -> None:
    assert raw()(verb, "/drive/v3/about").status == 404


def test_what_is_not_served_is_told_from_what_is_not_there(alice: Any, raw: Callable[..., Raw]) -> None:
    file = create(alice, "x")
    answer = raw()("GET", f"{FILES}/{file}/comments?fields=*")

    assert (answer.status, answer.reason) == (404, "notFound")
    assert answer.json["error"]["message"] == f"Not Found: the emulator does not serve GET {FILES}/{file}/comments"


def test_the_control_plane_is_off_unless_asked_for() -> None:
    server = EmulatorServer()
    server.start()
    try:
        connection = Raw(server.port, ALICE)
        assert connection("GET", "/emulator/stats").status == 404
        connection.close()
    finally:
        server.stop()
