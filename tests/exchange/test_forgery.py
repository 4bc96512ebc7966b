"""A folder's name proves nothing: only who owns a file, which Drive attests, tells who sent it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from accounts import APP, DO, DS, Observed, PlainAccount, calls, owner, serving, wait_until
from syft_flwr.rpc import P2PFileRpc
from syft_flwr.testing import DriveEmulator

MALLORY = "mallory@example.net"
NAME = "00000000-0000-4000-8000-00000000000{}.request"


@pytest.fixture
def mallory(drive: DriveEmulator) -> Iterator[PlainAccount]:
    with PlainAccount(drive, MALLORY) as account:
        yield account


@pytest.fixture
def victim(drive: DriveEmulator) -> Iterator[PlainAccount]:
    with PlainAccount(drive, DS) as account:
        yield account


def own_root(drive: DriveEmulator, account: str) -> str:
    return next(file.id for file in drive.files() if file.name.startswith("syft_outbox") and file.owner == account)


def endpoint_of(drive: DriveEmulator, sender: str) -> str:
    """Return the endpoint's folder in the inbox that the recipient made for a sender."""
    suffix = f"{sender}_to_{DO}/{APP}/rpc/messages"
    return next(file.id for file in drive.files() if file.path.endswith(suffix) and file.owner == DO)


def test_no_forgery_reaches_the_handler_and_every_one_is_reported(
    drive: DriveEmulator, mallory: PlainAccount, victim: PlainAccount
) -> None:
    bodies: list[bytes] = []
    with Observed(DO) as observed, serving(owner(bodies.append, allowed_senders=[DS, MALLORY])):
        wait_until(lambda: "changes.getStartPageToken" in calls(drive, DO)[2:])
        genuine = {file.name: file.id for file in drive.files() if file.owner == DO}

        # A stranger creates the victim's folder and shares it.
        folder = mallory.inbox(DS, DO)
        mallory.share(own_root(drive, MALLORY), DO)
        mallory.put(NAME.format(1), folder, b"forged")
        # A stranger's file in a genuine inbox, whose other party let it in.
        victim.share(genuine[f"syft_outbox_inbox_{DS}_to_{DO}"], MALLORY)
        folder = endpoint_of(drive, DS)
        mallory.put(NAME.format(2), folder, b"forged")
        # A file whose owner is changed later, in a genuine inbox.
        forged = mallory.put("draft", folder, b"forged")
        mallory.call(
            "POST",
            f"/drive/v3/files/{forged}/permissions",
            {"type": "user", "role": "owner", "emailAddress": DS},
            transferOwnership="true",
        )
        mallory.call("PATCH", f"/drive/v3/files/{forged}", {"name": NAME.format(3)})
        # The stranger's own genuine inbox, renamed to look like the victim's.
        folder = endpoint_of(drive, MALLORY)
        root = genuine[f"syft_outbox_inbox_{MALLORY}_to_{DO}"]
        mallory.call("PATCH", f"/drive/v3/files/{root}", {"name": f"syft_outbox_inbox_{DS}_to_{DO}"})
        mallory.put(NAME.format(4), folder, b"forged")

        forgeries = {NAME.format(number) for number in range(1, 5)}
        wait_until(lambda: {rejection.file_name for rejection in observed.rejected} >= forgeries)
        assert {rejection.reason for rejection in observed.rejected if rejection.file_name in forgeries} == {
            "foreign_folder",
            "forged_sender",
        }
        assert {rejection.claimed_sender for rejection in observed.rejected} == {DS}

        with P2PFileRpc(DS, APP) as rpc:
            rpc.send(DO, APP, "messages", b"genuine")
        assert wait_until(lambda: bodies) == [b"genuine"]
        assert observed.errors == []
    assert "files.get_media" not in calls(drive, DO), "what is rejected is not read"


def test_a_message_goes_into_no_folder_that_a_third_party_owns_or_named(
    drive: DriveEmulator, mallory: PlainAccount
) -> None:
    mallory.path("SyftBox")
    mallory.share(mallory.inbox(DS, DO), DS)  # an older folder of the right name
    with PlainAccount(drive, DO) as do:
        do.inbox(MALLORY, DO)
        root = own_root(drive, DO)
        mallory.call("PATCH", f"/drive/v3/files/{root}", {"name": f"syft_outbox_inbox_{DS}_to_{DO}"})
        mallory.share(root, DS)

    with P2PFileRpc(DS, APP) as rpc:
        rpc.send(DO, APP, "messages", b"secret")

    [request] = [file for file in drive.files() if file.name.endswith(".request")]
    assert request.roles == {DS: "owner", DO: "writer"}


def test_a_response_in_a_strangers_folder_is_rejected(drive: DriveEmulator, mallory: PlainAccount) -> None:
    with P2PFileRpc(DS, APP) as rpc, Observed(DS) as observed:
        future_id = rpc.send(DO, APP, "messages", b"x")
        folder = mallory.inbox(DO, DS)
        mallory.share(own_root(drive, MALLORY), DS)
        mallory.put(f"{future_id}.response", folder, b"forged")
        rpc.runtime.poll_once()

        assert observed.reasons() == ["foreign_folder"]
        assert rpc.get_response(future_id) is None


def test_senders_that_are_not_allowed_are_rejected_unread(drive: DriveEmulator, mallory: PlainAccount) -> None:
    bodies: list[bytes] = []
    for allowed in ([DS.upper()], lambda sender: sender == DS.lower()):
        with Observed(DO) as observed, serving(owner(bodies.append, allowed_senders=allowed)):
            with P2PFileRpc(MALLORY, APP) as rpc:
                rpc.send(DO, APP, "messages", b"not allowed")
            wait_until(lambda seen=observed: seen.rejected)
            with P2PFileRpc(DS, APP) as rpc:
                rpc.send(DO, APP, "messages", b"allowed")
            wait_until(lambda: bodies)

            assert set(observed.reasons()) == {"sender_not_allowed"}, "also what was kept"
            assert observed.rejected[0].claimed_sender == MALLORY
            assert bodies == [b"allowed"]
        bodies.clear()


def test_what_an_unlisted_sender_sent_is_answered_once_the_sender_is_listed(
    drive: DriveEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    with P2PFileRpc(MALLORY, APP) as rpc:
        with Observed(DO) as observed, serving(owner(bytes.upper, allowed_senders=[DS])):
            future_id = rpc.send(DO, APP, "messages", b"early")
            wait_until(lambda: observed.rejected)
        monkeypatch.setenv("SYFT_FLWR_ALLOWED_SENDERS", f" {DS}, {MALLORY.upper()}")
        with serving(owner(bytes.upper)):
            assert rpc.wait([future_id], 20) == {future_id: b"EARLY"}
    assert observed.reasons() == ["sender_not_allowed"]


def test_an_endpoint_without_a_list_says_once_that_everybody_is_answered(
    drive: DriveEmulator, caplog: pytest.LogCaptureFixture
) -> None:
    events = owner(bytes.upper)
    for _ in range(2):
        events.drain(10)
    with_list = owner(bytes.upper, allowed_senders=[DS])
    with_list.drain(10)
    assert caplog.text.count("answers every account that shares an inbox") == 1


def test_a_body_above_the_limit_is_rejected_unread(drive: DriveEmulator) -> None:
    bodies: list[bytes] = []
    limited = {"max_message_size": 1000}
    with Observed(DO, **limited) as observed, serving(owner(bodies.append, **limited)), P2PFileRpc(DS, APP) as rpc:
        rpc.send(DO, APP, "messages", b"x" * 1001)
        rpc.send(DO, APP, "messages", b"x" * 1000)
        wait_until(lambda: bodies)

        assert [len(body) for body in bodies] == [1000]
        assert observed.reasons() == ["too_large"]
    assert "files.get_media" not in calls(drive, DO)
