from __future__ import annotations

import logging
import threading
import uuid
from typing import ClassVar

import pytest

from accounts import APP, DO, DS, calls, messages, owner, serving
from syft_flwr.clock import SystemClock
from syft_flwr.errors import InvalidNameError, PermissionDeniedError
from syft_flwr.rpc import P2PFileRpc
from syft_flwr.runtime import sharing
from syft_flwr.testing import DriveEmulator


def test_a_future_id_is_a_uuid4(drive: DriveEmulator) -> None:
    with P2PFileRpc(DS, APP) as rpc:
        assert uuid.UUID(rpc.send(DO, APP, "messages", b"x")).version == 4


def test_constructing_does_no_input_or_output(drive: DriveEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIVE_EMULATOR_HOST", "no such host")
    rpc = P2PFileRpc(sender_email=DS, app_name=APP)

    monkeypatch.setenv("DRIVE_EMULATOR_HOST", drive.host)
    assert drive.requests() == []
    assert (rpc.sender_email, rpc.app_name) == (DS, APP)
    rpc.close()


def test_encrypt_warns_once_for_each_recipient_and_sends_unencrypted(
    drive: DriveEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    with P2PFileRpc(DS, APP) as rpc, caplog.at_level(logging.WARNING, "syft_flwr.rpc"):
        rpc.send(DO, APP, "messages", b"plain", encrypt=True)
        rpc.send(DO.upper(), APP, "messages", b"plain", encrypt=True)
        rpc.send("other@example.com", APP, "messages", b"plain", encrypt=True)
        rpc.send("quiet@example.com", APP, "messages", b"plain")

    warnings = [record.getMessage() for record in caplog.records if "not encrypted" in record.getMessage()]
    assert [DO in warnings[0], "other@example.com" in warnings[1], len(warnings)] == [True, True, 2]
    assert {file.content for file in drive.files() if file.name.endswith(".request")} == {b"plain"}


@pytest.mark.parametrize("recipient", ["", "nobody", "a b@example.com", "a@", "@b", DS, DS.upper()])
def test_an_address_that_no_request_can_go_to_is_a_value_error(drive: DriveEmulator, recipient: str) -> None:
    with P2PFileRpc(DS, APP) as rpc, pytest.raises(ValueError, match=r"address|itself") as raised:
        rpc.send(recipient, APP, "messages", b"")

    assert isinstance(raised.value, InvalidNameError)
    assert drive.files() == []


@pytest.mark.parametrize(("app", "endpoint"), [("", "messages"), (APP, ""), (APP, "/"), (APP, "a\0b"), ("\ud800", "m")])
def test_a_name_that_no_folder_can_have_is_a_value_error(drive: DriveEmulator, app: str, endpoint: str) -> None:
    with P2PFileRpc(DS, APP) as rpc, pytest.raises(ValueError, match=r"app name|endpoint"):
        rpc.send(DO, app, endpoint, b"")

    assert drive.files() == []


def test_one_bad_request_of_many_keeps_all_from_being_sent(drive: DriveEmulator) -> None:
    with P2PFileRpc(DS, APP) as rpc, pytest.raises(InvalidNameError):
        rpc.send_many([(DO, APP, "messages", b""), ("nobody", APP, "messages", b"")])

    assert drive.files() == []


def test_send_many_returns_the_future_ids_in_order(drive: DriveEmulator) -> None:
    with P2PFileRpc(DS, APP) as rpc:
        futures = rpc.send_many([(DO, APP, f"endpoint{number % 3}", b"%d" % number) for number in range(30)])

    stored = {file.name: file.content for file in drive.files()}
    assert [stored[f"{future_id}.request"] for future_id in futures] == [b"%d" % number for number in range(30)]


class RecordingClock(SystemClock):
    """Notes how long transfers are held back, and holds none."""

    held: ClassVar[list[float]] = []

    def wait(self, event: threading.Event, timeout: float | None) -> bool:
        if not threading.current_thread().name.startswith("syft-transfer"):
            return super().wait(event, timeout)
        RecordingClock.held.append(timeout or 0.0)
        return event.is_set()


def test_a_burst_of_a_hundred_is_not_paced_and_what_follows_only_when_drive_says_so(
    drive: DriveEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "SystemClock", RecordingClock)
    monkeypatch.setattr(RecordingClock, "held", [])
    with P2PFileRpc(DS, APP) as rpc:
        rpc.send_many([(DO, APP, "messages", b"x")] * 100)

        assert len(messages(drive)) == 100
        assert RecordingClock.held == []
        assert rpc.runtime.meter.throttled == 0
        assert calls(drive, DS).count("files.generateIds") <= 3

        with drive.fault("error", method="files.create", status=429, times=1):
            rpc.send_many([(DO, APP, "messages", b"x")] * 30)
        assert rpc.runtime.meter.throttled == 1
        assert len(RecordingClock.held) > 20, "one to back off, and then each write waits for its turn"
        assert len(messages(drive)) == 130


def test_at_most_eight_transfers_are_under_way_at_once(drive: DriveEmulator) -> None:
    with P2PFileRpc(DS, APP) as rpc:
        rpc.send_many([(DO, APP, "messages", b"x")] * 40)

        transfers = [thread for thread in threading.enumerate() if thread.name.startswith("syft-transfer")]
        assert 1 < len(transfers) <= 8


def test_a_lost_answer_makes_no_second_file(drive: DriveEmulator) -> None:
    with P2PFileRpc(DS, APP) as rpc:
        for kind in ("reset", "close", "error"):
            with drive.fault(kind, method="files.create", when="after", times=3, status=503):
                rpc.send(DO, APP, "messages", b"x")

    names = [(file.name, file.parent) for file in drive.files()]
    assert len(messages(drive)) == 3
    assert len(names) == len(set(names))


def test_a_send_that_drive_refuses_leaves_no_future_and_can_be_repeated(drive: DriveEmulator) -> None:
    with P2PFileRpc(DS, APP) as rpc:
        rpc.send(DO, APP, "messages", b"first")
        with (
            drive.fault("error", method="files.create", status=403, reason="insufficientFilePermissions", times=2),
            pytest.raises(PermissionDeniedError),
        ):
            rpc.send(DO, APP, "messages", b"second")

        assert [file.content for file in drive.files() if file.name.endswith("request")] == [b"first"]
        rpc.send(DO, APP, "messages", b"second")
    assert len(messages(drive)) == 2


def test_a_share_that_failed_once_is_tried_again_until_it_holds(drive: DriveEmulator) -> None:
    refused = {"method": "permissions.create", "status": 403, "reason": "insufficientFilePermissions"}
    for share in range(2):
        with (
            P2PFileRpc(DS, APP) as rpc,
            drive.fault("error", times=1, **refused),
            pytest.raises(PermissionDeniedError),
        ):
            rpc.send(DO, APP, "messages", b"%d" % share)

    with P2PFileRpc(DS, APP) as rpc, serving(owner(bytes.upper)):
        assert rpc.wait([rpc.send(DO, APP, "messages", b"x")], 20)
    roots = [file for file in drive.files() if file.name.startswith("syft_outbox")]
    assert len(roots) == 2
    assert all(root.roles == {DS: "owner", DO: "writer"} for root in roots)
