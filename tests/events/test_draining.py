"""One-shot runs: all that waits is answered, and nothing is fetched in vain."""

from __future__ import annotations

import os
import threading

from accounts import APP, DO, DS, calls, owner
from syft_flwr.drive.quota import units_of
from syft_flwr.events import P2PFileEvents
from syft_flwr.rpc import P2PFileRpc
from syft_flwr.testing import DriveEmulator


def test_a_drain_answers_all_that_waits_and_downloads_each_once(drive: DriveEmulator) -> None:
    bodies = [os.urandom(5_000) for _ in range(40)]  # too large to ride in the feed, and more than a lane takes
    with P2PFileRpc(DS, APP) as rpc:
        futures = rpc.send_many([(DO, APP, "messages", body) for body in bodies])
        assert owner(lambda body: body).drain(60)
        assert list(rpc.wait(futures, 20).values()) == bodies
    assert calls(drive, DO).count("files.get_media") == len(bodies)


def test_a_drain_that_finds_nothing_costs_twenty_units(drive: DriveEmulator) -> None:
    with P2PFileRpc(DS, APP) as rpc:
        rpc.send(DO, APP, "messages", b"x")
        assert owner(bytes.upper).drain(60)
    assert owner(bytes.upper).drain(60)  # its own reply comes back
    drive.clear_log()
    assert owner(bytes.upper).drain(60)
    assert calls(drive, DO) == ["about.get", "changes.getStartPageToken"]
    assert sum(units_of(method) for method in calls(drive, DO)) <= 20


def test_a_drain_ends_in_time_and_leaves_the_rest_to_the_next(drive: DriveEmulator) -> None:
    stuck, release = threading.Event(), threading.Event()

    def wait(body: bytes) -> bytes:
        stuck.set()
        release.wait(30)
        return body

    with P2PFileRpc(DS, APP) as rpc:
        future_id = rpc.send(DO, APP, "messages", b"x")
        assert not owner(wait).drain(0.5)
        assert stuck.is_set()
        release.set()
        events: P2PFileEvents = owner(bytes.upper)
        assert events.drain(60)
        assert rpc.wait([future_id], 20)
