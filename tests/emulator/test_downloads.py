from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from emulator_steps import BOB, CAROL, FILES, Raw, create, folder, get, refusal, share
from googleapiclient.http import MediaInMemoryUpload, MediaIoBaseDownload


@pytest.fixture(params=[10, 100_000], ids=["in the database", "in a file"])
def content(request: pytest.FixtureRequest) -> bytes:
    return bytes(number % 251 for number in range(request.param))


@pytest.fixture
def file(alice: Any, content: bytes) -> str:
    return alice.files().create(body={}, media_body=MediaInMemoryUpload(content, "image/png")).execute()["id"]


def test_content_comes_with_its_type_and_length(raw: Callable[..., Raw], file: str, content: bytes) -> None:
    answer = raw()("GET", f"{FILES}/{file}?alt=media")

    assert (answer.status, answer.body) == (200, content)
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.headers["Content-Length"] == str(len(content))


@pytest.mark.parametrize(
    ("header", "part"),
    [("bytes=0-0", slice(1)), ("bytes=3-6", slice(3, 7)), ("bytes=5-", slice(5, None)), ("bytes=-4", slice(-4, None))],
)
def test_a_range_is_a_part(raw: Callable[..., Raw], file: str, content: bytes, header: str, part: slice) -> None:
    answer = raw()("GET", f"{FILES}/{file}?alt=media", headers={"Range": header})

    assert (answer.status, answer.body) == (206, content[part])
    first, stop, _ = part.indices(len(content))
    assert answer.headers["Content-Range"] == f"bytes {first}-{stop - 1}/{len(content)}"


def test_a_range_past_the_end_stops_there(raw: Callable[..., Raw], file: str, content: bytes) -> None:
    assert raw()("GET", f"{FILES}/{file}?alt=media", headers={"Range": "bytes=0-99999999"}).body == content


@pytest.mark.parametrize("header", ["bytes=200000-", "bytes=200000-200001", "bytes=-0"])
def test_a_range_beyond_the_end_cannot_be_had(raw: Callable[..., Raw], file: str, content: bytes, header: str) -> None:
    answer = raw()("GET", f"{FILES}/{file}?alt=media", headers={"Range": header})

    assert (answer.status, answer.reason) == (416, "requestedRangeNotSatisfiable")
    assert answer.headers["Content-Range"] == f"bytes */{len(content)}"


@pytest.mark.parametrize("header", ["bytes=", "bytes=-", "bytes=a-b", "lines=0-1", "bytes=0-1,3-4", "bytes=5-2", "½"])
def test_what_is_no_single_range_gets_everything(
    raw: Callable[..., Raw], file: str, content: bytes, header: str
) -> None:
    answer = raw()("GET", f"{FILES}/{file}?alt=media", headers={"Range": header})

    assert (answer.status, answer.body) == (200, content)


def test_the_client_library_downloads_in_chunks(alice: Any, file: str, content: bytes) -> None:
    target = io.BytesIO()
    download = MediaIoBaseDownload(target, alice.files().get_media(fileId=file), chunksize=30_000)
    done = False
    while not done:
        _, done = download.next_chunk()

    assert target.getvalue() == content


def test_a_folder_cannot_be_downloaded_nor_what_is_not_shared(alice: Any, bob: Any, file: str) -> None:
    assert refusal(alice.files().get_media(fileId=folder(alice, "f"))) == (403, "fileNotDownloadable")
    assert refusal(bob.files().get_media(fileId=file)) == (404, "notFound")


@pytest.mark.parametrize("setting", [{"copyRequiresWriterPermission": True}, {"viewersCanCopyContent": False}])
def test_what_only_writers_may_copy_readers_can_look_at(alice: Any, bob: Any, carol: Any, setting: Any) -> None:
    text = create(alice, "x", **setting)
    document = create(alice, "y", mime_type="application/vnd.google-apps.document", **setting)
    for file in (text, document):
        share(alice, file, BOB, "commenter")
        share(alice, file, CAROL)
        assert get(bob, file)["capabilities"]["canDownload"] is get(bob, file)["viewersCanCopyContent"] is False
        assert get(carol, file)["capabilities"]["canCopy"] is get(carol, file)["copyRequiresWriterPermission"] is True

    assert refusal(bob.files().get_media(fileId=text)) == (403, "cannotDownloadFile")
    assert refusal(bob.files().export(fileId=document, mimeType="text/plain")) == (403, "cannotDownloadFile")
    assert refusal(bob.files().copy(fileId=text)) == (403, "cannotCopyFile")
    assert carol.files().get_media(fileId=text).execute() == b""
    assert carol.files().copy(fileId=text).execute()["name"] == "Copy of x"


def test_a_type_that_cannot_stand_in_a_header_is_not_taken(raw: Callable[..., Raw]) -> None:
    for bad in ("a/b\r\nX-Evil: 1", "ü/x", "plain", "a/" + "b" * 300):
        assert raw()("POST", FILES, {"mimeType": bad}).status == 400


def test_a_download_is_metered_as_one(emulator: Any, alice: Any, raw: Callable[..., Raw], file: str) -> None:
    emulator.clear_log()
    raw()("GET", f"{FILES}/{file}?alt=media")
    raw()("GET", f"{FILES}/{file}")

    usage = emulator.stats()["alice@example.com"]
    assert (usage["files.get_media"]["units"], usage["files.get"]["units"]) == (200, 5)
    assert raw(BOB)("GET", f"{FILES}/{create(alice, 'x')}?alt=media").status == 404


def test_what_cannot_be_downloaded_is_told_at_alt(alice: Any, raw: Callable[..., Raw]) -> None:
    answer = raw()("GET", f"{FILES}/{folder(alice, 'f')}?alt=media")

    assert answer.json["error"]["errors"][0]["location"] == "alt"


def test_a_document_is_exported(alice: Any, emulator: Any) -> None:
    document = alice.files().create(body={"mimeType": "application/vnd.google-apps.document"}).execute()["id"]
    emulator.clear_log()

    assert alice.files().export_media(fileId=document, mimeType="text/plain").execute() == b""
    assert emulator.stats()["alice@example.com"]["files.export"]["units"] == 200


@pytest.mark.parametrize(
    ("kind", "wanted", "refused"),
    [
        ("application/vnd.google-apps.document", "image/webp", (400, "badRequest")),
        ("application/vnd.google-apps.spreadsheet", "text/plain", (400, "badRequest")),
        ("application/vnd.google-apps.folder", "text/plain", (403, "fileNotExportable")),
        ("text/plain", "text/plain", (403, "fileNotExportable")),
    ],
)
def test_what_cannot_be_exported_is_told(alice: Any, kind: str, wanted: str, refused: tuple[int, str]) -> None:
    file = alice.files().create(body={"mimeType": kind}).execute()["id"]

    assert refusal(alice.files().export(fileId=file, mimeType=wanted)) == refused


def test_an_export_names_the_type_it_wants(alice: Any, bob: Any, raw: Callable[..., Raw], file: str) -> None:
    answer = raw()("GET", f"{FILES}/{file}/export")

    assert (answer.status, answer.reason) == (400, "required")
    assert refusal(bob.files().export(fileId=file, mimeType="text/plain")) == (404, "notFound")
