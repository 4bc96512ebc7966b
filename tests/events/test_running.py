from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from accounts import APP, DO, DS, PATIENCE, Observed, calls, messages, owner, serving, wait_until
from syft_flwr.client import SyftP2PClient
from syft_flwr.errors import ConfigurationError, CredentialsError
from syft_flwr.events import P2PFileEvents, create_events_watcher
from syft_flwr.rpc import P2PFileRpc
from syft_flwr.testing import DriveEmulator


def test_constructing_does_no_input_or_output(drive: DriveEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRIVE_EMULATOR_HOST", "no such host")
    events = P2PFileEvents(app_name=APP, client_email=DO, poll_interval=2.0, max_processed_requests=10)
    events.on_request("/messages", bytes.upper)

    assert drive.requests() == []
    assert (events.client_email, events.app_dir) == (DO, Path("SyftBox", DO, "app_data", APP))
    assert not events.is_running


def test_the_environment_sets_the_poll_interval_unless_an_argument_does(
    drive: DriveEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYFT_FLWR_POLL_INTERVAL", "0.02")
    client = SyftP2PClient(DO)
    for events, expected in (
        (create_events_watcher(APP, client), 0.02),
        (P2PFileEvents(APP, DO), 0.02),
        (create_events_watcher(APP, client, poll_interval=0.5), 0.5),
        (P2PFileEvents(APP, DO, 0.5), 0.5),
    ):
        assert isinstance(events, P2PFileEvents)
        with serving(events), Observed(DO, poll_interval=None) as observed:
            assert observed.runtime._engine.parts.settings.poll_interval == expected


def test_it_is_running_while_run_forever_is(drive: DriveEmulator) -> None:
    inside: list[bool] = []
    events = owner(lambda _: inside.append(events.is_running))
    for _ in range(2):
        with serving(events), P2PFileRpc(DS, APP) as rpc:
            count = len(inside)
            rpc.send(DO, APP, "messages", b"")
            wait_until(lambda before=count: len(inside) > before)
        assert not events.is_running
    assert inside == [True, True]


def test_a_stop_before_the_start_makes_the_next_run_return(drive: DriveEmulator) -> None:
    events = owner(bytes.upper)
    events.stop()
    events.run_forever()

    assert drive.requests() == []
    assert not events.is_running
    with serving(events), P2PFileRpc(DS, APP) as rpc:
        assert rpc.wait([rpc.send(DO, APP, "messages", b"x")], 20)


def test_run_forever_runs_once_at_a_time(drive: DriveEmulator) -> None:
    events = owner(bytes.upper)
    with serving(events), pytest.raises(RuntimeError, match="running already"):
        events.run_forever()


def test_a_handler_can_stop_it_and_its_reply_is_still_sent(drive: DriveEmulator) -> None:
    def answer(body: bytes) -> bytes:
        events.stop()
        return body

    events = owner(answer)
    with P2PFileRpc(DS, APP) as rpc:
        future_id = rpc.send(DO, APP, "messages", b"last words")
        events.run_forever()

        assert rpc.wait([future_id], 20) == {future_id: b"last words"}


def test_what_a_stop_interrupts_is_handled_by_the_next_run_and_does_not_count_as_a_crash(drive: DriveEmulator) -> None:
    go_on = threading.Event()
    begun = threading.Semaphore(0)

    def stuck(body: bytes) -> bytes:
        begun.release()
        go_on.wait(PATIENCE)
        return b"too late"

    try:
        with P2PFileRpc(DS, APP) as rpc:
            future_id = rpc.send(DO, APP, "messages", b"x")
            for _ in range(4):
                with serving(owner(stuck)):
                    assert begun.acquire(timeout=20)
            with serving(owner(bytes.upper)):
                assert rpc.wait([future_id], 20) == {future_id: b"X"}
    finally:
        go_on.set()
        wait_until(lambda: not any(thread.name.startswith("syft-lane") for thread in threading.enumerate()))


def test_stop_returns_at_once_while_drive_does_not_answer(drive: DriveEmulator) -> None:
    events = owner(bytes.upper)
    with drive.fault("latency", method="changes.list", seconds=20.0), serving(events):
        wait_until(lambda: "files.list" in calls(drive, DO))
        events.stop()
        wait_until(lambda: not events.is_running, 15.0)


def test_no_thread_is_left_behind(drive: DriveEmulator) -> None:
    before = set(threading.enumerate())
    with serving(owner(bytes.upper)), P2PFileRpc(DS, APP) as rpc:
        rpc.wait([rpc.send(DO, APP, "messages", b"x")], 20)

    wait_until(lambda: set(threading.enumerate()) <= before)


def test_ctrl_c_passes_through_after_a_clean_stop(drive: DriveEmulator) -> None:
    program = (
        "import threading\n"
        "from syft_flwr.events import P2PFileEvents\n"
        f"events = P2PFileEvents({APP!r}, {DO!r}, poll_interval=0.05, allowed_senders=[{DS!r}])\n"
        "events.on_request('messages', bytes.upper)\n"
        "try:\n"
        "    events.run_forever()\n"
        "except KeyboardInterrupt:\n"
        "    events.stop()\n"
        "    print('interrupted', events.is_running, [t.name for t in threading.enumerate()])\n"
    )
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        with P2PFileRpc(DS, APP) as rpc:
            assert rpc.wait([rpc.send(DO, APP, "messages", b"x")], PATIENCE)
        os.kill(child.pid, signal.SIGINT)
        output, errors = child.communicate(timeout=PATIENCE)
    finally:
        child.kill()
        child.wait()
    assert (output, errors, child.returncode) == ("interrupted False ['MainThread']\n", "", 0)


def test_a_wrong_account_ends_the_run_with_an_error_that_says_what_to_do(
    drive: DriveEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GDRIVE_TOKEN_PATH", str(drive.write_token_file(DS, tmp_path / "token.json")))

    with pytest.raises(ConfigurationError, match=f"credentials are for {DS}"):
        owner(bytes.upper).run_forever()


def test_a_login_that_has_expired_for_good_ends_the_run_with_an_error_that_says_what_to_do(
    drive: DriveEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GDRIVE_TOKEN_PATH", str(drive.write_token_file(DO, tmp_path / "token.json")))
    with Observed(DO) as observed:
        observed.runtime.poll_once()
        drive.revoke_tokens(DO)

        with pytest.raises(CredentialsError, match="Log in again"):
            owner(bytes.upper).run_forever()


def test_an_expired_token_is_refreshed_without_anybody_noticing(
    drive: DriveEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GDRIVE_TOKEN_PATH", str(drive.write_token_file(DS, tmp_path / "token.json")))
    with P2PFileRpc(DS, APP) as rpc:
        for _ in range(2):
            rpc.send(DO, APP, "messages", b"x")
            drive.expire_tokens(DS)

        assert len(messages(drive)) == 2
