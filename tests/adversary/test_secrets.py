"""A token goes encrypted to Google, or to an emulator of this machine, and no text of a token endpoint is repeated."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import google.auth.exceptions
import pytest
from oauthlib.oauth2 import OAuth2Error

from syft_flwr.drive import login
from syft_flwr.drive.auth import load_credentials
from syft_flwr.drive.mapping import TransportErrors
from syft_flwr.errors import ConfigurationError, CredentialsError, DriveUnavailableError, SyftFlwrError
from syft_flwr.settings import Endpoint, load_endpoint

ME = "me@example.com"
SECRET = "1//refresh-token-and-<html>"
USER = {"refresh_token": "r", "client_id": "c", "client_secret": "s"}
CLIENT = {"client_id": "c", "client_secret": "s", "redirect_uris": ["http://localhost"]}
GOOGLE = "https://oauth2.googleapis.com/token"


@pytest.mark.parametrize("host", ["127.0.0.1:8085", "localhost:1", "[::1]:8085", "127.9.9.9:8085"])
def test_an_emulator_on_this_machine_is_used(
    host: str, plain_environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRIVE_EMULATOR_HOST", host)
    assert load_endpoint().url == f"http://{host}"


@pytest.mark.parametrize(
    "host",
    [
        "drive.example.com:80",
        "10.0.0.1:8085",
        "0.0.0.0:8085",
        "localhost.example.com:80",
        "127.0.0.1.nip.io:80",
        "[::]:8085",
    ],
)
def test_an_emulator_elsewhere_needs_a_word_that_says_what_it_risks(
    host: str, plain_environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRIVE_EMULATOR_HOST", host)
    with pytest.raises(ConfigurationError, match="READABLE_BY_THE_NETWORK=yes"):
        load_endpoint()
    monkeypatch.setenv("DRIVE_EMULATOR_READABLE_BY_THE_NETWORK", "yes")
    assert load_endpoint().is_emulator


def token(tmp_path: Path, **fields: Any) -> Path:
    path = tmp_path / "token.json"
    path.write_text(json.dumps({**USER, **fields}))
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("fields", [{}, {"token_uri": GOOGLE}, {"token_uri": "https://login.example.com/token"}])
def test_an_emulator_never_gets_a_real_token(fields: dict[str, str], tmp_path: Path) -> None:
    emulator = Endpoint("http://127.0.0.1:9", token(tmp_path, **fields), is_emulator=True)
    with pytest.raises(CredentialsError, match="is not sent to the one at http://127"):
        load_credentials(emulator, ME)
    with pytest.raises(CredentialsError, match="is not sent to the one at http://127"):
        login.log_in(client(tmp_path, token_uri=GOOGLE, auth_uri=GOOGLE), emulator, ME, ask=lambda _: "code")


def test_an_emulators_own_token_goes_to_it(tmp_path: Path) -> None:
    path = token(tmp_path, token_uri="http://127.0.0.1:9/token")
    assert load_credentials(Endpoint("http://127.0.0.1:9", path, is_emulator=True), ME)


def client(tmp_path: Path, **fields: Any) -> Path:
    path = tmp_path / "client.json"
    path.write_text(json.dumps({"installed": {**CLIENT, **fields}}))
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    "address", ["http://oauth2.googleapis.com/token", "http://example.com", "ftp://example.com", "//x", 7]
)
def test_secrets_go_over_tls_or_nowhere(address: Any, tmp_path: Path) -> None:
    real = Endpoint("https://www.googleapis.com", token(tmp_path, token_uri=address), is_emulator=False)
    with pytest.raises(CredentialsError, match="https"):
        load_credentials(real, ME)
    with pytest.raises(CredentialsError, match="https"):
        login.log_in(client(tmp_path, token_uri=address, auth_uri=GOOGLE), real, ME, ask=lambda _: "code")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (google.auth.exceptions.RefreshError(SECRET, SECRET), "no error code"),
        (google.auth.exceptions.RefreshError(f"invalid_grant: {SECRET}", {"error": "invalid_grant"}), "invalid_grant"),
        (google.auth.exceptions.RefreshError(f"{SECRET}", {"error": SECRET}), "no error code"),
        (google.auth.exceptions.RefreshError(SECRET, SECRET, retryable=True), "no error code"),
        (google.auth.exceptions.RefreshError(), "no error code"),
    ],
)
def test_what_a_token_endpoint_answers_is_never_quoted_not_even_in_a_traceback(error: Exception, told: str) -> None:
    with pytest.raises((CredentialsError, DriveUnavailableError)) as raised, TransportErrors("about.get"):
        raise error
    text = "".join(traceback.format_exception(raised.value))
    assert told in str(raised.value)
    assert SECRET not in text


def test_a_refused_log_in_tells_the_code_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OAuth2Error(description=SECRET)

    monkeypatch.setattr(login, "_redeem", refuse)
    emulator = Endpoint("http://127.0.0.1:9", None, is_emulator=True)
    file = client(tmp_path, token_uri="http://127.0.0.1:9/token", auth_uri="http://127.0.0.1:9/auth")
    answer: Callable[[str], str] = lambda _: "code"  # noqa: E731
    with pytest.raises(SyftFlwrError, match="the log-in was refused") as raised:
        login.log_in(file, emulator, ME, ask=answer)
    assert SECRET not in "".join(traceback.format_exception(raised.value))
