from __future__ import annotations

from collections.abc import Callable

import pytest

from accounts import APP, DO, DS, PATIENCE, LegacyPeer, Observed, calls, messages, owner, serving, wait_until
from syft_flwr.client import SyftP2PClient
from syft_flwr.clock import SystemClock
from syft_flwr.errors import ConfigurationError
from syft_flwr.events import P2PFileEvents, create_events_watcher
from syft_flwr.rpc import P2PFileRpc
from syft_flwr.runtime import DriveRuntime, sharing
from syft_flwr.testing import DriveEmulator


class JumpingClock(SystemClock):
    """Real time, and what a test adds to it; of the time of day only Drive's goes along."""

    ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + JumpingClock.ahead


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch, drive: DriveEmulator) -> Callable[[float], None]:
    """Let seconds pass, for Drive and for the machine's monotonic clock."""
    monkeypatch.setattr(sharing, "SystemClock", JumpingClock)
    monkeypatch.setattr(JumpingClock, "ahead", 0.0)

    def pass_by(seconds: float) -> None:
        JumpingClock.ahead += seconds
        drive.advance(seconds)

    return pass_by


def test_a_reply_goes_when_its_request_is_gone(drive: DriveEmulator) -> None:
    with serving(owner(bytes.upper)), P2PFileRpc(DS, APP) as rpc:
        kept, gone = (rpc.send(DO, APP, "messages", b"x") for _ in range(2))
        rpc.wait([kept, gone], 20)
        rpc.delete_future(gone)

        wait_until(lambda: len(messages(drive)) == 2)
        assert sorted(messages(drive)) == [f"{kept}.request", f"{kept}.response"]


def test_a_reply_whose_request_stays_goes_after_the_expiry(
    drive: DriveEmulator, later: Callable[[float], None]
) -> None:
    settings = {"cleanup_expiry": 3600.0, "cleanup_interval": 600.0}
    with serving(owner(bytes.upper, **settings)), LegacyPeer(drive, DS) as legacy:
        future_id = legacy.send(DO, b"x")
        wait_until(lambda: legacy.get_response(DO, future_id))
        with DriveRuntime.open(DO) as runtime:
            assert runtime.drain(PATIENCE)  # the reply is in Drive a moment before it is on record when it goes
        later(3000)
        polls = len(calls(drive, DO))
        wait_until(lambda: len(calls(drive, DO)) > polls + 3)
        assert len(messages(drive)) == 2

        later(1300)
        wait_until(lambda: messages(drive) == [f"{future_id}.request"])


def test_a_request_that_went_while_nobody_looked_takes_its_reply_along(drive: DriveEmulator) -> None:
    with P2PFileRpc(DS, APP) as rpc:
        with serving(owner(bytes.upper)):
            future_id = rpc.send(DO, APP, "messages", b"x")
            rpc.wait([future_id], 20)
        rpc.delete_future(future_id)
        wait_until(lambda: messages(drive) == [f"{future_id}.response"])
        with serving(owner(bytes.upper)):
            wait_until(lambda: not messages(drive))


def test_a_request_that_goes_while_it_is_handled_leaves_no_reply(drive: DriveEmulator) -> None:
    with P2PFileRpc(DS, APP) as rpc:

        def answer(body: bytes) -> bytes:
            rpc.delete_future(future_id)
            wait_until(lambda: not messages(drive))
            polls = calls(drive, DO).count("changes.getStartPageToken")
            wait_until(lambda: calls(drive, DO).count("changes.getStartPageToken") > polls + 2)
            return body

        future_id = rpc.send(DO, APP, "messages", b"x")
        with serving(owner(answer)), Observed(DO) as observed:
            wait_until(lambda: "files.delete" in calls(drive, DO))
            assert messages(drive) == []
            assert observed.errors == []


def test_a_request_that_nobody_takes_is_given_up_after_the_expiry(
    drive: DriveEmulator, later: Callable[[float], None]
) -> None:
    settings = {"cleanup_expiry": 3600.0, "cleanup_interval": 600.0}
    with P2PFileRpc(DS, APP) as rpc, Observed(DO, **settings) as observed:
        rpc.send(DO, APP, "nobody", b"x")
        with serving(owner(bytes.upper)):
            wait_until(lambda: observed.rejected)
            later(3000)
            polls = calls(drive, DO).count("changes.getStartPageToken")
            wait_until(lambda: calls(drive, DO).count("changes.getStartPageToken") > polls + 2)
            assert len(observed.runtime._engine.parts.ledger.journal.unfinished()) == 1
            later(1300)
            wait_until(lambda: not observed.runtime._engine.parts.ledger.journal.unfinished())


def test_processes_that_live_shorter_than_the_interval_give_up_what_has_expired_too(
    drive: DriveEmulator, later: Callable[[float], None]
) -> None:
    with P2PFileRpc(DS, APP) as rpc:
        rpc.send(DO, APP, "nobody", b"x")
    for ahead, waiting in ((0, 1), (3000, 1), (1300, 0)):
        later(ahead)
        with Observed(DO, cleanup_expiry=3600.0) as short:
            short.runtime.poll_once()
            assert len(short.runtime._engine.parts.ledger.journal.unfinished()) == waiting


def test_a_deletion_that_failed_is_tried_again(drive: DriveEmulator) -> None:
    with serving(owner(bytes.upper, cleanup_interval=0.2)), P2PFileRpc(DS, APP) as rpc:
        future_id = rpc.send(DO, APP, "messages", b"x")
        rpc.wait([future_id], 20)
        with drive.fault("error", method="files.delete", account=DO, status=403, reason="forbidden", times=2):
            rpc.delete_future(future_id)
            wait_until(lambda: not messages(drive))


def test_what_becomes_due_while_another_is_deleted_is_deleted_once(drive: DriveEmulator) -> None:
    with serving(owner(bytes.upper)), P2PFileRpc(DS, APP) as rpc:
        futures = rpc.send_many([(DO, APP, "messages", b"x")] * 6)
        rpc.wait(futures, PATIENCE)
        with drive.fault("latency", method="files.delete", account=DS, seconds=0.1):
            for future_id in futures:
                rpc.delete_future(future_id)
            wait_until(lambda: not messages(drive))
    assert calls(drive, DS).count("files.delete") == len(futures)


def test_the_watchers_durations_are_read_at_the_call(drive: DriveEmulator) -> None:
    client = SyftP2PClient(DO)
    events = create_events_watcher(APP, client, cleanup_expiry="12h", cleanup_interval="90s")
    assert isinstance(events, P2PFileEvents)
    assert (events._settings["cleanup_expiry"], events._settings["cleanup_interval"]) == (43_200.0, 90.0)
    with pytest.raises(ConfigurationError, match="cleanup_expiry"):
        create_events_watcher(APP, client, cleanup_expiry="soon")
