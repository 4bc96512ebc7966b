"""Runtimes that only look on, beside the account's other runtimes."""

from __future__ import annotations

from pathlib import Path

import pytest

from accounts import APP, DO, DS, PATIENCE, owner, serving, wait_until
from syft_flwr.errors import ConfigurationError
from syft_flwr.events import P2PFileEvents
from syft_flwr.feed import received, reply_with, with_body
from syft_flwr.models import Message, Rejection
from syft_flwr.rpc import P2PFileRpc
from syft_flwr.runtime import DriveRuntime
from syft_flwr.testing import DriveEmulator


def ask(*bodies: bytes) -> None:
    with P2PFileRpc(DS, APP) as rpc:
        futures = rpc.send_many([(DO, APP, "messages", body) for body in bodies])
        assert len(rpc.wait(futures, PATIENCE)) == len(bodies)


def test_an_observer_sees_what_others_handle_and_nobody_misses_anything(drive: DriveEmulator) -> None:
    seen: list[bytes] = []
    with DriveRuntime.observe(DO, poll_interval=0.05) as observer, serving(owner(bytes.upper)):
        observer.messages.pipe(with_body(observer), received).subscribe(lambda r: seen.append(r.body))
        observer.poll_once()
        ask(b"x", b"y")
        observer.poll_once()
        wait_until(lambda: sorted(seen) == [b"x", b"y"])


def test_an_observer_begins_with_what_waits_and_not_with_what_is_done(drive: DriveEmulator) -> None:
    with serving(owner(bytes.upper)):
        ask(b"done")
    with P2PFileRpc(DS, APP) as rpc:
        waiting = rpc.send(DO, APP, "messages", b"waits")
        with DriveRuntime.open(DO) as runtime:
            runtime.poll_once()
        for _ in range(2):  # looking takes nothing away
            seen: list[Message] = []
            with DriveRuntime.observe(DO) as observer:
                observer.messages.subscribe(seen.append)
                observer.poll_once()
                observer.poll_once()
            assert [message.future_id for message in seen] == [waiting]
        with serving(owner(bytes.upper)):
            assert rpc.wait([waiting], PATIENCE) == {waiting: b"WAITS"}


def test_a_requester_s_observer_takes_no_offence_at_responses(drive: DriveEmulator) -> None:
    seen: list[Message] = []
    rejected: list[Rejection] = []
    with DriveRuntime.observe(DS) as observer, serving(owner(bytes.upper)):
        observer.messages.subscribe(seen.append)
        observer.rejected.subscribe(rejected.append)
        observer.poll_once()
        ask(b"x")
        observer.poll_once()
    assert [message.kind for message in seen] == ["response"]
    assert rejected == []


def test_an_observer_answers_nothing_and_leaves_no_state(drive: DriveEmulator, tmp_path: Path) -> None:
    with DriveRuntime.observe(DO) as observer:
        with pytest.raises(ConfigurationError, match="only looks on"):
            observer.messages.pipe(reply_with(observer, lambda body, _: body, allowed_senders=[DS])).run()
        events = P2PFileEvents(APP, DO)
        events.on_request("messages", bytes.upper)
        with pytest.raises(ConfigurationError, match="only looks on"):
            events.attach(observer)
        observer.poll_once()
    assert not (tmp_path / "state").exists()
