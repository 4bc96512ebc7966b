"""Several processes, damaged state, other people's credentials: what a runtime shares its account with."""

from __future__ import annotations

import logging
import os
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from runtimes import State, runtime_on, serve

from syft_flwr.errors import ConfigurationError, CredentialsError, DriveError, StateMismatchError
from syft_flwr.exchange.requester import Request
from syft_flwr.exchange.routes import Route
from syft_flwr.models import Message
from syft_flwr.resources import DriveFile
from syft_flwr.runtime import DriveRuntime
from syft_flwr.settings import STATE_VARIABLE, TOKEN_VARIABLE
from syft_flwr.state.bodies import BodyFiles
from syft_flwr.state.journal_rows import Spooled
from syft_flwr.testing.clock import ManualClock
from syft_flwr.testing.memory_drive import MemoryDrive
from syft_flwr.testing.memory_gateway import MemoryGateway

ME = "do@example.com"


def until(condition, *, attempts: int = 1_000) -> None:
    """Look at a condition until it holds; ten seconds at most."""
    for _ in range(attempts):
        if condition():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it does not come to hold")


def test_two_processes_of_one_account_share_the_work_and_handle_nothing_twice(drive, clock, tmp_path: Path) -> None:
    state, handled = State(tmp_path / "me"), Counter()
    both_busy = threading.Barrier(2, timeout=10)
    workers: dict[str, threading.Thread] = {}

    def handler(name: str):
        def handle(body: bytes, _) -> bytes:
            handled[body] += 1
            if name not in workers:
                workers[name] = threading.current_thread()
                both_busy.wait()  # neither takes it all
            return body

        return handle

    with (
        runtime_on(drive.gateway("ds@x.org"), State(tmp_path / "ds"), clock, "ds@x.org") as sender,
        runtime_on(drive.gateway(ME), state, clock, ME) as one,
        runtime_on(drive.gateway(ME), state, clock, ME) as other,
    ):
        for name, runtime in (("one", one), ("other", other)):
            serve(runtime, Route("app", "messages", handler(name), concurrency=1))
            runtime.poll_once()
        futures = sender.send([Request(ME, "app", "messages", b"%d" % number) for number in range(50)])
        for _ in range(100):
            clock.advance(2.0)
            for runtime in (one, other, sender):
                runtime.poll_once()
            if len(sender.answered(futures, 0.0)) == 50:
                break
            threading.Event().wait(0.02)
        assert len(sender.answered(futures, 0.0)) == 50
    assert set(handled.values()) == {1}
    assert len(handled) == 50
    assert set(workers) == {"one", "other"}
    assert Counter(name for name in drive.created if name.endswith(".response")).most_common(1)[0][1] == 1


def test_what_a_dead_process_had_taken_is_taken_over_at_once(drive, clock, tmp_path: Path) -> None:
    state = State(tmp_path / "me")
    gate, entered = threading.Event(), threading.Event()

    def stuck(body: bytes, _) -> bytes:
        entered.set()
        gate.wait(10)
        return body

    with (
        runtime_on(drive.gateway("ds@x.org"), State(tmp_path / "ds"), clock, "ds@x.org") as sender,
        runtime_on(drive.gateway(ME), state, clock, ME) as killed,
        runtime_on(drive.gateway(ME), state, clock, ME) as survivor,
    ):
        serve(killed, Route("app", "messages", stuck))
        killed.poll_once()
        serve(survivor, Route("app", "messages", lambda body, _: b"taken over"))
        survivor.poll_once()
        [future] = sender.send([Request(ME, "app", "messages", b"hello")])
        killed.poll_once()
        assert entered.wait(10)
        survivor.poll_once()
        assert not sender.answered([future], 0.0)

        state.alive.discard("run-1")
        killed._engine.parts.gateway.close()  # as dead processes do, it says nothing more
        until(
            lambda: (
                survivor.poll_once() is not None and sender.poll_once() is not None and sender.answered([future], 0.0)
            )
        )
        assert sender.get_response(future) == b"taken over"
        gate.set()


def test_a_response_that_another_process_sees_reaches_the_one_that_asked(drive, clock, tmp_path: Path) -> None:
    state = State(tmp_path / "ds")
    with (
        runtime_on(drive.gateway(ME), State(tmp_path / "me"), clock, ME, inline=True) as server,
        runtime_on(drive.gateway("ds@x.org"), state, clock, "ds@x.org") as asker,
        runtime_on(drive.gateway("ds@x.org"), state, clock, "ds@x.org") as other,
    ):
        serve(server, Route("app", "messages", lambda body, _: body))
        server.poll_once()
        other.poll_once()
        [future] = asker.send([Request(ME, "app", "messages", b"hello")])
        server.poll_once()
        other.poll_once()
        assert asker.answered([future], 0.0) == {future}


def test_a_damaged_ledger_is_set_aside_and_its_requests_are_found_by_a_sweep(
    emulator, open_runtime, tmp_path: Path, caplog
) -> None:
    sender = open_runtime("ds@example.com")
    with DriveRuntime.open(ME) as runtime:
        serve(runtime, Route("app", "messages", lambda body, _: body))
        before = sender.send([Request(ME, "app", "messages", b"%d" % number) for number in range(3)])
        runtime.poll_once()
        assert len(sender.answered(before, 20.0, enough=3)) == 3
    [future] = sender.send([Request(ME, "app", "messages", b"hello")])
    [database] = (tmp_path / "state").rglob(f"{ME}-*/ledger/cache.db")
    database.write_bytes(b"this is no database" * 1_000)

    with caplog.at_level(logging.WARNING), DriveRuntime.open(ME) as runtime:
        handled: list[bytes] = []
        serve(runtime, Route("app", "messages", lambda body, _: handled.append(body) or body))
        runtime.poll_once()
        assert sender.answered([future], 20.0, enough=1)
    assert handled == [b"hello"]  # the others' replies say that they are done
    assert list(database.parent.parent.glob("ledger.damaged-*"))
    assert any("damaged" in record.getMessage() for record in caplog.records)


def test_a_lost_token_leads_to_a_new_one_and_a_sweep(emulator, open_runtime) -> None:
    sender = open_runtime("ds@example.com")
    runtime = open_runtime(ME)
    serve(runtime, Route("app", "messages", lambda body, _: body))
    runtime.poll_once()
    [future] = sender.send([Request(ME, "app", "messages", b"hello")])
    emulator.clear_log()
    with emulator.fault("error", method="changes.list", account=ME, status=410, times=1):
        runtime.poll_once()
    calls = [entry["method"] for entry in emulator.requests() if entry["account"] == ME]
    assert calls[1:4] == ["changes.list", "changes.getStartPageToken", "files.list"]
    assert sender.answered([future], 20.0, enough=1)


def test_an_error_of_the_feed_keeps_the_token(emulator, open_runtime) -> None:
    runtime = open_runtime(ME)
    runtime.poll_once()
    token = runtime._engine.parts.ledger.position.token()
    fault = {"account": ME, "status": 400, "reason": "badRequest", "times": 1}
    with (
        emulator.fault("error", method="changes.getStartPageToken", **fault),
        emulator.fault("error", method="changes.list", **fault),
        pytest.raises(DriveError, match="badRequest"),
    ):
        runtime.poll_once()
    assert runtime._engine.parts.ledger.position.token() == token
    emulator.clear_log()
    runtime.poll_once()
    assert [entry["method"] for entry in emulator.requests()] == ["changes.getStartPageToken"]


def test_credentials_of_another_account_are_refused(emulator, open_runtime, tmp_path, monkeypatch) -> None:
    token = emulator.write_token_file("someone@example.com", tmp_path / "token.json")
    monkeypatch.setenv(TOKEN_VARIABLE, str(token))
    runtime = open_runtime(ME)
    with pytest.raises(ConfigurationError, match="credentials are for someone"):
        runtime.poll_once()


def test_a_revoked_login_ends_the_loop_with_advice(emulator, open_runtime, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, str(emulator.write_token_file(ME, tmp_path / "token.json")))
    runtime = open_runtime(ME, poll_interval=0.05, max_poll_interval=None)
    runtime.poll_once()
    ended = threading.Event()
    emulator.revoke_tokens(ME)
    runtime.start(on_failure=ended.set)
    assert ended.wait(20)
    assert isinstance(runtime.failure, CredentialsError)
    assert not runtime.is_running


def test_an_expired_token_is_renewed_in_passing(emulator, open_runtime, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, str(emulator.write_token_file(ME, tmp_path / "token.json")))
    runtime = open_runtime(ME)
    runtime.poll_once()
    emulator.expire_tokens(ME)
    assert runtime.poll_once() == 0


def test_state_of_another_drive_is_refused(drive, clock, tmp_path: Path) -> None:
    state = State(tmp_path)
    with runtime_on(drive.gateway(ME), state, clock, ME) as runtime:
        runtime.poll_once()
    other = MemoryDrive(clock)
    gateway = other.gateway(ME)
    gateway.about = lambda: type(drive.gateway(ME).about())(ME, "another-permission")
    with runtime_on(gateway, state, clock, ME) as runtime, pytest.raises(StateMismatchError, match=STATE_VARIABLE):
        runtime.poll_once()


def test_bodies_that_crashes_left_behind_are_removed_after_a_day_and_no_others(drive, clock, tmp_path: Path) -> None:
    state = State(tmp_path / "me")
    bodies = BodyFiles(state.bodies)
    partial = bodies.partial("request-of-a-killed-process")
    bodies.write("reply-of-another-time", b"")
    young = bodies.write("young", b"")
    with runtime_on(drive.gateway(ME), state, clock, ME) as runtime:
        message = Message("request", "ds@x.org", ME, "app", "messages", "id", "file", "folder", 1, "")
        runtime._engine.parts.ledger.journal.begin(1, message)
        runtime._engine.parts.ledger.journal.spool(1, Spooled(message, "reply", is_error=False, body=None))
        needed = bodies.write("reply-file", b"")
        for path in (partial, needed, bodies.path("reply-of-another-time")):
            os.utime(path, (0, 0))
        runtime.poll_once()
    assert set(bodies.directory.iterdir()) == {young, needed}


class Interrupted(MemoryGateway):
    """Lets something happen before its first list."""

    meanwhile = staticmethod(lambda: None)

    def list_files(self, query: str, *, oldest_first: bool = False) -> Iterator[DriveFile]:
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()
        return super().list_files(query, oldest_first=oldest_first)


def test_a_request_that_another_new_process_journals_while_this_one_begins_is_handled_here(
    drive: MemoryDrive, clock: ManualClock, tmp_path: Path
) -> None:
    state = State(tmp_path / "state")
    drive.gateway(ME)
    gateway = Interrupted(drive, ME)
    handled: list[bytes] = []
    with (
        runtime_on(drive.gateway("ds@example.com"), State(tmp_path / "ds"), clock, "ds@example.com", inline=True) as ds,
        runtime_on(gateway, state, clock, ME, inline=True) as one,
        runtime_on(drive.gateway(ME), state, clock, ME, inline=True) as other,
    ):
        ds.send([Request(ME, "flwr/zoo", "messages", b"x")])
        clock.advance(5.0)
        serve(one, Route("flwr/zoo", "messages", lambda body, _: handled.append(body)))
        serve(other, Route("flwr/menagerie", "messages", lambda body, _: None))
        gateway.meanwhile = other.poll_once
        one.poll_once()
    assert handled == [b"x"]
