"""The doctor finds what is wrong at the step where it is wrong, and says what to do next."""

from __future__ import annotations

import errno
import json
from contextlib import closing
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import google.auth
import pytest
from token_endpoints import NARROW, granted, token_endpoint
from typer.testing import CliRunner

from accounts import APP, DO, DS, PlainAccount
from syft_flwr.cli import account, checks_drive, checks_here
from syft_flwr.cli.account import account_of
from syft_flwr.cli.doctor import examine
from syft_flwr.cli.main import app
from syft_flwr.drive.auth import DRIVE_SCOPE
from syft_flwr.drive.gateway import HttpDriveGateway
from syft_flwr.resources import DriveFile
from syft_flwr.rpc import P2PFileRpc
from syft_flwr.state.store import DiskStore
from syft_flwr.testing import DriveEmulator

STEPS = [
    *("versions", "state directory", "credentials", "refresh", "scopes", "Drive", "identity", "storage", "clock"),
    *("round trip", "peers", "messages", "quota"),
]


def findings(email: str = DO) -> dict[str, Any]:
    return dict(examine(account_of(email)))


def trouble(email: str = DO) -> dict[str, tuple[str, str]]:
    """Return what was found, with the advice, at each step that did not go well; not those that were skipped."""
    bad = {step: finding for step, finding in findings(email).items() if finding.standing in ("warning", "failed")}
    assert all(finding.advice for finding in bad.values()), bad
    return {step: (finding.standing, f"{finding.found} → {finding.advice}") for step, finding in bad.items()}


def test_a_healthy_account_has_a_tick_at_every_step_and_nothing_is_left_in_drive(drive: DriveEmulator) -> None:
    done = CliRunner().invoke(app, ["doctor", "--email", DO])
    assert done.exit_code == 0, done.output
    assert [line.split(":")[0] for line in done.stdout.splitlines()] == [f"✓ {step}" for step in STEPS]
    assert drive.files() == []


def test_what_is_found_comes_as_json_too(drive: DriveEmulator) -> None:
    done = CliRunner().invoke(app, ["doctor", "--email", DO, "--json", "--read-only"])
    document = json.loads(done.stdout)
    assert document["healthy"] is True
    assert [step["step"] for step in document["steps"]] == [step for step in STEPS if step != "round trip"]
    assert not any(request["method"] == "files.create" for request in drive.requests())


def test_a_failing_step_makes_the_exit_code_1_and_what_needs_it_is_skipped(drive: DriveEmulator) -> None:
    with drive.fault("error", method="about.get", status=403, reason="accessNotConfigured"):
        done = CliRunner().invoke(app, ["doctor", "--email", DO])
    assert done.exit_code == 1
    assert "- identity: needs Drive" in done.output
    assert "    → " in done.output


def test_a_package_that_is_missing_is_named(drive: DriveEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    def version(package: str) -> str:
        if package == "flwr":
            raise PackageNotFoundError(package)
        return "1"

    monkeypatch.setattr(checks_here, "version", version)
    assert "flwr is not installed → install again: pip" in trouble()["versions"][1]


def test_a_state_directory_that_is_a_file_is_found(
    drive: DriveEmulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    directory = account_of(DO).directory
    directory.parent.mkdir(parents=True)
    directory.touch()
    found = trouble()
    assert "is a file, where a directory must be" in found["state directory"][1]
    assert "SYFT_FLWR_STATE_DIR" in found["state directory"][1]


@pytest.mark.parametrize(
    ("patch", "words"),
    [
        (("os.access", lambda *_: False), "can't be written to → allow it: chmod"),
        (
            ("shutil.disk_usage", lambda _: SimpleNamespace(free=3 * 1024**2)),
            "only 3 MB are left on the disk",
        ),
        (("file_system_of", lambda _: "nfs4"), "network file system (nfs4), whose locks may fail → name another"),
        (("os.geteuid", lambda: -1), "belongs to another user → run as that user"),
    ],
)
def test_a_place_where_state_can_not_be_kept_is_found(
    drive: DriveEmulator, monkeypatch: pytest.MonkeyPatch, patch: tuple[str, Any], words: str
) -> None:
    exam = account_of(DO)
    exam.directory.mkdir(parents=True)
    monkeypatch.setattr(f"{checks_here.__name__}.{patch[0]}", patch[1])
    finding = checks_here.check_state_directory(exam)
    assert finding.standing != "ok"
    assert words in f"{finding.found} → {finding.advice}"


def test_an_error_of_the_system_is_found_at_its_step(drive: DriveEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    def disk_usage(_: Path) -> Any:
        raise OSError(errno.EIO, "Input/output error", "/data")

    monkeypatch.setattr(f"{checks_here.__name__}.shutil.disk_usage", disk_usage)
    assert trouble()["state directory"][1].startswith("/data: Input/output error → ")


def test_the_file_system_of_a_path_is_told() -> None:
    assert checks_here.file_system_of(Path("/proc/self")) == "proc"


def test_credentials_that_are_missing_are_told_with_the_way_to_get_some(
    plain_environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def default(**_: Any) -> Any:
        raise google.auth.exceptions.DefaultCredentialsError("none were found")

    monkeypatch.setattr(google.auth, "default", default)
    found = findings()
    assert "syft-flwr login CLIENT_FILE" in found["credentials"].found + found["credentials"].advice
    assert [step for step in STEPS if found[step].standing == "skipped"] == STEPS[3:11]


def test_which_credentials_are_used_and_why_is_told(
    drive: DriveEmulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    token = drive.write_token_file(DO, tmp_path / "token.json")
    monkeypatch.setenv("GDRIVE_TOKEN_PATH", str(token))
    found = findings()
    assert found["credentials"].found == f"the file {token}, which GDRIVE_TOKEN_PATH names"
    assert found["refresh"].found == "Google gives a new access token"
    assert found["scopes"].found == "not told by the token; Drive's answers will show"
    token.write_text(json.dumps({**json.loads(token.read_text()), "scopes": [DRIVE_SCOPE]}))
    assert findings()["scopes"].found == DRIVE_SCOPE


def test_a_token_that_was_revoked_is_found(
    drive: DriveEmulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GDRIVE_TOKEN_PATH", str(drive.write_token_file(DO, tmp_path / "token.json")))
    drive.revoke_tokens(DO)
    (step,) = trouble().items()
    assert step[0] == "refresh"
    assert "does not accept the credentials" in step[1][1]


def test_a_token_of_the_narrow_scope_is_explained(
    drive: DriveEmulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = drive.write_token_file(DO, tmp_path / "token.json")
    with token_endpoint(**granted(DO, NARROW)) as uri:
        path.write_text(json.dumps({**json.loads(path.read_text()), "token_uri": uri, "scopes": [DRIVE_SCOPE]}))
        monkeypatch.setenv("GDRIVE_TOKEN_PATH", str(path))
        found = trouble()
    assert "drive.file shows only files that this program made" in found["scopes"][1]
    assert "tick the box" in found["scopes"][1]


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("accessNotConfigured", "console.cloud.google.com/apis/library/drive.googleapis.com"),
        ("insufficientPermissions", "log in again, and tick the box for Drive"),
        ("domainPolicy", "its administrator can allow it"),
    ],
)
def test_why_drive_refuses_is_told_with_what_to_do(drive: DriveEmulator, reason: str, words: str) -> None:
    with drive.fault("error", method="about.get", status=403, reason=reason):
        assert words in trouble()["Drive"][1]


def test_an_emulator_that_does_not_run_is_told_by_its_address(
    plain_environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account, "_PATIENCE", 0.0)
    monkeypatch.setenv("DRIVE_EMULATOR_HOST", "127.0.0.1:9")
    standing, words = trouble()["Drive"]
    assert standing == "failed"
    assert "can't connect to 127.0.0.1:9: Connection refused" in words
    assert "is the emulator running? Start it with: syft-flwr emulator --port 9" in words


def test_the_credentials_of_another_account_are_found(
    drive: DriveEmulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GDRIVE_TOKEN_PATH", str(drive.write_token_file(DS, tmp_path / "token.json")))
    assert trouble()["identity"][1].startswith(f"these credentials are {DS}'s, not {DO}'s → log in as the other one")


@pytest.mark.parametrize(
    ("storage", "words"),
    [((0, 0), "no storage of its own"), ((15 * 1024**3, 15 * 1024**3), "15.0 of 15.0 GB used → there is no room")],
)
def test_an_account_without_room_is_found_and_no_upload_tried(
    drive: DriveEmulator, monkeypatch: pytest.MonkeyPatch, storage: tuple[int, int], words: str
) -> None:
    monkeypatch.setattr(HttpDriveGateway, "storage", lambda _: storage)
    assert words in trouble()["storage"][1]
    assert not any(request["method"] == "files.create" for request in drive.requests())


@pytest.mark.parametrize(("seconds", "standing"), [(60, "warning"), (3600, "failed")])
def test_a_clock_that_is_off_is_found(drive: DriveEmulator, seconds: int, standing: str) -> None:
    drive.advance(seconds)
    found = trouble()
    assert found["clock"][0] == standing
    assert "behind Drive's" in found["clock"][1]


def test_a_feed_that_does_not_show_a_new_file_is_found_and_nothing_is_left(
    drive: DriveEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks_drive, "FEED_PATIENCE", 0.0)
    with drive.behaviour(delay_seconds=3600.0):
        assert "the change feed did not show a new file" in trouble()["round trip"][1]
    assert drive.files() == []


def test_an_upload_that_fails_is_told(drive: DriveEmulator) -> None:
    with drive.fault("error", method="files.create", status=403, reason="storageQuotaExceeded"):
        assert "has no room left" in trouble()["round trip"][1]


def test_an_inbox_that_nobody_shares_is_found(drive: DriveEmulator) -> None:
    with PlainAccount(drive, DO) as me:
        me.path("SyftBox", f"syft_outbox_inbox_{DO}_to_{DS}")
        standing, words = trouble()["peers"]
        assert standing == "warning"
        assert f"{DS}'s syft_outbox_inbox_{DO}_to_{DS} is shared with nobody" in words
        assert f"syft-flwr peers add {DS}" in words
        me.share(me.path("SyftBox", f"syft_outbox_inbox_{DO}_to_{DS}"), DS)
        assert trouble() == {}


def test_an_inbox_that_can_only_be_viewed_is_found(drive: DriveEmulator) -> None:
    with PlainAccount(drive, DS) as peer:
        peer.share(peer.path("SyftBox", f"syft_outbox_inbox_{DO}_to_{DS}"), DO, "reader")
    assert f"the folder of {DS} can only be viewed from here" in trouble()["peers"][1]


def test_messages_that_wait_for_too_long_are_found(drive: DriveEmulator) -> None:
    directory = account_of(DO).directory
    directory.mkdir(parents=True)
    file = DriveFile(id="f", name="x.request", created_time="2026-01-01T00:00:00.000Z")
    row = {"file": file.to_api(), "seen_at": 0.0, "attempts": 0}
    with closing(DiskStore(directory / "ledger")) as store:
        store.transact(lambda tx: tx.put("work/1", row))
    standing, words = trouble()["messages"]
    assert standing == "warning"
    assert "1 request to handle" in words
    assert "no process of the account runs" in words
    assert "syft-flwr run PROJECT" in words


def test_requests_that_nobody_answers_are_found(drive: DriveEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(P2PFileRpc(DO, APP)) as rpc:
        rpc.send(DS, APP, "messages", b"x")
    assert trouble() == {}
    monkeypatch.setattr(checks_here, "_STUCK_AFTER", -1.0)
    assert "ask the other side whether it runs" in trouble()["messages"][1]


def test_a_budget_above_googles_limits_is_told(drive: DriveEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYFT_FLWR_QUOTA_PER_MINUTE", "2000000")
    assert "a budget of 2,000,000 units a minute" in trouble()["quota"][1]
