"""Uploads and downloads that break, against scripted answers."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from scripted import RESET, Answer, ScriptedServer, error

from syft_flwr.drive import upload as upload_module
from syft_flwr.drive.gateway import MULTIPART_LIMIT, HttpDriveGateway
from syft_flwr.errors import (
    DamagedDownloadError,
    DriveUnavailableError,
    NotFoundError,
    RuntimeClosedError,
    StateError,
    TransferError,
)

OpenGateway = Callable[..., HttpDriveGateway]

BODY = bytes(range(256)) * 1024  # 256 KiB
BIG = BODY * 21  # 5.25 MiB: above the limit of a multipart upload


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(upload_module, "CHUNK", 2 * 1024 * 1024)
    return 2 * 1024 * 1024


def opened(server: ScriptedServer) -> Answer:
    return Answer(200, b"", {"location": f"{server.url}/upload/drive/v3/files?upload_id=u"})


def incomplete(received: int) -> Answer:
    return Answer(308, b"", {"range": f"bytes=0-{received - 1}"} if received else {})


def created(size: int) -> Answer:
    return Answer(200, {"id": "f", "size": str(size)})


def ranges(server: ScriptedServer) -> list[str]:
    return [r.headers["content-range"] for r in server.requests if r.verb == "PUT"]


# Multipart


def test_a_small_body_goes_in_one_request(server: ScriptedServer, gateway: HttpDriveGateway) -> None:
    server.script(created(5))
    gateway.upload("f", "n", "p", b"a\r\nb\0", properties={"status": "error"})
    (request,) = server.requests
    assert request.path.startswith("/upload/drive/v3/files?")
    assert request.query["uploadType"] == "multipart"
    _, head, media, _ = request.body.split(b"--" + request.headers["content-type"].split('"')[1].encode())
    assert json.loads(head.partition(b"\n\n")[2]) == {
        "id": "f",
        "name": "n",
        "parents": ["p"],
        "mimeType": "application/octet-stream",
        "properties": {"status": "error"},
    }
    assert media.partition(b"\n\n")[2] == b"a\r\nb\0\n"


def test_a_lost_answer_makes_no_second_file(server: ScriptedServer, gateway: HttpDriveGateway) -> None:
    server.script(RESET, error(409, "fileIdInUse"), Answer(200, {"id": "f", "name": "n", "size": "1"}))
    gateway.upload("f", "n", "p", b"x")
    assert [request.verb for request in server.requests] == ["POST", "POST", "GET"]


@pytest.mark.parametrize("found", [{"id": "f", "name": "n", "size": "2"}, {"id": "f", "name": "n"}])
def test_a_file_of_another_size_under_the_reserved_id_is_no_success(
    server: ScriptedServer, gateway: HttpDriveGateway, found: dict[str, str]
) -> None:
    server.script(error(409, "fileIdInUse"), Answer(200, found))
    with pytest.raises(TransferError, match="the body has 1"):
        gateway.upload("f", "n", "p", b"x")


# Resumable


def test_a_large_file_goes_in_chunks(
    server: ScriptedServer, gateway: HttpDriveGateway, small_chunks: int, tmp_path: Path
) -> None:
    path = tmp_path / "body"
    path.write_bytes(BIG)
    server.script(opened(server), incomplete(small_chunks), incomplete(2 * small_chunks), created(len(BIG)))
    gateway.upload("f", "n", "p", path)
    assert server.requests[0].query["uploadType"] == "resumable"
    assert server.requests[0].headers["x-upload-content-length"] == str(len(BIG))
    assert json.loads(server.requests[0].body)["id"] == "f"
    assert ranges(server) == [
        "bytes 0-2097151/5505024",
        "bytes 2097152-4194303/5505024",
        "bytes 4194304-5505023/5505024",
    ]
    assert b"".join(request.body for request in server.requests[1:]) == BIG
    assert gateway.meter.units() == {"files.create": 50, "uploads.put": 0}


def test_an_upload_with_three_breaks_goes_on_where_the_session_stands(
    server: ScriptedServer, gateway: HttpDriveGateway, small_chunks: int
) -> None:
    server.script(
        opened(server),
        RESET,
        incomplete(0),  # nothing had arrived
        incomplete(small_chunks),
        RESET,
        incomplete(small_chunks + 1000),  # a part had
        incomplete(2 * small_chunks + 1000),
        RESET,
        created(len(BIG)),  # all had: only the answer was lost
    )
    gateway.upload("f", "n", "p", BIG)
    assert ranges(server) == [
        "bytes 0-2097151/5505024",
        "bytes */5505024",
        "bytes 0-2097151/5505024",
        "bytes 2097152-4194303/5505024",
        "bytes */5505024",
        "bytes 2098152-4195303/5505024",
        "bytes 4195304-5505023/5505024",
        "bytes */5505024",
    ]
    assert [r.verb for r in server.requests].count("POST") == 1


def test_an_upload_that_is_begun_again_after_an_outage_goes_on_where_the_session_stands(
    server: ScriptedServer, open_gateway: OpenGateway, small_chunks: int
) -> None:
    gateway = open_gateway(patience=0.0)
    server.script(opened(server), incomplete(small_chunks), RESET, RESET, incomplete(small_chunks))
    for _ in range(2):
        with pytest.raises(DriveUnavailableError):
            gateway.upload("f", "n", "p", BIG)
    server.script(incomplete(2 * small_chunks), created(len(BIG)))
    gateway.upload("f", "n", "p", BIG)
    assert ranges(server) == [
        "bytes 0-2097151/5505024",
        "bytes 2097152-4194303/5505024",
        "bytes */5505024",
        "bytes */5505024",
        "bytes 2097152-4194303/5505024",
        "bytes 4194304-5505023/5505024",
    ]
    assert [r.verb for r in server.requests].count("POST") == 1


@pytest.mark.parametrize("trouble", [error(503, "backendError"), error(429, "rateLimitExceeded")])
def test_trouble_in_mid_upload_is_asked_about_too(
    server: ScriptedServer, gateway: HttpDriveGateway, trouble: Answer
) -> None:
    server.script(opened(server), trouble, trouble, incomplete(0), created(len(BIG)))
    gateway.upload("f", "n", "p", BIG)
    assert ranges(server)[1:3] == ["bytes */5505024"] * 2


@pytest.mark.parametrize("status", [404, 410])
def test_a_session_that_is_gone_is_opened_anew(server: ScriptedServer, gateway: HttpDriveGateway, status: int) -> None:
    server.script(opened(server), error(status, "gone"), opened(server), created(len(BIG)))
    gateway.upload("f", "n", "p", BIG)
    assert [json.loads(r.body)["id"] for r in server.requests if r.verb == "POST"] == ["f", "f"]


def test_a_session_that_is_gone_because_the_file_is_there_is_a_success(
    server: ScriptedServer, gateway: HttpDriveGateway
) -> None:
    found = Answer(200, {"id": "f", "name": "n", "size": str(len(BIG))})
    server.script(opened(server), RESET, error(404, "notFound"), error(409, "fileIdInUse"), found)
    gateway.upload("f", "n", "p", BIG)


@pytest.mark.parametrize("location", ["", "/portal", "http://portal.invalid/", "https://127.0.0.1/", "http://["])
def test_no_token_and_no_body_go_to_a_session_that_is_elsewhere(
    server: ScriptedServer, gateway: HttpDriveGateway, location: str
) -> None:
    server.script(Answer(200, b"", {"location": location}), opened(server), created(len(BIG)))
    gateway.upload("f", "n", "p", BIG)
    assert [r.verb for r in server.requests] == ["POST", "POST", "PUT"]


def test_sessions_that_keep_vanishing_end_the_upload(server: ScriptedServer, gateway: HttpDriveGateway) -> None:
    server.script(*[opened(server), error(404, "notFound")] * 3)
    with pytest.raises(TransferError, match="3 upload sessions"):
        gateway.upload("f", "n", "p", BIG)


def test_a_session_that_takes_nothing_ends_the_upload(server: ScriptedServer, gateway: HttpDriveGateway) -> None:
    server.script(opened(server), *[incomplete(0)] * 50)
    with pytest.raises(DriveUnavailableError):
        gateway.upload("f", "n", "p", BIG)


def test_an_upload_that_drive_is_slow_to_finish_is_asked_about_again(
    server: ScriptedServer, gateway: HttpDriveGateway
) -> None:
    server.script(opened(server), RESET, incomplete(len(BIG)), created(len(BIG)))
    gateway.upload("f", "n", "p", BIG)


def test_a_body_of_just_the_limit_is_still_multipart(server: ScriptedServer, gateway: HttpDriveGateway) -> None:
    server.script(created(MULTIPART_LIMIT))
    gateway.upload("f", "n", "p", bytes(MULTIPART_LIMIT))
    assert server.requests[0].query["uploadType"] == "multipart"


# Downloads


def part(start: int) -> Answer:
    return Answer(206, BODY[start:], {"content-range": f"bytes {start}-{len(BODY) - 1}/{len(BODY)}"})


def test_a_download_is_verified_and_readable_by_its_owner_only(
    server: ScriptedServer, gateway: HttpDriveGateway, tmp_path: Path
) -> None:
    target = tmp_path / "body"
    server.script(Answer(200, BODY))
    gateway.download("f", target, size=len(BODY), sha256=sha256(BODY))
    assert target.read_bytes() == BODY
    assert target.stat().st_mode & 0o777 == 0o600
    assert server.requests[0].query["alt"] == "media"
    assert gateway.meter.snapshot().methods["files.get_media"].bytes_down == len(BODY)


@pytest.mark.parametrize(("size", "digest"), [(0, sha256(b"")), (None, None)])
def test_an_empty_file_is_downloaded(
    server: ScriptedServer, gateway: HttpDriveGateway, tmp_path: Path, size: int | None, digest: str | None
) -> None:
    server.script(Answer(200, b""))
    gateway.download("f", tmp_path / "body", size=size, sha256=digest)
    assert (tmp_path / "body").read_bytes() == b""


@pytest.mark.parametrize("size", [len(BODY), None])
def test_a_download_with_breaks_goes_on_where_it_ended(
    server: ScriptedServer, gateway: HttpDriveGateway, tmp_path: Path, size: int | None
) -> None:
    first = Answer(200, BODY, cut=100_000)
    second = replace(part(100_000), cut=50_000)
    server.script(RESET, first, second, error(503, "backendError"), part(150_000))
    gateway.download("f", tmp_path / "body", size=size, sha256=sha256(BODY))
    assert (tmp_path / "body").read_bytes() == BODY
    assert [r.headers.get("range") for r in server.requests] == [
        None,
        None,
        "bytes=100000-",
        "bytes=150000-",
        "bytes=150000-",
    ]


def test_breaks_after_progress_are_not_counted_as_failures(
    server: ScriptedServer, gateway: HttpDriveGateway, tmp_path: Path
) -> None:
    body = BODY * 12
    step = len(BODY)
    answers = [Answer(200, body, cut=step)]
    for start in range(step, len(body), step):
        headers = {"content-range": f"bytes {start}-{len(body) - 1}/{len(body)}"}
        answers.append(Answer(206, body[start:], headers, cut=step))
    server.script(*answers)
    gateway.download("f", tmp_path / "body", size=len(body), sha256=sha256(body))
    assert len(server.requests) == 12


def test_a_server_that_knows_no_ranges_makes_the_download_start_again(
    server: ScriptedServer, gateway: HttpDriveGateway, tmp_path: Path
) -> None:
    server.script(Answer(200, BODY, cut=100_000), Answer(200, BODY))
    gateway.download("f", tmp_path / "body", size=len(BODY), sha256=sha256(BODY))
    assert (tmp_path / "body").read_bytes() == BODY


@pytest.mark.parametrize(
    ("size", "digest", "text"),
    [
        (len(BODY) + 1, None, "262144 bytes; its metadata say 262145"),
        (len(BODY) - 1, None, "larger than the 262143 bytes"),
        (len(BODY), sha256(b"another"), "SHA-256"),
    ],
)
def test_a_damaged_download_leaves_no_file(  # noqa: PLR0917 - what is parametrised
    server: ScriptedServer, gateway: HttpDriveGateway, tmp_path: Path, size: int, digest: str | None, text: str
) -> None:
    server.script(Answer(200, BODY))
    with pytest.raises(TransferError, match=text):
        gateway.download("f", tmp_path / "body", size=size, sha256=digest)
    assert list(tmp_path.iterdir()) == []


def test_a_content_that_is_a_page_itself_is_taken(
    server: ScriptedServer, gateway: HttpDriveGateway, tmp_path: Path
) -> None:
    page = {"content-type": "text/html; charset=utf-8"}
    server.script(Answer(200, b"<html>of the network</html>", page), Answer(200, b"<html>mine</html>", page))
    gateway.download("f", tmp_path / "body", size=17, sha256=sha256(b"<html>mine</html>"))
    assert (tmp_path / "body").read_bytes() == b"<html>mine</html>"


@pytest.mark.parametrize("content", [b"<html>of the network</html>", b"<html>x</html>"])
def test_a_page_of_the_network_is_no_damage_to_the_content(
    server: ScriptedServer, gateway: HttpDriveGateway, tmp_path: Path, content: bytes
) -> None:
    server.script(*[Answer(200, content, {"content-type": "text/html"})] * 8)
    with pytest.raises(DriveUnavailableError) as caught:
        gateway.download("f", tmp_path / "body", size=17, sha256=sha256(b"<html>mine</html>"))
    assert not isinstance(caught.value, DamagedDownloadError)


def test_a_range_that_was_not_asked_for_is_asked_for_again(
    server: ScriptedServer, gateway: HttpDriveGateway, tmp_path: Path
) -> None:
    server.script(Answer(200, BODY, cut=100_000), part(90_000), part(100_000))
    gateway.download("f", tmp_path / "body", size=len(BODY), sha256=sha256(BODY))
    assert (tmp_path / "body").read_bytes() == BODY


def test_a_missing_file_leaves_no_file(server: ScriptedServer, gateway: HttpDriveGateway, tmp_path: Path) -> None:
    server.script(error(404, "notFound"), error(404, "notFound"))
    with pytest.raises(NotFoundError):
        gateway.download("f", tmp_path / "body", size=1, sha256=None)
    assert list(tmp_path.iterdir()) == []


def test_a_target_that_can_not_be_written_is_no_fault_of_drives(
    server: ScriptedServer, gateway: HttpDriveGateway, tmp_path: Path
) -> None:
    with pytest.raises(StateError, match="can't write"):
        gateway.download("f", tmp_path / "nowhere" / "body", size=1, sha256=None)
    assert not server.requests


def test_a_write_that_fails_is_no_fault_of_drives(
    server: ScriptedServer, gateway: HttpDriveGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = os.pipe()
    os.close(reader)  # so that every write to the other end fails
    server.script(Answer(200, BODY))
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", lambda *_: writer)
        with pytest.raises(StateError, match="Broken pipe"):
            gateway.download("f", tmp_path / "body", size=len(BODY), sha256=None)
    assert len(server.requests) == 1


def test_nothing_but_a_regular_file_is_removed_after_a_failure(
    server: ScriptedServer, gateway: HttpDriveGateway, tmp_path: Path
) -> None:
    target = tmp_path / "device"
    os.mkfifo(target)
    reader = os.open(target, os.O_RDONLY | os.O_NONBLOCK)
    server.script(error(404, "notFound"), error(404, "notFound"))
    with pytest.raises(NotFoundError):
        gateway.download("f", target, size=1, sha256=None)
    os.close(reader)
    assert target.exists()


def test_close_breaks_off_a_download(server: ScriptedServer, gateway: HttpDriveGateway, tmp_path: Path) -> None:
    released = threading.Event()
    raised: list[BaseException] = []

    def fetch() -> None:
        try:
            gateway.download("f", tmp_path / "body", size=len(BODY), sha256=None)
        except RuntimeClosedError as error:
            raised.append(error)

    server.script(Answer(200, BODY, cut=100_000), Answer(200, BODY, before=lambda: released.wait(20)))
    thread = threading.Thread(target=fetch)
    thread.start()
    assert server.arrived.acquire(timeout=5)
    assert server.arrived.acquire(timeout=5)
    gateway.close()
    thread.join(5)
    released.set()
    assert len(raised) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_large_file_is_never_held_in_memory(
    server: ScriptedServer, gateway: HttpDriveGateway, tmp_path: Path
) -> None:
    import tracemalloc

    content = bytes(48 * 1024 * 1024)
    server.script(Answer(200, content))
    tracemalloc.start()
    try:
        gateway.download("f", tmp_path / "body", size=len(content), sha256=None)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * 1024 * 1024
