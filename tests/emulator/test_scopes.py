"""What a token may do by its scopes, and what the refusals say."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from emulator_steps import ALICE, BOB, FILES, Raw, create, folder, share
from googleapiclient.discovery_cache import get_static_doc

from drive_emulator import DriveEmulator
from drive_emulator.quota import UNITS
from drive_emulator.tokens import DRIVE, Grant

UPLOAD = f"/upload{FILES}?uploadType=media"


@pytest.mark.parametrize(
    "scope", ["drive", "drive.file", "drive.readonly", "drive.metadata", "drive.metadata.readonly"]
)
def test_each_scope_covers_the_methods_that_googles_discovery_document_names(scope: str) -> None:
    resources = json.loads(get_static_doc("drive", "v3"))["resources"]
    full = f"https://www.googleapis.com/auth/{scope}"
    for method in UNITS:
        if not method.endswith("_media"):
            resource, name = method.split(".")
            documented = resources[resource]["methods"][name]["scopes"]
            assert Grant(ALICE, scopes=f"openid {full}").allows(method) == (full in documented), method
    assert Grant(ALICE, scopes=full).allows("files.get_media") == ("metadata" not in scope)


def test_a_scope_of_another_service_opens_nothing() -> None:
    assert not Grant(ALICE, scopes="openid https://www.googleapis.com/auth/calendar").allows("files.list")


@pytest.mark.parametrize(
    ("scope", "statuses"),
    [
        ("drive", (200, 200, 200, 200)),
        ("drive.readonly", (200, 200, 403, 403)),
        ("drive.metadata.readonly", (200, 403, 403, 403)),
    ],
)
def test_a_token_goes_as_far_as_its_scope(
    emulator: DriveEmulator, alice: Any, raw: Callable[..., Raw], scope: str, statuses: tuple[int, ...]
) -> None:
    file = create(alice, "x")
    call = raw(emulator.access_token(ALICE, scope))

    assert statuses == (
        call("GET", f"{FILES}/{file}").status,
        call("GET", f"{FILES}/{file}?alt=media").status,
        call("POST", UPLOAD, b"x").status,
        call("PATCH", f"{FILES}/{file}", {"name": "y"}).status,
    )


@pytest.mark.parametrize("kind", ["media", "multipart", "resumable"])
def test_a_scope_of_metadata_changes_no_content(
    emulator: DriveEmulator, alice: Any, raw: Callable[..., Raw], kind: str
) -> None:
    file = create(alice, "x")
    call = raw(emulator.access_token(ALICE, "drive.metadata"))

    assert call("PATCH", f"{FILES}/{file}", {"name": "y"}).status == 200
    assert call("PATCH", f"/upload{FILES}/{file}?uploadType={kind}", b"{}").reason == "insufficientPermissions"


def test_a_scope_that_does_not_suffice_is_refused_in_googles_words(
    emulator: DriveEmulator, raw: Callable[..., Raw]
) -> None:
    answer = raw(emulator.access_token(ALICE, "drive.readonly"))("POST", FILES, {"name": "x"})
    error = answer.json["error"]

    assert (error["code"], error["status"]) == (403, "PERMISSION_DENIED")
    assert error["message"] == "Request had insufficient authentication scopes."
    assert error["errors"] == [
        {"message": "Insufficient Permission", "domain": "global", "reason": "insufficientPermissions"}
    ]
    assert error["details"][0]["reason"] == "ACCESS_TOKEN_SCOPE_INSUFFICIENT"
    assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]


def test_with_drive_file_a_client_sees_what_it_made_or_was_opened_with_it(
    emulator: DriveEmulator, alice: Any, bob: Any, raw: Callable[..., Raw]
) -> None:
    app = raw(emulator.access_token(ALICE, "drive.file", client="app"))
    other = raw(emulator.access_token(ALICE, "drive.file", client="other"))
    token = app("GET", "/drive/v3/changes/startPageToken").json["startPageToken"]
    inbox = folder(bob, "inbox")
    picked, message = create(bob, "picked", inbox), create(bob, "message", inbox)
    share(bob, inbox, ALICE)

    made = app("POST", FILES, {"name": "made"}).json["id"]
    emulator.open_with(ALICE, picked, client="app")

    assert {file["name"] for file in app("GET", FILES).json["files"]} == {"made", "picked"}
    feed = app("GET", f"/drive/v3/changes?pageToken={token}").json
    assert {change["fileId"] for change in feed["changes"]} == {made, picked}
    assert app("GET", f"{FILES}/{message}").reason == "notFound"
    assert app("PATCH", f"{FILES}/{picked}", {"name": "edited"}).status == 200
    assert other("GET", FILES).json["files"] == []
    assert other("DELETE", f"{FILES}/{made}").reason == "notFound"


def test_scopes_outlive_a_refresh(emulator: DriveEmulator, raw: Callable[..., Raw], tmp_path: Any) -> None:
    document = json.loads(emulator.write_token_file(BOB, tmp_path / "token.json", f"{DRIVE}.readonly").read_text())
    form = f"grant_type=refresh_token&refresh_token={document['refresh_token'].replace('/', '%2F')}"
    answer = raw(None)("POST", "/token", form).json

    assert answer["scope"] == f"{DRIVE}.readonly"
    assert raw(answer["access_token"])("POST", FILES, {}).status == 403
