from __future__ import annotations

import json
import logging
import threading
from datetime import UTC, datetime, timedelta

import pytest

from accounts import APP, DO, DS, Observed, calls, messages, owner, serving, wait_until
from syft_flwr.errors import InvalidNameError
from syft_flwr.events import P2PFileEvents
from syft_flwr.models import Message
from syft_flwr.rpc import P2PFileRpc
from syft_flwr.testing import DriveEmulator


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("even this fails")


def ask(rpc: P2PFileRpc, *bodies: bytes, endpoint: str = "messages") -> list[bytes | None]:
    futures = rpc.send_many([(DO, APP, endpoint, body) for body in bodies])
    replies = rpc.wait(futures, 20, raise_errors=False)
    return [replies.get(future_id) for future_id in futures]


def test_bytes_and_text_are_sent_and_none_sends_no_reply(drive: DriveEmulator) -> None:
    replies = {
        b"bytes": b"\xff\x00",
        b"text": "grün",
        b"array": bytearray(b"a"),
        b"no": None,
    }
    seen: list[bytes] = []

    def answer(body: bytes) -> object:
        seen.append(body)
        return replies[body]

    with serving(owner(answer)), P2PFileRpc(DS, APP) as rpc:
        silent = rpc.send(DO, APP, "messages", b"no")
        assert ask(rpc, b"bytes", b"text", b"array") == [b"\xff\x00", "grün".encode(), b"a"]
        assert rpc.get_response(silent) is None

    with serving(owner(answer)), P2PFileRpc(DS, APP) as rpc:
        ask(rpc, b"text")
    assert sorted(seen) == sorted([*replies, b"text"]), "a request without a reply counts as handled"


@pytest.mark.parametrize(
    ("result", "error"),
    [
        (ValueError("no such column: âge"), "no such column: âge"),
        (KeyError(), "KeyError"),
        (UnspeakableError(), "UnspeakableError"),
        (SystemExit(3), "3"),
        (42, "a handler returns bytes, str or None, not int"),
        ("\ud800", "surrogates not allowed"),
    ],
)
def test_whatever_goes_wrong_in_a_handler_becomes_its_reply(
    drive: DriveEmulator, caplog: pytest.LogCaptureFixture, result: object, error: str
) -> None:
    def answer(body: bytes) -> object:
        if body == b"good":
            return b"fine"
        if isinstance(result, BaseException):
            raise result
        return result

    with Observed(DO) as observed, serving(owner(answer)), P2PFileRpc(DS, APP) as rpc:
        reply, fine = ask(rpc, b"bad", b"good")

        told = json.loads(reply or b"")
        assert error in told["error"]
        assert set(told) == {"error", "timestamp"}
        timestamp = datetime.fromisoformat(told["timestamp"])
        assert timestamp.utcoffset() == timedelta(0)
        assert abs(datetime.now(UTC) - timestamp) < timedelta(minutes=5)
        assert fine == b"fine", "the loop goes on"
        assert [failure.where for failure in observed.errors] == ["handler"]
    assert [record.levelno for record in caplog.records if record.getMessage().startswith("handler:")] == [
        logging.ERROR
    ]
    assert len(messages(drive)) == 4, "the request counts as handled"


def test_the_requests_of_an_endpoint_are_handled_one_at_a_time_unless_asked_otherwise(drive: DriveEmulator) -> None:
    together = threading.Barrier(3)
    active: dict[bytes, int] = {b"one": 0, b"three": 0}
    most = dict(active)
    lock = threading.Lock()

    def answer(body: bytes) -> None:
        with lock:
            active[body] += 1
            most[body] = max(most[body], active[body])
        if body == b"three":
            together.wait(20)
        with lock:
            active[body] -= 1

    events = owner(answer, endpoint="one")
    events.on_request("three", answer, concurrency=3)
    with serving(events), Observed(DO) as observed:
        for number in range(3):
            with P2PFileRpc(f"ds{number}@example.org", APP) as rpc:
                rpc.send_many([(DO, APP, body.decode(), body) for body in active])
        wait_until(lambda: len(observed.messages) == 6)
        wait_until(lambda: not observed.runtime._engine.parts.ledger.journal.unfinished())

    assert most == {b"one": 1, b"three": 3}


def test_a_slow_handler_holds_up_no_other_endpoint_and_downloads_go_on_meanwhile(drive: DriveEmulator) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(body: bytes) -> bytes:
        begun.set()
        assert go_on.wait(30)
        return body

    events = owner(slow, endpoint="slow")
    events.on_request("quick", bytes.upper)
    with serving(events), P2PFileRpc(DS, APP, inline_bodies=False) as rpc:
        futures = rpc.send_many([(DO, APP, "slow", b"%d" % number) for number in range(3)])
        assert begun.wait(20)
        assert ask(rpc, b"x", endpoint="quick") == [b"X"]
        wait_until(lambda: calls(drive, DO).count("files.get_media") == 4)
        assert rpc.wait(futures, 0) == {}
        go_on.set()
        assert len(rpc.wait(futures, 20)) == 3


def test_the_requests_of_one_sender_are_handled_in_their_order(drive: DriveEmulator) -> None:
    bodies: list[bytes] = []
    with P2PFileRpc(DS, APP) as rpc:
        for number in range(12):
            rpc.send(DO, APP, "messages", b"%02d" % number)
        with serving(owner(bodies.append, lane_capacity=5)):
            for number in range(12, 20):
                rpc.send(DO, APP, "messages", b"%02d" % number)
            wait_until(lambda: len(bodies) == 20)

    assert bodies == [b"%02d" % number for number in range(20)]


def test_a_handler_may_take_the_message_as_well(drive: DriveEmulator) -> None:
    seen: list[Message] = []

    def answer(body: bytes, message: Message) -> bytes:
        seen.append(message)
        return body

    events = P2PFileEvents(APP, DO, poll_interval=0.05)
    events.on_request("/messages", answer, with_message=True)
    with serving(events), P2PFileRpc(DS, APP) as rpc:
        [reply] = ask(rpc, b"body")

    assert reply == b"body"
    assert [(m.sender, m.recipient, m.app, m.endpoint, m.size) for m in seen] == [(DS, DO, APP, "messages", 4)]


def test_handlers_can_be_registered_and_replaced_while_running(drive: DriveEmulator) -> None:
    events = owner(lambda _: b"first")
    with serving(events), P2PFileRpc(DS, APP) as rpc:
        assert ask(rpc, b"") == [b"first"]
        events.on_request("/messages", lambda _: b"second", auto_decrypt=False, encrypt_reply=True)
        events.on_request("more", lambda _: b"more")

        assert ask(rpc, b"") == [b"second"]
        assert ask(rpc, b"", endpoint="more") == [b"more"]


def test_an_endpoint_that_can_not_go_on_the_wire_is_a_value_error() -> None:
    events = P2PFileEvents(APP, DO)
    for endpoint in ("", "/", "a\0b"):
        with pytest.raises(ValueError, match="endpoint") as raised:
            events.on_request(endpoint, bytes.upper)
        assert isinstance(raised.value, InvalidNameError)
    with pytest.raises(ValueError, match="concurrency"):
        events.on_request("messages", bytes.upper, concurrency=0)


def test_messages_of_a_stream_can_be_consumed_without_a_handler(drive: DriveEmulator) -> None:
    with Observed(DO) as observed, P2PFileRpc(DS, APP) as rpc:
        rpc.send(DO, APP, "messages", b"x")
        observed.runtime.poll_once()
        [message] = observed.messages
        observed.runtime.consume(message)
        observed.runtime.poll_once()

        assert observed.runtime._engine.parts.ledger.journal.unfinished() == []
    with Observed(DO) as observed:
        observed.runtime.poll_once()
        assert observed.messages == []
