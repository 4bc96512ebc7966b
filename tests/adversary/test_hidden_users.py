"""Where Drive keeps silent about a user, nobody is taken for a participant: neither for reading nor for writing."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from accounts import APP, DO, DS, Observed, PlainAccount, calls, owner, serving, wait_until
from syft_flwr.rpc import P2PFileRpc
from syft_flwr.runtime.handle import engine_of
from syft_flwr.testing import DriveEmulator

MALLORY = "mallory@example.net"
REQUEST = "00000000-0000-4000-8000-000000000001.request"
HIDDEN = ["hidden_addresses", "hidden_users"]


@pytest.fixture
def mallory(drive: DriveEmulator) -> Iterator[PlainAccount]:
    with PlainAccount(drive, MALLORY) as account:
        yield account


def root_of(drive: DriveEmulator, account: str, sender: str = "") -> str:
    """Return the root of an inbox that an account owns."""
    name = f"syft_outbox_inbox_{sender}"
    return next(f.id for f in drive.files(content=False) if f.name.startswith(name) and f.owner == account)


def endpoint_of(drive: DriveEmulator, account: str, sender: str) -> str:
    path = f"syft_outbox_inbox_{sender}_to_{DO}/{APP}/rpc/messages"
    return next(f.id for f in drive.files(content=False) if f.path.endswith(path) and f.owner == account)


def strangers_folder(drive: DriveEmulator, mallory: PlainAccount) -> None:
    """A stranger's folder with the name of a known sender's inbox."""
    folder = mallory.inbox(DS, DO)
    mallory.share(root_of(drive, MALLORY), DO)
    mallory.put(REQUEST, folder, b"forged")


def strangers_file(drive: DriveEmulator, mallory: PlainAccount) -> None:
    """A stranger's file in a genuine inbox."""
    drive_share(drive, root_of(drive, DO, DS))
    mallory.put(REQUEST, endpoint_of(drive, DO, DS), b"forged")


def given_away(drive: DriveEmulator, mallory: PlainAccount) -> None:
    """A stranger's file in a genuine inbox, whose owner the sender has become."""
    drive_share(drive, root_of(drive, DO, DS))
    drive.alter(mallory.put(REQUEST, endpoint_of(drive, DO, DS), b"forged"), owner=DS)


def folder_given_away(drive: DriveEmulator, mallory: PlainAccount) -> None:
    """A stranger's folder and file, whose owner the sender has become."""
    folder = mallory.inbox(DS, DO)
    root = root_of(drive, MALLORY)
    mallory.share(root, DO)
    drive.alter(mallory.put(REQUEST, folder, b"forged"), owner=DS)
    drive.alter(root, owner=DS)


def renamed(drive: DriveEmulator, mallory: PlainAccount) -> None:
    """The stranger's own genuine inbox, with the name of the sender's."""
    folder = endpoint_of(drive, DO, MALLORY)
    drive.alter(root_of(drive, DO, MALLORY), metadata={"name": f"syft_outbox_inbox_{DS}_to_{DO}"}, by=MALLORY)
    mallory.put(REQUEST, folder, b"forged")


def altered(drive: DriveEmulator, mallory: PlainAccount) -> None:
    """The sender's own file, which a stranger who was let in has rewritten."""
    drive_share(drive, root_of(drive, DO, DS))
    with PlainAccount(drive, DS) as ds:
        file = ds.put("draft", endpoint_of(drive, DO, DS), b"mine")
    drive.alter(file, content=b"forged", metadata={"name": REQUEST}, by=MALLORY)


def drive_share(drive: DriveEmulator, root: str) -> None:
    with PlainAccount(drive, DS) as ds:
        ds.share(root, MALLORY)


@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize(
    "forge",
    [strangers_folder, strangers_file, given_away, folder_given_away, renamed, altered],
    ids=lambda f: f.__name__,
)
def test_a_forger_that_drive_hides_reaches_no_handler(
    drive: DriveEmulator, mallory: PlainAccount, forge: Callable[[DriveEmulator, PlainAccount], None], hidden: str
) -> None:
    bodies: list[bytes] = []
    with (
        Observed(DO) as observed,
        serving(owner(bodies.append, allowed_senders=[DS, MALLORY])),
        drive.behaviour(**{hidden: [MALLORY]}),
    ):
        wait_until(lambda: "changes.getStartPageToken" in calls(drive, DO)[2:])
        forge(drive, mallory)
        wait_until(lambda: REQUEST in [rejection.file_name for rejection in observed.rejected])
        [rejection] = [rejection for rejection in observed.rejected if rejection.file_name == REQUEST]
        assert rejection.reason in ("foreign_folder", "forged_sender")
        assert rejection.claimed_sender == DS
        assert bodies == []
    assert "files.get_media" not in calls(drive, DO)


@pytest.mark.parametrize("hidden", HIDDEN)
def test_an_honest_sender_that_drive_hides_is_refused_with_a_reason(drive: DriveEmulator, hidden: str) -> None:
    bodies: list[bytes] = []
    with (
        Observed(DO) as observed,
        serving(owner(bodies.append, allowed_senders=[DS])),
        P2PFileRpc(DS, APP) as rpc,
    ):
        # The owner's own inbox, so that it is the file that is refused, and not the folder.
        wait_until(lambda: any(f.owner == DO and f.name == f"syft_outbox_inbox_{DS}_to_{DO}" for f in drive.files()))
        with drive.behaviour(**{hidden: [DS]}):
            rpc.send(DO, None, "messages", b"hello")
            wait_until(lambda: observed.rejected)
        assert observed.reasons() == ["forged_sender"]
        assert bodies == []


@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize("how", ["owns", "named"])
def test_nothing_is_written_where_drive_hides_who_made_the_folder(
    drive: DriveEmulator, mallory: PlainAccount, hidden: str, how: str
) -> None:
    if how == "owns":
        mallory.share(mallory.path("SyftBox", f"syft_outbox_inbox_{DS}_to_{DO}"), DS)
    else:
        with PlainAccount(drive, DO) as do:
            do.inbox(MALLORY, DO)
        root = root_of(drive, DO)
        drive.alter(root, metadata={"name": f"syft_outbox_inbox_{DS}_to_{DO}"}, by=MALLORY)
        mallory.share(root, DS)
    with drive.behaviour(**{hidden: [MALLORY]}), P2PFileRpc(DS, APP) as rpc:
        rpc.send(DO, None, "messages", b"secret")

    [request] = [file for file in drive.files() if file.name.endswith(".request")]
    assert request.roles == {DS: "owner", DO: "writer"}


@pytest.mark.parametrize("hidden", HIDDEN)
def test_an_answer_of_somebody_whom_drive_hides_is_none(
    drive: DriveEmulator, mallory: PlainAccount, hidden: str
) -> None:
    with P2PFileRpc(DS, APP) as rpc, Observed(DS) as observed, drive.behaviour(**{hidden: [MALLORY]}):
        future_id = rpc.send(DO, None, "messages", b"x")
        folder = mallory.inbox(DO, DS)
        mallory.share(root_of(drive, MALLORY), DS)
        drive.alter(mallory.put(f"{future_id}.response", folder, b"forged"), owner=DO)
        wait_until(lambda: observed.runtime.poll_once() or observed.rejected)

        assert observed.reasons() == ["foreign_folder"]
        assert rpc.get_response(future_id) is None


def test_an_address_that_somebody_else_has_got_is_not_the_participant_that_had_it(drive: DriveEmulator) -> None:
    bodies: list[bytes] = []
    with Observed(DO) as observed, serving(owner(bodies.append, allowed_senders=[DS])), P2PFileRpc(DS, APP) as rpc:
        rpc.send(DO, None, "messages", b"first sight")
        wait_until(lambda: bodies)
        identities = engine_of(observed.runtime).parts.identities
        assert identities.pinned(DS)
    with Observed(DO) as observed:
        identities = engine_of(observed.runtime).parts.identities
        known = identities.pinned(DS)
        assert known, "it is kept"
        identities._pins[DS] = "another account's"
        with serving(owner(bodies.append, allowed_senders=[DS])), P2PFileRpc(DS, APP) as rpc:
            rpc.send(DO, None, "messages", b"somebody else, under the address")
            wait_until(lambda: observed.rejected)
    assert set(observed.reasons()) <= {"forged_sender", "foreign_folder"}
    assert bodies == [b"first sight"]
