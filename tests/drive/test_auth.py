from __future__ import annotations

import json
import logging
import sys
import types
from pathlib import Path
from typing import Any

import google.auth
import google.auth.exceptions
import pytest
from scripted import ME

from syft_flwr.drive.auth import DRIVE_SCOPE, load_credentials
from syft_flwr.errors import CredentialsError
from syft_flwr.settings import GOOGLE_URL, Endpoint

USER = {"type": "authorized_user", "client_id": "id", "client_secret": "secret", "refresh_token": "1//refresh"}
ROBOT = "robot@project.iam.gserviceaccount.com"

TokenFile = Any


def real(token_path: Path | None = None) -> Endpoint:
    return Endpoint(GOOGLE_URL, token_path, is_emulator=False)


@pytest.fixture
def write(tmp_path: Path) -> TokenFile:
    def write(content: Any, mode: int = 0o600) -> Path:
        path = tmp_path / "token.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        path.chmod(mode)
        return path

    return write


@pytest.fixture(scope="module")
def service_account_info() -> dict[str, str]:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {
        "type": "service_account",
        "client_email": ROBOT,
        "private_key": key.decode(),
        "token_uri": "https://oauth2.googleapis.com/token",
    }


def test_on_the_emulator_the_address_is_the_token() -> None:
    credentials = load_credentials(Endpoint("http://127.0.0.1:1", None, is_emulator=True), ME)
    assert credentials.token == ME
    assert credentials.valid


def test_on_the_emulator_the_machines_own_credentials_are_never_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(google.auth, "default", lambda **_: pytest.fail("asked"))
    load_credentials(Endpoint("http://127.0.0.1:1", None, is_emulator=True), ME)


def test_a_token_file_is_used_on_google(write: TokenFile) -> None:
    path = write({**USER, "token": "access", "expiry": "2999-01-01T00:00:00Z", "scopes": [DRIVE_SCOPE]})
    credentials = load_credentials(real(path), ME)
    assert credentials.token == "access"
    assert credentials.valid
    assert credentials.refresh_token == "1//refresh"
    assert credentials.token_uri == "https://oauth2.googleapis.com/token"


def test_the_files_own_token_uri_is_kept(write: TokenFile) -> None:
    path = write({**USER, "token_uri": "http://127.0.0.1:9/token"})
    assert load_credentials(real(path), ME).token_uri == "http://127.0.0.1:9/token"


@pytest.mark.parametrize("expiry", [None, "2001-01-01T00:00:00Z", "2001-01-01T00:00:00.000001Z", "2001-01-01T00:00:00"])
def test_a_token_of_unknown_or_past_expiry_counts_as_stale(write: TokenFile, expiry: str | None) -> None:
    assert not load_credentials(real(write({**USER, "token": "old", "expiry": expiry})), ME).valid


def test_a_missing_token_file_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match=r"can't read .*No such file.*GDRIVE_TOKEN_PATH"):
        load_credentials(real(tmp_path / "nowhere.json"), ME)


def test_a_directory_or_a_binary_in_its_place_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match="directory"):
        load_credentials(real(tmp_path), ME)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(CredentialsError, match="not text"):
        load_credentials(real(tmp_path / "binary"), ME)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("{", "is not JSON"),
        ("[]", "must hold a JSON object"),
        ("{}", "no refresh_token, client_id, client_secret"),
        ({**USER, "refresh_token": ""}, "no refresh_token"),
        ({**USER, "refresh_token": 7}, "no refresh_token"),
        ({**USER, "expiry": "tomorrow"}, "malformed"),
        ({**USER, "expiry": 12}, "malformed"),
        ({"type": "service_account", "client_email": ROBOT}, "malformed"),
    ],
)
def test_a_malformed_token_file_is_a_clear_error(write: TokenFile, content: Any, text: str) -> None:
    with pytest.raises(CredentialsError, match=text):
        load_credentials(real(write(content)), ME)


def test_no_error_shows_what_is_in_the_file(write: TokenFile) -> None:
    path = write('{"refresh_token": "1//very-secret", "client_secret": "s3cr3t" "x"}')
    with pytest.raises(CredentialsError) as caught:
        load_credentials(real(path), ME)
    assert caught.value.__cause__ is None
    assert "secret" not in str(caught.value).replace("client_secret", "")


def test_a_token_file_that_others_can_read_is_warned_of(write: TokenFile, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        load_credentials(real(write(USER, mode=0o644)), ME)
        assert "chmod 600" in caplog.text
        caplog.clear()
        load_credentials(real(write(USER, mode=0o600)), ME)
        assert not caplog.records


def test_a_service_account_acts_for_the_account_by_delegation(
    write: TokenFile, service_account_info: dict[str, str]
) -> None:
    credentials = load_credentials(real(write(service_account_info)), ME)
    assert credentials.service_account_email == ROBOT
    assert credentials._subject == ME
    assert credentials.scopes == [DRIVE_SCOPE]


def test_a_service_account_acts_as_itself_when_it_is_the_account(
    write: TokenFile, service_account_info: dict[str, str]
) -> None:
    assert load_credentials(real(write(service_account_info)), ROBOT.upper())._subject is None


def test_application_default_credentials_come_last(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(google.auth, "default", lambda scopes: (asked.append(scopes), "project"))
    load_credentials(real(), ME)
    assert asked == [[DRIVE_SCOPE]]


def test_without_any_credentials_the_error_names_the_ways_to_get_some(monkeypatch: pytest.MonkeyPatch) -> None:
    def default(**_: Any) -> Any:
        raise google.auth.exceptions.DefaultCredentialsError("none were found")

    monkeypatch.setattr(google.auth, "default", default)
    with pytest.raises(CredentialsError, match=r"GDRIVE_TOKEN_PATH.*gcloud auth application-default login"):
        load_credentials(real(), ME)


def test_in_colab_the_notebooks_user_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    auth = types.SimpleNamespace(authenticate_user=lambda: calls.append("authenticate"))
    monkeypatch.setitem(sys.modules, "google.colab", types.SimpleNamespace(auth=auth))  # type: ignore[arg-type]
    monkeypatch.setattr(google.auth, "default", lambda scopes: (calls.append("default"), None))
    load_credentials(real(), ME)
    assert calls == ["authenticate", "default"]


def test_a_refused_login_in_colab_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def authenticate_user() -> None:
        raise RuntimeError("the dialogue was closed")

    auth = types.SimpleNamespace(authenticate_user=authenticate_user)
    monkeypatch.setitem(sys.modules, "google.colab", types.SimpleNamespace(auth=auth))  # type: ignore[arg-type]
    with pytest.raises(CredentialsError, match="dialogue was closed"):
        load_credentials(real(), ME)


@pytest.mark.parametrize("sort", ["installed", "web"])
def test_an_oauth_client_in_place_of_a_token_is_told_apart(write: TokenFile, sort: str) -> None:
    with pytest.raises(CredentialsError, match=r"is the OAuth client, not a token.*syft-flwr login"):
        load_credentials(real(write({sort: {}})), ME)


def test_a_token_file_may_begin_with_a_byte_order_mark(write: TokenFile) -> None:
    assert load_credentials(real(write("\ufeff" + json.dumps(USER))), ME).refresh_token == "1//refresh"


@pytest.mark.parametrize("token", ["ya29.secret\n", "ya29.\u00fc", 5, ""])
def test_an_access_token_that_no_header_can_carry_is_replaced(write: TokenFile, token: object) -> None:
    path = write({**USER, "token": token, "expiry": "2999-01-01T00:00:00Z"})
    assert not load_credentials(real(path), ME).valid
