"""Drive at its worst: rate limits, outages, and answers that are lost after the write was applied."""

from __future__ import annotations

import threading
from collections import Counter

import pytest

from accounts import APP, DO, DS, messages, owner, serving, wait_until
from syft_flwr.clock import SystemClock
from syft_flwr.drive import session
from syft_flwr.errors import StorageQuotaError
from syft_flwr.rpc import P2PFileRpc
from syft_flwr.runtime import sharing
from syft_flwr.testing import DriveEmulator


class FastClock(SystemClock):
    """A hundred seconds in each: backing off and pacing take their time, and the test does not."""

    SPEED = 100.0

    def monotonic(self) -> float:
        return super().monotonic() * self.SPEED

    def wait(self, event: threading.Event, timeout: float | None) -> bool:
        return super().wait(event, None if timeout is None else timeout / self.SPEED)


@pytest.mark.usefixtures("plain_environment")
@pytest.mark.timeout(400)
@pytest.mark.parametrize("count", [100, pytest.param(1_000, marks=pytest.mark.slow)])
def test_round_trips_through_faults_are_all_answered_once(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(sharing, "SystemClock", FastClock)
    monkeypatch.setattr(session, "_WITNESSES", 1)  # Drive's clock does not run faster
    monkeypatch.setattr(session, "_AGREEMENT", 0.0)
    handled: Counter[bytes] = Counter()

    def echo(body: bytes) -> bytes:
        handled[body] += 1
        return body

    events = owner(echo, poll_interval=20.0, max_poll_interval=None)
    with DriveEmulator(process=True) as drive:
        monkeypatch.setenv("DRIVE_EMULATOR_HOST", drive.host)
        drive.seed(5)
        for status in (429, 403, 503):
            drive.add_fault("error", status=status, rate=0.1 / 3)
        for method in ("files.create", "files.delete", "permissions.create"):
            drive.add_fault("reset", method=method, when="after", rate=0.05)

        with P2PFileRpc(DS, APP, poll_interval=20.0) as rpc, serving(events):
            bodies = [b"%d" % number for number in range(count)]
            futures = rpc.send_many([(DO, APP, "messages", body) for body in bodies])
            assert list(rpc.wait(futures, 20_000).values()) == bodies
            stored = Counter(messages(drive))
            assert set(stored.values()) == {1}
            assert len(stored) == 2 * count
            usage = rpc.runtime.meter.snapshot()
            assert usage.throttled > count / 50
            assert sum(method.retries for method in usage.methods.values()) > count / 20
            assert usage.methods["files.create"].retries > count / 50
            for future_id in futures:
                rpc.delete_future(future_id)
            wait_until(lambda: not messages(drive), 100, pause=1.0)

    assert len(handled) == count
    assert set(handled.values()) == {1}


def test_a_full_drive_is_an_error_that_says_what_to_do_and_is_not_retried(drive: DriveEmulator) -> None:
    full = {"status": 403, "reason": "storageQuotaExceeded"}
    with P2PFileRpc(DS, APP) as rpc:
        rpc.send(DO, APP, "messages", b"x")
        with drive.fault("error", method="files.create", **full), pytest.raises(StorageQuotaError, match="no room"):
            rpc.send(DO, APP, "messages", b"x")
        assert rpc.runtime.meter.snapshot().methods["files.create"].retries == 0


def test_a_reply_that_can_not_be_sent_waits_and_is_not_computed_again(drive: DriveEmulator) -> None:
    bodies: list[bytes] = []

    def answer(body: bytes) -> bytes:
        bodies.append(body)
        return body

    with P2PFileRpc(DS, APP) as rpc:
        future_id = rpc.send(DO, APP, "messages", b"x")
        full = drive.fault("error", method="files.create", account=DO, status=403, reason="storageQuotaExceeded")
        with full, serving(owner(answer)):
            wait_until(lambda: bodies)
            wait_until(lambda: refused(drive))
        with serving(owner(answer)):
            assert rpc.wait([future_id], 20) == {future_id: b"x"}
    assert bodies == [b"x"]


def test_what_can_not_be_sent_now_is_not_tried_with_every_poll(drive: DriveEmulator) -> None:
    full = drive.fault("error", method="files.create", account=DO, status=403, reason="storageQuotaExceeded")
    with P2PFileRpc(DS, APP) as rpc, full, serving(owner(bytes.upper, poll_interval=0.02)):
        rpc.send(DO, APP, "messages", b"x")
        wait_until(lambda: refused(drive))
        polls = polled(drive)
        wait_until(lambda: polled(drive) > polls + 20)

        assert refused(drive) <= 3


def refused(drive: DriveEmulator) -> int:
    return sum(request["status"] == 403 for request in drive.requests())


def polled(drive: DriveEmulator) -> int:
    return sum(request["method"] == "changes.getStartPageToken" for request in drive.requests())
