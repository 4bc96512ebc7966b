"""Authorized-user token files go through google-auth's real refresh."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import google_auth_httplib2
import httplib2
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from emulator_steps import ALICE, BOB, FILES, Raw, create, folder, google_client, refusal
from google.auth.exceptions import RefreshError
from google.oauth2 import service_account
from google.oauth2.credentials import Credentials
from google_auth_oauthlib.flow import Flow
from googleapiclient.http import MediaInMemoryUpload

from drive_emulator import DriveEmulator
from drive_emulator.tokens import DRIVE

ROBOT = "robot@project.iam.gserviceaccount.com"


JWT = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=a.b"


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


def test_what_was_granted_to_another_client_is_not_revoked(raw: Callable[..., Raw], emulator: DriveEmulator) -> None:
    mine, other = (emulator.access_token(ALICE, client=client) for client in ("mine", "other"))

    assert raw(None)("POST", "/revoke", f"token={mine}").status == 200

    assert raw(mine)("GET", FILES).status == 401
    assert raw(other)("GET", FILES).status == 200


@pytest.mark.parametrize(
    ("hint", "redirect"),
    [
        ("nobody", "http://localhost/"),
        *(
            (ALICE, url)
            for url in ("https://example.com/", "http://[::1", "javascript://localhost/%0ax", "//localhost")
        ),
    ],
)
def test_a_consent_of_no_account_or_for_another_machine_is_refused(
    raw: Callable[..., Raw], hint: str, redirect: str
) -> None:
    assert consent(raw, hint, redirect).status == 400


@pytest.mark.parametrize("form", ["", "grant_type=password", "grant_type=refresh_token", JWT, "%ff=%ff", "x" * 100_000])
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


@pytest.mark.parametrize("parameter", ["access_token", "oauth_token"])
def test_a_token_may_come_in_the_query_and_is_not_logged(
    emulator: DriveEmulator, raw: Callable[..., Raw], parameter: str
) -> None:
    assert raw(None)("GET", f"{FILES}?{parameter}={ALICE}&pageSize=5").status == 200
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


def test_a_log_in_without_an_account_shows_a_page_to_choose_one(raw: Callable[..., Raw]) -> None:
    assert raw(BOB)("GET", FILES).status == 200
    page = consent(raw, "").body.decode()

    assert f'name="login_hint" value="{BOB}"' in page
    assert 'name="state" value="s"' in page


def test_what_the_page_shows_is_escaped(raw: Callable[..., Raw]) -> None:
    page = consent(raw, "", "http://localhost/?<script>").body.decode()

    assert "<script>" not in page


def flow(emulator: DriveEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *scopes: str) -> Flow:
    """Begin a log-in of google-auth-oauthlib's, which takes plain HTTP when told so."""
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    client = emulator.write_client_file(tmp_path / "client.json")
    return Flow.from_client_secrets_file(client, scopes, redirect_uri="http://localhost:9/")


def test_googles_own_log_in_gets_the_scopes_that_it_asked_for_and_proves_that_it_asked(
    emulator: DriveEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raw: Callable[..., Raw]
) -> None:
    log_in = flow(emulator, tmp_path, monkeypatch, "openid", f"{DRIVE}.readonly")
    url, state = log_in.authorization_url(login_hint=ALICE)
    back = raw(None)("GET", url.removeprefix(emulator.url)).headers["Location"]
    assert parse_qs(urlsplit(back).query)["state"] == [state]

    with log_in.oauth2session:
        log_in.fetch_token(authorization_response=back)
    refresh(log_in.credentials)

    assert raw(log_in.credentials.token)("GET", FILES).status == 200
    assert raw(log_in.credentials.token)("POST", FILES, {}).reason == "insufficientPermissions"
    info = raw(log_in.credentials.token)("GET", "/oauth2/v3/userinfo").json
    assert (info["email"], info["email_verified"]) == (ALICE, True)


def test_a_code_is_worth_nothing_to_who_did_not_begin_the_log_in(
    emulator: DriveEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raw: Callable[..., Raw]
) -> None:
    url, _ = flow(emulator, tmp_path, monkeypatch, DRIVE).authorization_url(login_hint=ALICE)
    back = raw(None)("GET", url.removeprefix(emulator.url)).headers["Location"]

    assert redeem(raw, parse_qs(urlsplit(back).query)["code"][0]).json["error"] == "invalid_grant"


def test_nobody_has_no_user_information(raw: Callable[..., Raw]) -> None:
    assert raw("ya29.made-up")("GET", "/v1/userinfo").reason == "authError"
    assert raw(ALICE)("GET", "/v1/userinfo").json["name"] == "alice"


@pytest.mark.parametrize(("subject", "email"), [(None, ROBOT), (ALICE, ALICE)])
def test_a_service_account_logs_in_by_its_key_for_itself_or_for_another(
    drive_emulator: DriveEmulator, raw: Callable[..., Raw], subject: str | None, email: str
) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    info = {"client_email": ROBOT, "token_uri": f"{drive_emulator.url}/token", "private_key": pem}
    credentials = service_account.Credentials.from_service_account_info(info, scopes=[DRIVE], subject=subject)
    refresh(credentials)

    answer = raw(credentials.token, at=drive_emulator)("GET", "/drive/v3/about?fields=user")
    assert answer.json["user"]["emailAddress"] == email


def test_an_assertion_that_is_over_is_refused(emulator: DriveEmulator, raw: Callable[..., Raw]) -> None:
    assert assertion(raw, {"iss": ROBOT, "exp": 1_000_000_000}) == {"error": "invalid_grant"}


@pytest.mark.parametrize("claim", ["iss", "sub", "scope"])
def test_an_assertion_that_is_no_text_is_refused(raw: Callable[..., Raw], claim: str) -> None:
    claims = {"iss": ROBOT, "sub": ALICE, "exp": time.time() + 60, claim: "\ud800@example.com"}

    assert assertion(raw, claims) == {"error": "invalid_grant"}


def assertion(raw: Callable[..., Raw], claims: dict[str, Any]) -> dict[str, str]:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode()
    answer = raw(None)("POST", "/token", f"{JWT}.{payload}.c".replace("a.b.", "a.")).json
    return {"error": answer["error"]}


def test_a_service_account_has_no_room_for_content(connect: Callable[..., Any]) -> None:
    robot = connect(ROBOT)
    folder(robot, "shared")

    upload = robot.files().create(body={"name": "x"}, media_body=MediaInMemoryUpload(b"x"))
    assert refusal(upload) == (403, "storageQuotaExceeded")


def test_an_api_key_reads_what_links_make_public_and_no_more(raw: Callable[..., Raw], alice: Any) -> None:
    public, private = create(alice, "public"), create(alice, "private")
    alice.permissions().create(fileId=public, body={"type": "anyone", "role": "writer"}).execute()

    assert raw(None)("GET", f"{FILES}/{public}?key=AIza").json["name"] == "public"
    assert raw(None)("GET", f"{FILES}/{public}?alt=media", headers={"X-Goog-Api-Key": "AIza"}).status == 200
    assert raw(None)("GET", f"{FILES}/{private}?key=AIza").reason == "notFound"
    assert raw(None)("PATCH", f"{FILES}/{public}?key=AIza", {"name": "mine"}).reason == "required"
    assert raw(None)("GET", f"{FILES}?key=AIza").json["files"] == []
