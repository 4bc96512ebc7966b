"""The gateway against an emulator that fails as Drive does: nothing twice, nothing lost, everything booked."""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import google.auth
import pytest

from syft_flwr.drive import upload as upload_module
from syft_flwr.drive.auth import load_credentials
from syft_flwr.drive.budget import AccountBudget
from syft_flwr.drive.gateway import HttpDriveGateway
from syft_flwr.errors import CredentialsError, DriveUnavailableError, NotFoundError, RateLimitedError
from syft_flwr.settings import Endpoint
from syft_flwr.testing import DriveEmulator
from syft_flwr.testing.clock import ManualClock

ME = "me@example.com"
MIB = 1024 * 1024

Open = Callable[..., HttpDriveGateway]


@pytest.fixture(scope="module")
def running() -> Iterator[DriveEmulator]:
    with DriveEmulator() as emulator:
        yield emulator


@pytest.fixture
def drive(running: DriveEmulator) -> DriveEmulator:
    running.reset()
    running.seed(1)
    return running


@pytest.fixture
def connect(drive: DriveEmulator, clock: ManualClock) -> Iterator[Open]:
    """Open gateways to the emulator whose waits take no time."""
    opened: list[HttpDriveGateway] = []

    def connect(token_path: Path | None = None, **options: Any) -> HttpDriveGateway:
        endpoint = Endpoint(drive.url, token_path, is_emulator=True)
        options = {"clock": clock, "rng": random.Random(1), **options}
        opened.append(HttpDriveGateway(endpoint, load_credentials(endpoint, ME), **options))
        return opened[-1]

    yield connect
    for gateway in opened:
        gateway.close()


@pytest.mark.parametrize("kind", ["reset", "close"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_lost_answer_leaves_exactly_one_file_and_one_folder(
    drive: DriveEmulator, connect: Open, kind: str, when: str
) -> None:
    gateway = connect()
    folder, file = gateway.generate_ids(2)
    with drive.fault(kind, method="files.create", when=when, times=1):
        assert gateway.create_folder(folder, "folder", None).id == folder
    with drive.fault(kind, method="files.create", when=when, times=1):
        gateway.upload(file, "file", folder, b"body")
    assert [(stored.id, stored.content) for stored in drive.files()] == [(folder, None), (file, b"body")]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_lost_answer_leaves_exactly_one_permission_and_no_file(
    drive: DriveEmulator, connect: Open, when: str
) -> None:
    gateway = connect()
    (folder,) = gateway.generate_ids(1)
    gateway.create_folder(folder, "folder", None)
    with drive.fault("reset", method="permissions.create", when=when, times=1):
        gateway.share(folder, "you@example.com")
    assert drive.files()[0].roles == {ME: "owner", "you@example.com": "writer"}
    with drive.fault("reset", method="files.delete", when=when, times=1):
        gateway.delete(folder)
    assert drive.files() == []


@pytest.mark.parametrize("kind", ["reset", "close"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_resumable_upload_survives_three_breaks(
    drive: DriveEmulator, connect: Open, monkeypatch: pytest.MonkeyPatch, kind: str, when: str
) -> None:
    monkeypatch.setattr(upload_module, "CHUNK", MIB)
    gateway, body = connect(), os.urandom(6 * MIB)
    (file,) = gateway.generate_ids(1)
    with drive.fault(kind, method="uploads.put", when=when, rate=0.5, times=3):
        gateway.upload(file, "file", "root", body)
    (stored,) = drive.files()
    assert stored.content == body
    usage = gateway.meter.snapshot().methods
    assert usage["uploads.put"].retries >= 3
    assert usage["files.create"].calls == 1
    # Resumed, not restarted: beyond the body, only the chunks that a break had swallowed were sent again.
    assert usage["uploads.put"].bytes_up <= 9 * MIB


def test_a_resumable_upload_whose_last_answer_is_lost_is_found_complete(drive: DriveEmulator, connect: Open) -> None:
    gateway, body = connect(), os.urandom(6 * MIB)
    (file,) = gateway.generate_ids(1)
    with drive.fault("reset", method="uploads.put", when="after", times=1):
        gateway.upload(file, "file", "root", body)
    assert [stored.content for stored in drive.files()] == [body]
    assert gateway.meter.snapshot().methods["uploads.put"].bytes_up == len(body)


def test_a_session_whose_opening_was_lost_makes_one_file(drive: DriveEmulator, connect: Open) -> None:
    gateway, body = connect(), os.urandom(6 * MIB)
    (file,) = gateway.generate_ids(1)
    with drive.fault("reset", method="files.create", when="after", times=1):
        gateway.upload(file, "file", "root", body)
    assert [stored.content for stored in drive.files()] == [body]


def test_a_download_survives_resets(drive: DriveEmulator, connect: Open, tmp_path: Path) -> None:
    gateway, body = connect(), os.urandom(6 * MIB)
    (file,) = gateway.generate_ids(1)
    gateway.upload(file, "file", "root", body)
    with drive.fault("reset", method="files.get_media", times=3):
        gateway.download(file, tmp_path / "down", size=len(body), sha256=hashlib.sha256(body).hexdigest())
    assert (tmp_path / "down").read_bytes() == body


def test_eight_threads_among_mixed_faults_lose_nothing_and_write_nothing_twice(
    drive: DriveEmulator, connect: Open, tmp_path: Path
) -> None:
    gateway = connect()
    (folder, *files) = gateway.generate_ids(101)
    gateway.create_folder(folder, "folder", None)
    for status in (429, 500, 503):
        drive.add_fault("error", status=status, rate=0.03)
    drive.add_fault("error", status=403, reason="userRateLimitExceeded", rate=0.03)
    for when in ("before", "after"):
        drive.add_fault("reset", when=when, rate=0.03)

    def round_trip(file: str) -> bytes:
        gateway.upload(file, file, folder, file.encode())
        gateway.download(file, tmp_path / file, size=len(file), sha256=None)
        return (tmp_path / file).read_bytes()

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(round_trip, files)) == [file.encode() for file in files]
    drive.clear_faults()
    assert Counter(stored.id for stored in drive.files()) == Counter([folder, *files])
    snapshot = gateway.meter.snapshot()
    assert snapshot.methods["files.create"].retries > 0
    assert snapshot.throttled > 0


def test_the_bill_is_drives_own_also_after_faults(drive: DriveEmulator, connect: Open, tmp_path: Path) -> None:
    gateway = connect()
    drive.add_fault("error", status=503, rate=0.2)
    drive.add_fault("reset", rate=0.1)
    drive.add_fault("close", when="after", rate=0.1)
    folder, file, large = gateway.generate_ids(3)
    gateway.create_folder(folder, "folder", None)
    gateway.share(folder, "you@example.com")
    gateway.upload(file, "file", folder, b"body")
    gateway.upload(large, "large", folder, bytes(6 * MIB))
    gateway.download(file, tmp_path / "down", size=4, sha256=None)
    list(gateway.list_files(f"'{folder}' in parents"))
    gateway.list_changes(gateway.get_start_page_token())
    gateway.about()
    gateway.delete(file)
    bill = {method: (usage["calls"], usage["units"]) for method, usage in drive.stats()[ME].items()}
    usage = gateway.meter.snapshot().methods
    assert {method: (of.calls, of.units) for method, of in usage.items()} == bill


def test_an_expired_token_is_refreshed_from_its_file(drive: DriveEmulator, connect: Open, tmp_path: Path) -> None:
    path = drive.write_token_file(ME, tmp_path / "token.json")
    before = path.read_bytes()
    gateway = connect(path)
    assert gateway.about().email == ME
    drive.expire_tokens(ME)
    assert gateway.about().email == ME
    assert path.read_bytes() == before


def test_a_revoked_login_says_to_log_in_again(drive: DriveEmulator, connect: Open, tmp_path: Path) -> None:
    gateway = connect(drive.write_token_file(ME, tmp_path / "token.json"))
    gateway.about()
    drive.revoke_tokens(ME)
    with pytest.raises(CredentialsError, match="Log in again"):
        gateway.about()


def test_a_login_that_the_emulator_does_not_know_is_a_clear_error(
    drive: DriveEmulator, connect: Open, tmp_path: Path
) -> None:
    path = drive.write_token_file(ME, tmp_path / "token.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "refresh_token": "unknown"}))
    with pytest.raises(CredentialsError, match="Log in again"):
        connect(path).about()


def test_a_real_login_of_the_machine_never_reaches_the_emulator(
    drive: DriveEmulator, connect: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "adc.json").write_text("{}")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "adc.json"))
    monkeypatch.setattr(google.auth, "default", lambda **_: pytest.fail("asked"))
    assert connect().about().email == ME


def test_no_proxy_comes_between_the_gateway_and_the_emulator(connect: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert connect().about().email == ME


def test_a_budget_keeps_an_account_below_drives_own_limit(drive: DriveEmulator, connect: Open) -> None:
    gateway = connect(budget=AccountBudget(per_minute=1_000))
    with drive.fault("rate_limit", units_per_minute=1_000):
        for _ in range(5):
            gateway.list_changes("1")
        drive.advance(60)
        gateway.list_changes("1")
    assert gateway.meter.throttled == 0


def test_a_limit_that_lasts_is_raised_when_the_attempts_are_used_up(drive: DriveEmulator, connect: Open) -> None:
    gateway = connect()
    with drive.fault("error", status=403, reason="userRateLimitExceeded"), pytest.raises(RateLimitedError):
        gateway.get_start_page_token()
    assert gateway.get_start_page_token()


def test_a_download_of_a_file_that_vanishes_in_between_leaves_nothing(
    drive: DriveEmulator, connect: Open, tmp_path: Path
) -> None:
    gateway = connect()
    (file,) = gateway.generate_ids(1)
    gateway.upload(file, "file", "root", b"body")
    gateway.delete(file)
    with pytest.raises(NotFoundError):
        gateway.download(file, tmp_path / "down", size=4, sha256=None)
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_gone_only_when_drive_says_so_of_its_metadata_as_well(
    drive: DriveEmulator, connect: Open, tmp_path: Path
) -> None:
    gateway = connect()
    (file,) = gateway.generate_ids(1)
    gateway.upload(file, "file", "root", b"body")
    with (
        drive.fault("error", method="files.get_media", status=404, reason="notFound"),
        pytest.raises(DriveUnavailableError, match=r"shows file .* but not its content"),
    ):
        gateway.download(file, tmp_path / "down", size=4, sha256=None)
    gateway.download(file, tmp_path / "down", size=4, sha256=None)
    assert (tmp_path / "down").read_bytes() == b"body"
