"""What things cost in calls; the emulator's log is the witness."""

from __future__ import annotations

from collections import Counter

from accounts import APP, DO, DS, calls, owner, serving, wait_until
from syft_flwr.rpc import P2PFileRpc
from syft_flwr.testing import DriveEmulator

RARE_SWEEPS = {"sweep_interval": 3_600.0}
"""However long a busy machine takes, none comes in between."""


def spent(drive: DriveEmulator, email: str, messages: int) -> Counter[str]:
    """Return the calls without the polls, and without one upload and one download for each message."""
    counts = Counter(calls(drive, email))
    del counts["changes.list"], counts["changes.getStartPageToken"]
    counts["files.create"] -= messages
    counts["files.get_media"] -= messages
    return counts


def test_first_contact_costs_twenty_calls_a_side_and_a_further_endpoint_three(drive: DriveEmulator) -> None:
    endpoints = [f"endpoint{number}" for number in range(4)]
    events = owner(bytes.upper, **RARE_SWEEPS)
    for endpoint in endpoints:
        events.on_request(endpoint, bytes.upper)

    with serving(events), P2PFileRpc(DS, APP, **RARE_SWEEPS) as rpc:
        rpc.wait([rpc.send(DO, APP, "messages", b"x")], 20)
        first = {email: spent(drive, email, 1).total() for email in (DS, DO)}
        assert all(0 < cost <= 20 for cost in first.values()), first

        drive.clear_log()
        for endpoint in endpoints:
            rpc.wait([rpc.send(DO, APP, endpoint, b"x")], 20)
        further = {email: spent(drive, email, len(endpoints)) for email in (DS, DO)}
        for email, counts in further.items():
            assert counts.total() <= 3 * len(endpoints), (email, counts)

        drive.clear_log()
        for _ in range(5):
            rpc.wait([rpc.send(DO, APP, "messages", b"x")], 20)
        for email in (DS, DO):
            assert not +spent(drive, email, 5), "known folders cost nothing"


def test_a_restart_finds_its_folders_on_record(drive: DriveEmulator) -> None:
    with serving(owner(bytes.upper)), P2PFileRpc(DS, APP) as rpc:
        rpc.wait([rpc.send(DO, APP, "messages", b"x")], 20)

    drive.clear_log()
    with serving(owner(bytes.upper)), P2PFileRpc(DS, APP) as rpc:
        rpc.wait([rpc.send(DO, APP, "messages", b"x")], 20)
        for email in (DS, DO):
            counts = spent(drive, email, 1)
            assert counts.total() <= 8, (email, counts)
            assert counts["permissions.create"] == 0


def test_an_owner_who_is_asked_by_an_existing_participant_pays_no_more(drive: DriveEmulator) -> None:
    from accounts import LegacyPeer

    with LegacyPeer(drive, DS) as legacy, serving(owner(bytes.upper)):
        future_id = legacy.send(DO, b"x")
        wait_until(lambda: legacy.get_response(DO, future_id))
        assert spent(drive, DO, 1).total() <= 20


def test_polling_costs_one_call_however_many_senders_there_are(drive: DriveEmulator) -> None:
    senders = [f"ds{number}@example.org" for number in range(5)]
    with serving(owner(bytes.upper, allowed_senders=senders)):
        wait_until(lambda: calls(drive, DO).count("changes.getStartPageToken") > 2)
        drive.clear_log()
        wait_until(lambda: calls(drive, DO).count("changes.getStartPageToken") > 20)
        counts = Counter(calls(drive, DO))

    assert counts["changes.getStartPageToken"] > 20
    assert counts.total() - counts["changes.getStartPageToken"] <= 2, "a sweep at most"
