"""Small bodies ride in the feed, and whoever can't read them there downloads."""

from __future__ import annotations

import pytest

from accounts import APP, DO, DS, LegacyPeer, calls, owner, serving, wait_until
from syft_flwr.rpc import P2PFileRpc
from syft_flwr.testing import DriveEmulator


def downloads(drive: DriveEmulator) -> int:
    return sum(calls(drive, email).count("files.get_media") for email in (DS, DO))


@pytest.mark.parametrize(("inline", "loads"), [((True, True), 0), ((False, True), 1), ((False, False), 2)])
def test_a_small_round_trip_downloads_nothing_unless_it_is_switched_off(
    drive: DriveEmulator, inline: tuple[bool, bool], loads: int
) -> None:
    body = bytes(range(256)) * 8
    with (
        serving(owner(lambda body: body[::-1], inline_bodies=inline[1])),
        P2PFileRpc(DS, APP, inline_bodies=inline[0]) as rpc,
    ):
        future_id = rpc.send(DO, APP, "messages", body)
        assert rpc.wait([future_id], 20) == {future_id: body[::-1]}
    assert downloads(drive) == loads


def test_a_large_body_is_downloaded(drive: DriveEmulator) -> None:
    import os

    body = os.urandom(10_000)
    with serving(owner(lambda body: body[::-1])), P2PFileRpc(DS, APP) as rpc:
        future_id = rpc.send(DO, APP, "messages", body)
        assert rpc.wait([future_id], 20) == {future_id: body[::-1]}
    assert downloads(drive) == 2


def test_an_existing_participant_sees_ordinary_files_and_is_read_by_download(drive: DriveEmulator) -> None:
    with serving(owner(bytes.upper)), LegacyPeer(drive, DS) as legacy:
        future_id = legacy.send(DO, b"hello")
        assert wait_until(lambda: legacy.get_response(DO, future_id)) == b"HELLO"
    assert calls(drive, DO).count("files.get_media") == 1
