"""Authorized-user token files go through google-auth's real refresh."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import google_auth_httplib2
import httplib2
import pytest
from emulator_steps import ALICE, FILES, Raw, google_client
from google.auth.exceptions import RefreshError
from google.oauth2.credentials import Credentials

from drive_emulator import DriveEmulator


@pytest.fixture
def credentials(emulator: DriveEmulator, tmp_path: Path) -> Credentials:
    """Read the token file; ``from_authorized_user_file`` would put Google's own token endpoint in place of its."""
    document = json.loads(emulator.write_token_file(ALICE, tmp_path / "token.json").read_text())
    assert document.pop("type") == "authorized_user"
    return Credentials(None, **document)


@pytest.fixture
def client(emulator: DriveEmulator, credentials: Credentials) -> Iterator[Any]:
    client = google_client(emulator.url, credentials)
    yield client
    client.close()


def refresh(credentials: Credentials) -> None:
    http = httplib2.Http()
    try:
        credentials.refresh(google_auth_httplib2.Request(http))
    finally:
        http.close()


def test_a_token_file_is_private_and_acts_for_its_account(emulator: DriveEmulator, client: Any, tmp_path: Path) -> None:
    assert client.about().get(fields="user").execute()["user"]["emailAddress"] == ALICE
    assert (tmp_path / "token.json").stat().st_mode & 0o777 == 0o600


def test_an_expired_token_is_refreshed_by_the_client(emulator: DriveEmulator, client: Any) -> None:
    client.files().list().execute()
    emulator.expire_tokens(ALICE)

    client.files().list().execute()

    assert [request["status"] for request in emulator.requests()] == [200, 401, 200]


def test_a_token_dies_within_the_hour(
    emulator: DriveEmulator, credentials: Credentials, raw: Callable[..., Raw]
) -> None:
    refresh(credentials)
    assert raw(credentials.token)("GET", FILES).status == 200

    emulator.advance(3600)

    answer = raw(credentials.token)("GET", FILES)
    assert (answer.status, answer.reason) == (401, "authError")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.json["error"]["status"] == "UNAUTHENTICATED"


def test_a_revoked_grant_is_an_invalid_grant(emulator: DriveEmulator, credentials: Credentials) -> None:
    refresh(credentials)
    emulator.revoke_tokens(ALICE)

    with pytest.raises(RefreshError, match="invalid_grant: Token has been expired or revoked"):
        refresh(credentials)


def consent(raw: Callable[..., Raw], hint: str, redirect: str = "http://localhost:9/") -> Raw:
    query = urlencode({"login_hint": hint, "redirect_uri": redirect, "state": "s", "response_type": "code"})
    return raw(None)("GET", f"/o/oauth2/auth?{query}")


def redeem(raw: Callable[..., Raw], code: str) -> Raw:
    form = urlencode({"grant_type": "authorization_code", "code": code})
    return raw(None)("POST", "/token", form, {"Content-Type": "application/x-www-form-urlencoded"})


def test_a_consent_leads_to_a_code_that_brings_a_refresh_token_once(
    raw: Callable[..., Raw], emulator: DriveEmulator
) -> None:
    answer = consent(raw, ALICE)
    sent_to = urlsplit(answer.headers["Location"])
    query = parse_qs(sent_to.query)
    assert (answer.status, sent_to.netloc, query["state"]) == (302, "localhost:9", ["s"])

    tokens = redeem(raw, query["code"][0]).json
    assert raw(tokens["access_token"])("GET", FILES).status == 200
    assert redeem(raw, query["code"][0]).json["error"] == "invalid_grant"

    assert raw(None)("POST", f"/revoke?token={quote(tokens['refresh_token'])}").status == 200
    assert raw(tokens["access_token"])("GET", FILES).status == 401
    assert raw(None)("POST", f"/revoke?token={quote(tokens['refresh_token'])}").status == 400


@pytest.mark.parametrize(("hint", "redirect"), [("", "http://localhost/"), (ALICE, "https://example.com/")])
def test_a_consent_of_no_account_or_for_another_machine_is_refused(
    raw: Callable[..., Raw], hint: str, redirect: str
) -> None:
    assert consent(raw, hint, redirect).status == 400


@pytest.mark.parametrize("form", ["", "grant_type=password", "grant_type=refresh_token", "%ff=%ff", "x" * 100_000])
def test_a_malformed_token_request_is_refused(raw: Callable[..., Raw], form: str) -> None:
    answer = raw(None)("POST", "/token", form, {"Content-Type": "application/x-www-form-urlencoded"})

    assert answer.status == 400
    assert set(json.loads(answer.body)) == {"error", "error_description"}


@pytest.mark.parametrize("token", ["", "nobody", "ya29.made-up", "a@b@c", "@", "a b@c", "x@" + "y" * 300])
def test_what_is_neither_a_token_nor_an_address_is_nobody(
    emulator: DriveEmulator, raw: Callable[..., Raw], token: str
) -> None:
    answer = raw(None)("GET", FILES, headers={"Authorization": f"Bearer {token}"})

    assert (answer.status, answer.reason) == (401, "authError")
    assert list(emulator.stats()) == [""]


def test_a_token_may_come_in_the_query_and_is_not_logged(emulator: DriveEmulator, raw: Callable[..., Raw]) -> None:
    assert raw(None)("GET", f"{FILES}?access_token={ALICE}&pageSize=5").status == 200
    assert raw(None)("GET", FILES).status == 401
    assert [request["query"] for request in emulator.requests()] == ["pageSize=5", ""]


def test_no_token_and_a_bad_one_are_refused_in_googles_words(raw: Callable[..., Raw]) -> None:
    missing = raw(None)("GET", FILES).json["error"]
    bad = raw("ya29.made-up")("GET", FILES).json["error"]

    assert [(e["errors"][0]["reason"], e["errors"][0]["message"]) for e in (missing, bad)] == [
        ("required", "Login Required."),
        ("authError", "Invalid Credentials"),
    ]
    assert missing["message"].startswith("Request is missing required authentication credential.")
    assert bad["message"].startswith("Request had invalid authentication credentials.")
    assert missing["details"][0]["reason"] == "CREDENTIALS_MISSING"
