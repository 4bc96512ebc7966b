from __future__ import annotations

import json
import threading
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from token_endpoints import end_of_browsing
from typer.testing import CliRunner

from accounts import DO, DS
from syft_flwr.cli.main import app
from syft_flwr.drive.auth import load_credentials
from syft_flwr.drive.login import log_in
from syft_flwr.drive.tokens import logged_in, token_file
from syft_flwr.errors import CredentialsError
from syft_flwr.settings import Endpoint, load_endpoint
from syft_flwr.testing import DriveEmulator


class Browser:
    """Opens an address as a browser does: beside the program, which meanwhile waits for it."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []

    def open(self, url: str, **_: Any) -> None:
        self.threads.append(threading.Thread(target=lambda: urlopen(url, timeout=30).close()))
        self.threads[-1].start()


@pytest.fixture(autouse=True)
def browser(monkeypatch: pytest.MonkeyPatch, drive: DriveEmulator) -> Iterator[Browser]:
    browser = Browser()
    monkeypatch.setattr(webbrowser, "get", lambda _: browser)
    yield browser
    for thread in browser.threads:
        thread.join(30)


@pytest.fixture
def client_file(drive: DriveEmulator, tmp_path: Path) -> Path:
    path = drive.write_client_file(tmp_path / "client_secret.json")
    path.chmod(0o600)
    return path


def syft_flwr(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_who_logged_in_needs_no_variable_and_who_logged_out_is_gone(client_file: Path) -> None:
    for email in (DO, DS):
        done = syft_flwr("login", client_file, "--email", email)
        assert (done.exit_code, done.output.splitlines()[-1]) == (0, f"{email} is logged in")
    endpoint = load_endpoint()
    token = token_file(endpoint, DO.upper())
    assert token.stat().st_mode & 0o777 == 0o600
    assert token.parent.stat().st_mode & 0o777 == 0o700
    assert load_credentials(endpoint, DO).refresh_token == json.loads(token.read_text())["refresh_token"]
    assert syft_flwr("login", "--check").output == f"{DO}: logged in\n{DS}: logged in\n"

    assert syft_flwr("logout", "--email", DO).output == f"{DO} is logged out\n"

    assert logged_in(endpoint) == [DS]
    again = syft_flwr("logout", "--email", DO)
    assert (again.exit_code, "not logged in" in again.output) == (1, True)


def test_a_log_out_revokes_the_token_for_good(client_file: Path, tmp_path: Path) -> None:
    syft_flwr("login", client_file, "--email", DO)
    endpoint = load_endpoint()
    copy = tmp_path / "copy.json"
    copy.write_bytes(token_file(endpoint, DO).read_bytes())
    copy.chmod(0o600)
    syft_flwr("logout", "--email", DO)

    token_file(endpoint, DO).write_bytes(copy.read_bytes())
    done = syft_flwr("login", "--check")

    assert done.exit_code == 1
    assert "does not accept the credentials (invalid_grant)" in done.output


@pytest.mark.parametrize("whole_address", [True, False])
def test_without_a_browser_the_code_or_the_address_that_holds_it_will_do(
    client_file: Path, whole_address: bool
) -> None:
    def ask(address: str) -> str:
        end = end_of_browsing(address)
        return end if whole_address else end.partition("code=")[2].partition("&")[0].replace("%2F", "/")

    assert log_in(client_file, load_endpoint(), DO, ask=ask) == DO
    assert logged_in(load_endpoint()) == [DO]


def test_a_log_in_as_another_account_is_refused_and_not_kept(client_file: Path) -> None:
    def ask(address: str) -> str:
        return end_of_browsing(address.replace("do%40example.com", "ds%40example.org"))

    with pytest.raises(CredentialsError, match=f"you logged in as {DS}, not as {DO}"):
        log_in(client_file, load_endpoint(), DO, ask=ask)
    assert logged_in(load_endpoint()) == []


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("4/made-up", "log-in was refused: invalid_grant"),
        ("http://localhost:1/?error=access_denied", "log-in was refused"),
        ("http://localhost:1/", "log-in was refused"),
        ("http://localhost:1/?code=4/x&state=another", "the address is of another log-in"),
    ],
)
def test_a_refused_consent_is_told_in_words(client_file: Path, answer: str, words: str) -> None:
    with pytest.raises(CredentialsError, match=words):
        log_in(client_file, load_endpoint(), DO, ask=lambda _: answer)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"web": {}}', "Desktop app"),
        ('{"refresh_token": "1//r"}', "is a token already"),
        ("{}", "no OAuth client file"),
        ('{"installed": {}}', "malformed"),
        ("<html>", "is not JSON"),
    ],
)
def test_a_file_of_another_sort_is_told_in_words(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "client.json"
    path.write_text(content)
    done = syft_flwr("login", path)
    assert done.exit_code == 1
    assert words in done.output
    assert "Traceback" not in done.output


def test_a_log_in_without_a_file_is_a_wrong_call() -> None:
    assert syft_flwr("login").exit_code == 2
    none = syft_flwr("login", "--check")
    assert (none.exit_code, "syft-flwr login CLIENT_FILE" in none.output) == (1, True)


def test_a_token_for_one_drive_is_not_given_to_another(client_file: Path) -> None:
    syft_flwr("login", client_file, "--email", DO)
    assert load_credentials(Endpoint("http://127.0.0.1:1", None, is_emulator=True), DO).token == DO
