"""Apps and endpoints of one account side by side."""

from __future__ import annotations

import pytest

from accounts import DO, DS, Observed, messages, owner, serving, wait_until
from syft_flwr.events import P2PFileEvents
from syft_flwr.rpc import P2PFileRpc
from syft_flwr.testing import DriveEmulator

APPS = ("flwr/one", "flwr/two")
ENDPOINTS = ("messages", "status", "rpc")


def test_two_apps_with_three_endpoints_do_not_see_each_others_messages(drive: DriveEmulator) -> None:
    seen: dict[tuple[str, str], list[bytes]] = {}
    watchers = [P2PFileEvents(app, DO, poll_interval=0.05) for app in APPS]
    for app, watcher in zip(APPS, watchers, strict=True):
        for endpoint in ENDPOINTS:
            bodies = seen[app, endpoint] = []

            def answer(body: bytes, bodies: list[bytes] = bodies) -> bytes:
                bodies.append(body)
                return body

            watcher.on_request(endpoint, answer)

    with serving(*watchers), P2PFileRpc(DS, APPS[0]) as rpc:
        sent = {(app, endpoint): f"{app} {endpoint}".encode() for app, endpoint in seen}
        futures = rpc.send_many([(DO, app, endpoint, body) for (app, endpoint), body in sent.items()])
        replies = rpc.wait(futures, 20)

    assert list(replies.values()) == list(sent.values())
    assert seen == {place: [body] for place, body in sent.items()}


def test_a_request_for_an_unknown_endpoint_is_reported_and_kept_for_a_later_handler(drive: DriveEmulator) -> None:
    with P2PFileRpc(DS, APPS[0]) as rpc:
        early = rpc.send(DO, APPS[0], "later", b"early")
        with Observed(DO) as observed:
            with serving(owner(bytes.upper, app=APPS[0])):
                late = rpc.send(DO, APPS[1], "later", b"late")
                wait_until(lambda: len(observed.rejected) == 2)
                assert set(observed.reasons()) == {"unknown_endpoint"}
                known = rpc.send(DO, APPS[0], "messages", b"x")
                assert rpc.wait([known], 20) == {known: b"X"}

            watchers = [owner(bytes.upper, app=app, endpoint="later") for app in APPS]
            with serving(*watchers):
                assert rpc.wait([early, late], 20) == {early: b"EARLY", late: b"LATE"}
            assert len(observed.rejected) == 2
    assert len(messages(drive)) == 6


def test_two_handlers_for_one_endpoint_are_a_mistake_that_is_told(drive: DriveEmulator) -> None:
    with serving(owner(bytes.upper)):
        with pytest.raises(ValueError, match="has a handler already"):
            owner(bytes.lower).run_forever()
        with P2PFileRpc(DS, APPS[0]) as rpc:
            future_id = rpc.send(DO, "flwr/diabetes", "messages", b"x")
            assert rpc.wait([future_id], 20) == {future_id: b"X"}
