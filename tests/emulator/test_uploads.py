from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from emulator_steps import ALICE, BOB, FILES, Raw, create, folder, get, refusal, share
from googleapiclient.http import MediaInMemoryUpload, MediaIoBaseUpload

from drive_emulator import DriveEmulator

KIB = 1024
PIECE = 256 * KIB
UPLOAD = f"/upload{FILES}"


def begin(raw: Raw, body: Any = None, **headers: str) -> str:
    """Begin a resumable upload and return the path of its session."""
    answer = raw("POST", f"{UPLOAD}?uploadType=resumable&fields=*", body or {"name": "large"}, headers)
    assert answer.status == 200, answer.body
    parts = urlsplit(answer.headers["Location"])
    return f"{parts.path}?{parts.query}"


def put(raw: Raw, session: str, content: bytes, content_range: str) -> Any:
    return raw("PUT", session, content, {"Content-Range": content_range})


@pytest.mark.parametrize("size", [0, 1, 64 * KIB, 64 * KIB + 1, 3 * PIECE, 3 * PIECE + 7])
@pytest.mark.parametrize("resumable", [False, True])
def test_what_goes_up_comes_down_again(alice: Any, size: int, resumable: bool) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    media = MediaIoBaseUpload(io.BytesIO(content[:size]), "image/png", chunksize=PIECE, resumable=resumable)

    file = alice.files().create(body={"name": "x"}, media_body=media, fields="*").execute()

    assert (file["name"], file["mimeType"], file["size"]) == ("x", "image/png", str(size))
    assert alice.files().get_media(fileId=file["id"]).execute() == content[:size]


def test_json_comes_back_verbatim(alice: Any) -> None:
    content = b'{ "a":1,\n\t"b" : [ ]}\r\n'
    media = MediaInMemoryUpload(content, mimetype="application/json")

    file = alice.files().create(body={}, media_body=media).execute()["id"]

    assert alice.files().get_media(fileId=file).execute() == content


def test_metadata_says_what_a_file_is_before_the_content_does(alice: Any) -> None:
    media = MediaInMemoryUpload(b"x", mimetype="text/plain")

    assert alice.files().create(body={"mimeType": "text/csv"}, media_body=media).execute()["mimeType"] == "text/csv"


def test_a_simple_upload_has_no_metadata(raw: Callable[..., Raw]) -> None:
    answer = raw()("POST", f"{UPLOAD}?uploadType=media", b"hello", {"Content-Type": "text/plain"})

    assert (answer.json["name"], answer.json["mimeType"]) == ("Untitled", "text/plain")


def test_new_content_may_come_in_pieces(alice: Any) -> None:
    file = create(alice, "x")
    media = MediaIoBaseUpload(io.BytesIO(b"y" * (PIECE + 1)), "text/plain", chunksize=PIECE, resumable=True)

    after = alice.files().update(fileId=file, media_body=media, body={"name": "y"}, fields="*").execute()

    assert (after["id"], after["name"], after["size"]) == (file, "y", str(PIECE + 1))


def test_a_session_says_how_far_it_has_come_and_takes_the_rest(raw: Callable[..., Raw]) -> None:
    alice = raw()
    session = begin(alice, **{"X-Upload-Content-Type": "text/css"})
    total = 2 * PIECE + 5

    assert alice("PUT", session, b"", {"Content-Range": f"bytes */{total}"}).headers.get("Range") is None
    first = put(alice, session, b"a" * PIECE, f"bytes 0-{PIECE - 1}/{total}")
    asked = alice("PUT", session, b"", {"Content-Range": f"bytes */{total}"})
    second = put(alice, session, b"b" * PIECE, f"bytes {PIECE}-{2 * PIECE - 1}/{total}")
    last = put(alice, session, b"c" * 5, f"bytes {2 * PIECE}-{total - 1}/{total}")
    again = alice("PUT", session, b"", {"Content-Range": f"bytes */{total}"})

    assert (first.status, first.headers["Range"]) == (308, f"bytes=0-{PIECE - 1}")
    assert (asked.status, asked.headers["Range"]) == (308, f"bytes=0-{PIECE - 1}")
    assert (second.status, second.headers["Range"]) == (308, f"bytes=0-{2 * PIECE - 1}")
    assert (last.status, last.json["size"], last.json["mimeType"]) == (200, str(total), "text/css")
    assert (again.status, again.json["id"]) == (200, last.json["id"])


def test_a_size_may_stay_unknown_until_the_last_piece(raw: Callable[..., Raw]) -> None:
    alice = raw()
    session = begin(alice)

    assert put(alice, session, b"a" * PIECE, f"bytes 0-{PIECE - 1}/*").status == 308
    assert put(alice, session, b"b", f"bytes {PIECE}-{PIECE}/{PIECE + 1}").json["size"] == str(PIECE + 1)


def test_a_whole_body_needs_no_range(raw: Callable[..., Raw]) -> None:
    alice = raw()

    assert alice("PUT", begin(alice), b"all of it").json["size"] == "9"


def test_a_piece_that_comes_twice_counts_once(raw: Callable[..., Raw]) -> None:
    alice = raw()
    session = begin(alice)
    total = 2 * PIECE
    put(alice, session, b"a" * PIECE, f"bytes 0-{PIECE - 1}/{total}")

    put(alice, session, b"a" * PIECE, f"bytes 0-{PIECE - 1}/{total}")
    done = put(alice, session, b"b" * PIECE, f"bytes {PIECE}-{total - 1}/{total}")

    content = alice("GET", f"{FILES}/{done.json['id']}?alt=media").body
    assert content == b"a" * PIECE + b"b" * PIECE


def test_nothing_is_visible_until_the_last_byte(emulator: DriveEmulator, raw: Callable[..., Raw]) -> None:
    alice = raw()
    put(alice, begin(alice), b"a" * PIECE, f"bytes 0-{PIECE - 1}/{2 * PIECE}")

    assert emulator.files() == []


def test_a_cancelled_session_is_gone(raw: Callable[..., Raw]) -> None:
    alice = raw()
    session = begin(alice)

    assert alice("DELETE", session).status == 499
    assert put(alice, session, b"x", "bytes 0-0/1").status == 404


def test_a_session_belongs_to_who_began_it(raw: Callable[..., Raw]) -> None:
    session = begin(raw())

    assert put(raw(BOB), session, b"x", "bytes 0-0/1").status == 404


def test_put_on_an_upload_path_without_a_session_is_404(alice: Any, raw: Callable[..., Raw]) -> None:
    file = create(alice, "x")

    assert raw()("PUT", f"{UPLOAD}/{file}?uploadType=media", b"x").status == 404
    assert raw()("PUT", f"{UPLOAD}/{file}?uploadType=multipart", b"x").status == 404
    assert raw()("PUT", f"{UPLOAD}?uploadType=resumable&upload_id=made-up", b"x").status == 404


@pytest.mark.parametrize(
    "content_range",
    [
        "bytes 5-9/20",
        "bytes 0-9/5",
        "bytes 9-0/20",
        "bytes 0-4/20",
        "bytes 0-9/*",
        "bytes x",
        "0-9/10",
        "bytes 0-8/9",
        "bytes 0-10/11",
        "bytes 0-9/99999999999999999",
        "bytes -/",
    ],
)
def test_a_range_that_makes_no_sense_is_refused(
    emulator: DriveEmulator, raw: Callable[..., Raw], content_range: str
) -> None:
    alice = raw()
    session = begin(alice)

    answer = put(alice, session, b"0123456789", content_range)

    assert answer.status == 400
    assert emulator.files() == []


@pytest.mark.parametrize(("content", "content_range"), [(b"", "bytes */10"), (b"a" * 10, "bytes 0-9/10")])
def test_an_upload_cannot_end_before_what_it_has(
    emulator: DriveEmulator, raw: Callable[..., Raw], content: bytes, content_range: str
) -> None:
    alice = raw()
    session = begin(alice)
    put(alice, session, b"a" * PIECE, f"bytes 0-{PIECE - 1}/*")

    assert put(alice, session, content, content_range).status == 400
    assert emulator.files() == []
    assert put(alice, session, b"", f"bytes */{PIECE}").json["size"] == str(PIECE)


def test_a_session_outlives_the_process(tmp_path: Path, raw: Callable[..., Raw]) -> None:
    with DriveEmulator(data=tmp_path) as first:
        alice = raw(at=first)
        session = begin(alice)
        put(alice, session, b"a" * PIECE, f"bytes 0-{PIECE - 1}/{PIECE + 1}")

    with DriveEmulator(data=tmp_path) as second:
        done = put(raw(at=second), session, b"b", f"bytes {PIECE}-{PIECE}/{PIECE + 1}")

        assert done.json["size"] == str(PIECE + 1)
        assert second.files()[0].content == b"a" * PIECE + b"b"


def test_a_folder_lost_during_the_upload_ends_it(alice: Any, raw: Callable[..., Raw]) -> None:
    inbox = folder(alice, "inbox")
    session = begin(raw(), {"name": "x", "parents": [inbox]})
    alice.files().delete(fileId=inbox).execute()

    assert put(raw(), session, b"x", "bytes 0-0/1").status == 404
    assert put(raw(), session, b"x", "bytes 0-0/1").status == 404


def test_a_reader_cannot_replace_content(alice: Any, bob: Any) -> None:
    file = create(alice, "x")
    share(alice, file, BOB, "reader")

    call = bob.files().update(fileId=file, media_body=MediaInMemoryUpload(b"new"))
    assert refusal(call) == (403, "insufficientFilePermissions")
    assert get(alice, file)["size"] == "0"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/related; boundary=b", b""),
        ("multipart/related; boundary=b", b"--b\r\n\r\n{}\r\n--b--"),
        ("multipart/related; boundary=b", b"--b\r\n\r\n{\r\n--b\r\n\r\nx\r\n--b--"),
        ("multipart/related; boundary=b", b"--b\r\n\r\n[]\r\n--b\r\n\r\nx\r\n--b--"),
        ("multipart/related; boundary=b", b"--b\r\n\r\n{}\r\n--b\r\n\r\nx"),
        ("multipart/related", b"--b\r\n\r\n{}\r\n--b\r\n\r\nx\r\n--b--"),
        ("application/json", b"{}"),
        ("multipart/related; boundary=b", b'--b\r\n\r\n{"name":"\\ud800"}\r\n--b\r\n\r\nx\r\n--b--'),
        ("multipart/related; boundary=b", b"--b\r\n\r\n" + b"[" * 100_000 + b"\r\n--b\r\n\r\nx\r\n--b--"),
    ],
)
def test_a_malformed_multipart_body_stores_nothing(
    emulator: DriveEmulator, raw: Callable[..., Raw], content_type: str, body: bytes
) -> None:
    answer = raw()("POST", f"{UPLOAD}?uploadType=multipart", body, {"Content-Type": content_type})

    assert answer.status == 400
    assert answer.reason
    assert emulator.files() == []


def test_a_folder_has_no_content(alice: Any) -> None:
    body = {"mimeType": "application/vnd.google-apps.folder"}

    assert refusal(alice.files().create(body=body, media_body=MediaInMemoryUpload(b"x")))[0] == 400
    call = alice.files().update(fileId=folder(alice, "f"), media_body=MediaInMemoryUpload(b"x"))
    assert refusal(call)[0] == 400


def test_an_upload_that_breaks_off_leaves_no_file_behind(tmp_path: Path, raw: Callable[..., Raw]) -> None:
    with DriveEmulator(data=tmp_path) as drive:
        large = b"--b\r\n\r\n" + json.dumps({"name": "x", "parents": ["nowhere"]}).encode() + b"\r\n--b\r\n\r\n"
        large += b"x" * 1_000_000 + b"\r\n--b--"
        headers = {"Content-Type": "multipart/related; boundary=b"}

        assert raw(ALICE, at=drive)("POST", f"{UPLOAD}?uploadType=multipart", large, headers).status == 404
        assert list((tmp_path / "blobs").iterdir()) == []
