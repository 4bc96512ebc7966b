"""Every kind of credentials in every state: what works, and what is said of what does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import google.oauth2.credentials
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from token_endpoints import NARROW, end_of_browsing, granted, refused, token_endpoint
from typer.testing import CliRunner

from accounts import DO, DS
from syft_flwr import settings
from syft_flwr.cli.main import app
from syft_flwr.drive.login import log_in
from syft_flwr.drive.tokens import logged_in
from syft_flwr.errors import CredentialsError
from syft_flwr.testing import DriveEmulator

SHORT_LIVED = "Invalid JWT: Token must be a short-lived token (60 minutes)"
ROBOT = "robot@project.iam.gserviceaccount.com"


@pytest.fixture(scope="module")
def private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return key.decode()


class Machine:
    """A machine on which the emulator is taken for Google's Drive."""

    def __init__(self, drive: DriveEmulator, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("DRIVE_EMULATOR_HOST")
        monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
        monkeypatch.setenv("CLOUDSDK_CONFIG", str(directory / "gcloud"))
        monkeypatch.setenv("NO_GCE_CHECK", "true")
        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "project")
        monkeypatch.setattr(settings, "GOOGLE_URL", drive.url)
        monkeypatch.setattr(google.oauth2.credentials, "_GOOGLE_OAUTH2_TOKEN_ENDPOINT", f"{drive.url}/token")
        self.drive = drive
        self.path = directory / "credentials.json"
        self._monkeypatch = monkeypatch

    def user(self, email: str, **more: Any) -> None:
        self.drive.write_token_file(email, self.path)
        self.path.write_text(json.dumps({**json.loads(self.path.read_text()), **more}))

    def use(self, kind: str) -> None:
        variable = "GOOGLE_APPLICATION_CREDENTIALS" if kind == "default" else "GDRIVE_TOKEN_PATH"
        self._monkeypatch.setenv(variable, str(self.path))

    def check(self) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["login", "--check", "--email", DO])
        assert "Traceback" not in done.output
        assert len(done.output.splitlines()) == 1, done.output
        return done.exit_code, done.output


@pytest.fixture
def machine(drive: DriveEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(drive, tmp_path, monkeypatch)


USERS = pytest.mark.parametrize("kind", ["file", "default"])


@USERS
def test_a_persons_good_credentials_work(machine: Machine, kind: str) -> None:
    machine.user(DO)
    machine.use(kind)
    assert machine.check() == (0, f"{DO}: logged in\n")


@USERS
def test_a_persons_expired_access_token_is_replaced(machine: Machine, kind: str) -> None:
    machine.user(DO, token="ya29.old", expiry="2020-01-01T00:00:00Z")
    machine.use(kind)
    assert machine.check()[0] == 0


@USERS
def test_a_persons_revoked_credentials_are_told_with_the_way_to_new_ones(machine: Machine, kind: str) -> None:
    machine.user(DO)
    machine.drive.revoke_tokens(DO)
    machine.use(kind)
    code, words = machine.check()
    assert code == 1
    assert "invalid_grant" in words
    assert "Log in again: syft-flwr login CLIENT_FILE" in words
    assert "last 7 days" in words


@USERS
def test_a_persons_credentials_of_a_narrow_scope_are_told(machine: Machine, kind: str) -> None:
    machine.user(DO, scopes=[NARROW])
    machine.use(kind)
    with machine.drive.fault("error", method="about.get", status=403, reason="insufficientPermissions"):
        code, words = machine.check()
    assert (code, "log in again, and tick the box for Drive" in words) == (1, True)


@USERS
def test_another_persons_credentials_are_told(machine: Machine, kind: str) -> None:
    machine.user(DS)
    machine.use(kind)
    assert machine.check() == (1, f"{DO}: these credentials are {DS}'s, not {DO}'s\n")


@pytest.mark.parametrize(("kind", "words"), [("file", "No such file"), ("default", "No such file")])
def test_missing_credentials_are_told_with_their_place(machine: Machine, kind: str, words: str) -> None:
    machine.use(kind)
    code, told = machine.check()
    assert code == 1
    assert words in told
    assert str(machine.path) in told
    assert "syft-flwr login CLIENT_FILE" in told


def test_without_any_credentials_the_ways_to_get_some_are_told(machine: Machine) -> None:
    code, told = machine.check()
    assert code == 1
    assert "no credentials for Google Drive. Log in: syft-flwr login CLIENT_FILE" in told
    assert "DRIVE_EMULATOR_HOST" in told


@pytest.mark.parametrize("content", [b"\xff\xfe", b"{", b"[]", b""])
@USERS
def test_unreadable_credentials_are_told_with_their_place(machine: Machine, kind: str, content: bytes) -> None:
    machine.path.write_bytes(content)
    machine.path.chmod(0o600)
    machine.use(kind)
    code, told = machine.check()
    assert (code, str(machine.path) in told) == (1, True)


@pytest.mark.parametrize("sort", ["installed", "web"])
@USERS
def test_the_oauth_client_in_their_place_is_told_with_what_to_do_with_it(
    machine: Machine, kind: str, sort: str
) -> None:
    machine.path.write_text(json.dumps({sort: {"client_id": "x"}}))
    machine.path.chmod(0o600)
    machine.use(kind)
    code, told = machine.check()
    assert code == 1
    assert f"{machine.path} is the OAuth client, not a token" in told
    assert f"syft-flwr login {machine.path}" in told


@USERS
def test_a_deleted_oauth_client_is_told(machine: Machine, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with token_endpoint(401, error="deleted_client", error_description="The OAuth client was deleted.") as uri:
        monkeypatch.setattr(google.oauth2.credentials, "_GOOGLE_OAUTH2_TOKEN_ENDPOINT", uri)
        machine.user(DO, token_uri=uri)
        machine.use(kind)
        code, told = machine.check()
    assert (code, "The OAuth client is gone: make a new one in the Cloud console, and log in with it" in told) == (
        1,
        True,
    )


class Robot(NamedTuple):
    """What Google answers a service account, and what is to be said of it."""

    status: int
    answer: dict[str, str]
    code: int
    words: str


ROBOTS = {
    "good": Robot(200, granted(DO), 0, "logged in"),
    "expired": Robot(400, refused("invalid_grant", SHORT_LIVED), 1, "set this machine's clock"),
    "revoked": Robot(400, refused("invalid_grant", "Invalid JWT Signature."), 1, "key was deleted: make a new one"),
    "wrong scope": Robot(401, refused("unauthorized_client", "Not authorized."), 1, "domain-wide delegation"),
    "wrong account": Robot(200, granted(DS), 1, f"these credentials are {DS}'s, not {DO}'s"),
    "no such user": Robot(400, refused("invalid_grant", "Invalid email or User ID"), 1, "is there an account of this"),
}


@pytest.mark.parametrize("robot", ROBOTS.values(), ids=ROBOTS)
@USERS
def test_a_service_account_that_acts_for_a_person(machine: Machine, private_key: str, kind: str, robot: Robot) -> None:
    with token_endpoint(robot.status, **robot.answer) as uri:
        key = {"type": "service_account", "client_email": ROBOT, "private_key": private_key, "token_uri": uri}
        machine.path.write_text(json.dumps(key))
        machine.path.chmod(0o600)
        machine.use(kind)
        code, words = machine.check()
    assert (code, robot.words in words) == (robot.code, True), words


@USERS
def test_a_service_accounts_key_that_is_cut_off_is_told(machine: Machine, private_key: str, kind: str) -> None:
    key = {"type": "service_account", "client_email": ROBOT, "private_key": private_key[:100], "token_uri": "http://x"}
    machine.path.write_text(json.dumps(key))
    machine.path.chmod(0o600)
    machine.use(kind)
    code, told = machine.check()
    assert (code, str(machine.path) in told) == (1, True)


def test_a_file_comes_before_a_log_in_and_a_log_in_before_the_default(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.user(DS)
    machine.use("default")
    assert machine.check()[0] == 1
    client = machine.drive.write_client_file(machine.path.with_name("client.json"))
    client.chmod(0o600)
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    log_in(client, settings.load_endpoint(), DO, ask=end_of_browsing)
    assert machine.check()[0] == 0
    machine.use("file")
    assert machine.check()[0] == 1


@pytest.mark.parametrize(
    ("status", "answer", "words"),
    [
        (
            200,
            {**granted(DO, NARROW), "refresh_token": "1//r"},
            "the access to Drive was not granted",
        ),
        (
            401,
            refused("deleted_client", "The OAuth client was deleted."),
            "deleted_client. The OAuth client is gone",
        ),
        (403, refused("org_internal", "Not in this organization."), "its audience must be External"),
        (400, refused("invalid_grant", "Malformed auth code."), "refused: invalid_grant. Log in again."),
    ],
)
def test_a_log_in_that_is_refused_keeps_nothing_and_says_what_to_do(
    drive: DriveEmulator, tmp_path: Path, status: int, answer: dict[str, str], words: str
) -> None:
    path = drive.write_client_file(tmp_path / "client.json")
    client = json.loads(path.read_text())
    path.chmod(0o600)
    with token_endpoint(status, **answer) as uri:
        path.write_text(json.dumps({"installed": {**client["installed"], "token_uri": uri}}))
        with pytest.raises(CredentialsError) as caught:
            log_in(path, settings.load_endpoint(), DO, ask=end_of_browsing)
    assert words in str(caught.value)
    assert logged_in(settings.load_endpoint()) == []


def test_an_account_that_does_not_allow_the_access_is_asked_whether_it_is_a_test_user(
    drive: DriveEmulator, tmp_path: Path
) -> None:
    path = drive.write_client_file(tmp_path / "client.json")
    path.chmod(0o600)

    def refuse(address: str) -> str:
        (state,) = parse_qs(urlsplit(address).query)["state"]
        return f"http://localhost:1/?error=access_denied&state={state}"

    with pytest.raises(CredentialsError, match="Is the account a test user of the app"):
        log_in(path, settings.load_endpoint(), DO, ask=refuse)
