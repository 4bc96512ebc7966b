"""An emulator that lets nobody in but who has a token file."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from emulator_steps import ALICE, BOB, Raw

from drive_emulator.__main__ import main
from drive_emulator.server import EmulatorServer

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmulatorServer]:
    server = EmulatorServer(token_files={ALICE: tmp_path / "alice.json"})
    server.start()
    yield server
    server.stop()


@pytest.fixture
def stranger(server: EmulatorServer) -> Iterator[Raw]:
    raw = Raw(server.port, ALICE)
    yield raw
    raw.close()


def test_who_has_a_token_file_is_let_in(server: EmulatorServer, stranger: Raw, tmp_path: Path) -> None:
    path = tmp_path / "alice.json"
    assert path.stat().st_mode & 0o777 == 0o600
    token = json.loads(path.read_text())
    assert token["token_uri"] == f"{server.url}/token"
    form = {"grant_type": "refresh_token", "refresh_token": token["refresh_token"]}
    access = stranger("POST", "/token", urlencode(form), FORM).json["access_token"]
    shown = stranger("GET", "/drive/v3/about?fields=user", headers={"Authorization": f"Bearer {access}"})
    assert shown.json["user"]["emailAddress"] == ALICE


@pytest.mark.parametrize("email", [ALICE, BOB])
def test_an_address_is_no_token(stranger: Raw, email: str) -> None:
    assert stranger("GET", "/drive/v3/files", headers={"Authorization": f"Bearer {email}"}).status == 401


def test_nobody_can_consent_for_an_account(stranger: Raw) -> None:
    query = urlencode({"redirect_uri": "http://localhost:1", "login_hint": ALICE, "response_type": "code"})
    assert stranger("GET", f"/o/oauth2/auth?{query}").json["error"] == "access_denied"
    claims = json.dumps({"iss": ALICE, "sub": ALICE, "exp": time.time() + 60}).encode()
    assertion = f"e30.{base64.urlsafe_b64encode(claims).decode()}.x"
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}
    assert stranger("POST", "/token", urlencode(form), FORM).json["error"] == "unsupported_grant_type"


def test_a_token_file_without_an_account_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--token-file", "token.json"])
    assert "token.json is not ADDRESS=FILE" in capsys.readouterr().err
