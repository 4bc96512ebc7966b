"""Every fault bites the real client library, or a plain connection where the library would hide it."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable
from http.client import RemoteDisconnected
from typing import Any

import pytest
from emulator_steps import ALICE, BOB, FILES, Raw, create, found, refusal, start
from googleapiclient.http import MediaInMemoryUpload, MediaIoBaseDownload, MediaIoBaseUpload

from drive_emulator import DriveEmulator


def reserve(client: Any) -> str:
    return client.files().generateIds(count=1).execute()["ids"][0]


def test_a_one_shot_error_strikes_the_next_call_of_its_method_and_account(
    emulator: DriveEmulator, alice: Any, bob: Any
) -> None:
    with emulator.fault("error", method="files.create", account=ALICE, status=503, times=1):
        alice.files().list().execute()
        bob.files().create(body={}).execute()
        assert refusal(alice.files().create(body={"name": "x"})) == (503, "backendError")
        alice.files().create(body={"name": "x"}).execute()

    assert len([file for file in emulator.files() if file.owner == ALICE]) == 1


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (403, "userRateLimitExceeded"),
        (429, "rateLimitExceeded"),
        (500, "internalError"),
        (502, "backendError"),
        (504, "backendError"),
    ],
)
def test_an_error_has_drives_reason_for_its_status(
    emulator: DriveEmulator, alice: Any, status: int, reason: str
) -> None:
    with emulator.fault("error", status=status):
        assert refusal(alice.files().list()) == (status, reason)


def test_a_401_is_what_googles_is(emulator: DriveEmulator, raw: Callable[..., Raw]) -> None:
    with emulator.fault("error", status=401):
        answer = raw()("GET", FILES)

    assert (answer.status, answer.reason) == (401, "authError")
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


def test_a_reason_can_be_given_and_a_time_to_wait(emulator: DriveEmulator, raw: Callable[..., Raw]) -> None:
    with emulator.fault("error", status=403, reason="storageQuotaExceeded", retry_after=7):
        answer = raw()("GET", FILES)

    assert (answer.status, answer.reason, answer.headers["Retry-After"]) == (403, "storageQuotaExceeded", "7")


def test_the_client_librarys_own_retries_get_through(emulator: DriveEmulator, alice: Any) -> None:
    with emulator.fault("error", status=503, times=1):
        alice.files().list().execute(num_retries=1)

    assert emulator.stats()[ALICE]["files.list"]["errors"] == 1


def test_an_error_before_leaves_no_trace_and_one_after_has_taken_effect(emulator: DriveEmulator, alice: Any) -> None:
    with emulator.fault("error", status=500, when="before"):
        refusal(alice.files().create(body={"name": "before"}))
    with emulator.fault("error", status=500, when="after"):
        refusal(alice.files().create(body={"name": "after"}))

    assert found(alice, "") == ["after"]


def test_a_reset_after_the_write_was_applied_makes_a_blind_retry_meet_409(emulator: DriveEmulator, alice: Any) -> None:
    call = alice.files().create(body={"id": reserve(alice)}, media_body=MediaInMemoryUpload(b"x"))

    with emulator.fault("reset", method="files.create", when="after", times=1), pytest.raises(ConnectionResetError):
        call.execute()

    assert refusal(call) == (409, "fileIdInUse")
    assert len(emulator.files()) == 1


def test_a_reset_before_the_write_leaves_nothing(emulator: DriveEmulator, alice: Any) -> None:
    call = alice.files().create(body={"id": reserve(alice)}, media_body=MediaInMemoryUpload(b"x"))

    with emulator.fault("reset", method="files.create", when="before", times=1), pytest.raises(ConnectionResetError):
        call.execute()

    assert emulator.files() == []
    call.execute()


def test_a_clean_close_without_an_answer_makes_httplib2_send_again_by_itself(
    emulator: DriveEmulator, alice: Any
) -> None:
    reserve(alice)
    with emulator.fault("close", method="files.create", when="after", times=1):
        alice.files().create(body={"name": "twice"}).execute()

    assert [file.name for file in emulator.files()] == ["twice", "twice"]


def test_a_clean_close_is_an_empty_answer(emulator: DriveEmulator, raw: Callable[..., Raw]) -> None:
    with emulator.fault("close", times=1), pytest.raises(RemoteDisconnected):
        raw()("GET", FILES)

    assert emulator.requests()[-1]["status"] == 0


def test_a_download_that_breaks_off_half_way_can_be_resumed(emulator: DriveEmulator, alice: Any) -> None:
    content = bytes(range(250)) * 1000
    file = alice.files().create(body={}, media_body=MediaInMemoryUpload(content)).execute()["id"]
    target = io.BytesIO()
    download = MediaIoBaseDownload(target, alice.files().get_media(fileId=file), chunksize=100_000)
    download.next_chunk()

    with emulator.fault("reset", method="files.get_media", when="during", times=1), pytest.raises(ConnectionError):
        download.next_chunk()
    done = False
    while not done:
        # httplib2 finds out only when it sends that the connection is gone.
        with contextlib.suppress(ConnectionError):
            _, done = download.next_chunk()

    assert target.getvalue() == content


def test_an_upload_that_breaks_off_half_way_keeps_what_came(emulator: DriveEmulator, alice: Any) -> None:
    content = bytes(range(250)) * 3000
    media = MediaIoBaseUpload(io.BytesIO(content), "image/png", chunksize=256 * 1024, resumable=True)
    upload = alice.files().create(body={}, media_body=media)
    upload.next_chunk()

    with emulator.fault("reset", method="uploads.put", when="during", times=1), pytest.raises(ConnectionError):
        upload.next_chunk()
    answer = None
    while answer is None:
        with contextlib.suppress(ConnectionError):
            _, answer = upload.next_chunk()

    assert alice.files().get_media(fileId=answer["id"]).execute() == content


def test_latency_makes_calls_wait(emulator: DriveEmulator, alice: Any) -> None:
    with emulator.fault("latency", seconds=0.05, jitter=0.01):
        started = time.monotonic()
        alice.files().list().execute()

        assert time.monotonic() - started >= 0.05


def test_bandwidth_slows_bodies_down_both_ways(emulator: DriveEmulator, alice: Any) -> None:
    content = b"x" * 20_000
    with emulator.fault("bandwidth", bytes_per_second=400_000):
        started = time.monotonic()
        file = alice.files().create(body={}, media_body=MediaInMemoryUpload(content)).execute()["id"]
        middle = time.monotonic()
        assert alice.files().get_media(fileId=file).execute() == content

        assert middle - started >= 0.05
        assert time.monotonic() - middle >= 0.05


def test_a_rate_limit_counts_units_in_the_minute_that_begins_with_an_account_s_request(
    emulator: DriveEmulator, alice: Any, bob: Any
) -> None:
    with emulator.fault("rate_limit", units_per_minute=250):
        alice.files().list().execute()
        emulator.advance(30)
        alice.files().list().execute()
        assert refusal(alice.files().list()) == (403, "userRateLimitExceeded")
        alice.files().create(body={}).execute()
        bob.files().list().execute()
        emulator.advance(31)
        alice.files().list().execute()
        alice.files().list().execute()
        assert refusal(alice.files().list()) == (403, "userRateLimitExceeded")


def test_a_page_token_can_be_refused(emulator: DriveEmulator, alice: Any) -> None:
    token = start(alice)
    with emulator.fault("error", method="changes.list", status=400, location="pageToken", times=1):
        assert refusal(alice.changes().list(pageToken=token)) == (400, "invalid")
    with emulator.fault("error", method="changes.list", status=410, times=1):
        assert refusal(alice.changes().list(pageToken=token))[0] == 410

    alice.changes().list(pageToken=token).execute()


def test_with_the_same_seed_the_same_goes_wrong(emulator: DriveEmulator, raw: Callable[..., Raw]) -> None:
    runs = []
    for _ in range(2):
        emulator.seed(7)
        with emulator.fault("error", rate=0.5):
            runs.append([raw()("GET", f"{FILES}/generateIds").status for _ in range(20)])

    assert runs[0] == runs[1]
    assert {200, 503} == set(runs[0])


def test_a_fault_ends_with_its_block(emulator: DriveEmulator, alice: Any) -> None:
    with emulator.fault("error"):
        pass

    alice.files().list().execute()


def test_a_fault_within_a_batch_strikes_one_call(emulator: DriveEmulator, alice: Any) -> None:
    outcomes: list[Any] = []
    batch = alice.new_batch_http_request(callback=lambda _id, _answer, error: outcomes.append(error))
    for name in ("a", "b"):
        batch.add(alice.files().create(body={"name": name}))

    with emulator.fault("error", method="files.create", status=500, times=1):
        batch.execute()

    assert [error and error.status_code for error in outcomes] == [500, None]
    assert [file.name for file in emulator.files()] == ["b"]


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "earthquake"},
        {"kind": "error", "status": 200},
        {"kind": "error", "surprise": 1},
        {"kind": "error", "rate": -1},
        {"kind": "error", "rate": "often"},
        {"kind": "error", "when": "never"},
        {"kind": "error", "when": "during"},
        {"kind": "bandwidth", "bytes_per_second": 0},
        {"kind": "latency", "seconds": True},
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(emulator: DriveEmulator, fault: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        emulator.add_fault(**fault)


def test_faults_for_one_account_spare_the_others(emulator: DriveEmulator, alice: Any, bob: Any) -> None:
    with emulator.fault("error", account=BOB.upper(), status=429):
        create(alice, "x")
        assert refusal(bob.files().list()) == (429, "rateLimitExceeded")
