from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from emulator_steps import ALICE, BOB, FILES, Raw, create

from drive_emulator import DriveEmulator


def test_the_client_librarys_batch_reaches_the_emulator(emulator: DriveEmulator, alice: Any) -> None:
    file = create(alice, "x")
    emulator.clear_log()
    answers: dict[str, Any] = {}
    batch = alice.new_batch_http_request(
        callback=lambda number, answer, error: answers.update({number: (answer, error)})
    )
    batch.add(alice.files().get(fileId=file, fields="name"), request_id="get")
    batch.add(alice.files().create(body={"name": "é 🙂"}, fields="name"), request_id="create")
    batch.add(alice.files().get(fileId="nothing"), request_id="missing")
    batch.add(alice.files().delete(fileId=file), request_id="delete")

    batch.execute()

    assert answers["get"] == ({"name": "x"}, None)
    assert answers["create"] == ({"name": "é 🙂"}, None)
    assert answers["missing"][1].status_code == 404
    assert answers["delete"] == ("", None)
    usage = emulator.stats()[ALICE]
    assert {method: used["units"] for method, used in usage.items()} == {
        "files.get": 10,
        "files.create": 50,
        "files.delete": 50,
    }


@pytest.mark.parametrize("path", ["/batch", "/batch/drive/v3"])
def test_bare_newlines_do_and_a_call_may_have_its_own_authorization(
    alice: Any, bob: Any, raw: Callable[..., Raw], path: str
) -> None:
    body = (
        "--b\nContent-Type: application/http\nContent-ID: <one>\n\nGET /drive/v3/about?fields=user HTTP/1.1\n\n\n"
        "--b\nContent-Type: application/http\nContent-ID: <two>\n\nGET /drive/v3/about?fields=user HTTP/1.1\n"
        f"Authorization: Bearer {BOB}\n\n\n--b--\n"
    )

    answer = raw()("POST", path, body, {"Content-Type": 'multipart/mixed; boundary="b"'})

    assert answer.status == 200
    one, two = answer.body.split(b"<response-two>")
    assert ALICE.encode() in one
    assert BOB.encode() in two


def test_a_batch_s_headers_hold_for_its_calls_and_an_api_key_needs_no_authorization(
    alice: Any, raw: Callable[..., Raw]
) -> None:
    file = create(alice, "public")
    alice.permissions().create(fileId=file, body={"type": "anyone", "role": "reader"}).execute()
    mixed = {"Content-Type": "multipart/mixed; boundary=b"}

    def send(call: str, **headers: str) -> bytes:
        body = f"--b\nContent-Type: application/http\n\nGET {call}\n\n--b--"
        return raw(None)("POST", "/batch/drive/v3", body, {**mixed, **headers}).body

    assert b'"name":"public"' in send(f"{FILES}/{file}?key=AIza")
    assert b'"name":"public"' in send(f"{FILES}/{file}", **{"X-Goog-Api-Key": "AIza"})
    assert b"CREDENTIALS_MISSING" in send(f"{FILES}/{file}")


def test_media_in_a_batch_is_answered_by_a_redirect_that_leads_to_it(alice: Any, raw: Callable[..., Raw]) -> None:
    file = create(alice, "x")
    body = f"--b\nContent-Type: application/http\n\nGET {FILES}/{file}?alt=media\n\n--b--"

    answer = raw()("POST", "/batch", body, {"Content-Type": "multipart/mixed; boundary=b"})

    assert b"HTTP/1.1 302 " in answer.body
    location = answer.body.split(b"Location: ")[1].split(b"\r\n")[0].decode()
    assert raw()("GET", "/" + location.split("/", 3)[3]).status == 200


@pytest.mark.parametrize(
    "call", ["POST /batch", "POST /upload/drive/v3/files?uploadType=media", "POST /emulator/reset", "GET /nowhere"]
)
def test_only_plain_calls_travel_in_a_batch(
    emulator: DriveEmulator, alice: Any, raw: Callable[..., Raw], call: str
) -> None:
    create(alice, "x")
    body = f"--b\nContent-Type: application/http\n\n{call}\n\n--b--"

    answer = raw()("POST", "/batch", body, {"Content-Type": "multipart/mixed; boundary=b"})

    assert b"HTTP/1.1 40" in answer.body
    assert len(emulator.files()) == 1


@pytest.mark.parametrize(
    "body", ["", "--b--", "--b\n\nnonsense\n--b--", "--b\nContent-Type: application/http\n\nGET x\n"]
)
def test_a_malformed_batch_is_refused(raw: Callable[..., Raw], body: str) -> None:
    answer = raw()("POST", "/batch", body, {"Content-Type": "multipart/mixed; boundary=b"})

    assert (answer.status, answer.reason) == (400, "badRequest")


def test_a_batch_has_at_most_a_hundred_calls(raw: Callable[..., Raw]) -> None:
    part = "--b\nContent-Type: application/http\n\nGET /drive/v3/files/generateIds\n\n"

    assert raw()("POST", "/batch", part * 100 + "--b--", {"Content-Type": "multipart/mixed; boundary=b"}).status == 200
    assert raw()("POST", "/batch", part * 101 + "--b--", {"Content-Type": "multipart/mixed; boundary=b"}).status == 400
