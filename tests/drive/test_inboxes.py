from __future__ import annotations

import threading
from collections import Counter

import pytest
from runtimes import serve

from syft_flwr import wire
from syft_flwr.drive.finder import FolderFinder
from syft_flwr.drive.folders import FolderIndex
from syft_flwr.drive.identities import Identities
from syft_flwr.drive.inboxes import InboxMaker
from syft_flwr.errors import DriveUnavailableError, PermissionDeniedError
from syft_flwr.exchange.ids import IdPool
from syft_flwr.exchange.routes import Route
from syft_flwr.resources import Access, Account, DriveFile
from syft_flwr.runtime import DriveRuntime
from syft_flwr.settings import EMULATOR_VARIABLE, STATE_VARIABLE
from syft_flwr.state.memory import MemoryStore
from syft_flwr.testing import DriveEmulator
from syft_flwr.testing.clock import ManualClock
from syft_flwr.testing.memory_drive import MemoryDrive
from syft_flwr.testing.memory_gateway import MemoryGateway

ME, DS, STRANGER = "do@example.com", "ds@example.com", "x@example.com"
INBOX = wire.inbox_path(DS, ME, "flwr/app", "messages")
OUTBOX = wire.inbox_path(ME, DS, "flwr/app", "messages")


@pytest.fixture
def drive() -> MemoryDrive:
    return MemoryDrive(ManualClock())


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def maker_on(gateway: MemoryGateway, store: MemoryStore, me: str = ME) -> InboxMaker:
    clock, index = ManualClock(), FolderIndex(gateway, store, me)
    return InboxMaker(
        gateway,
        index,
        FolderFinder(gateway, index, clock),
        store,
        me,
        identities=Identities(store),
        clock=clock,
        reserve=IdPool(gateway).take,
    )


def tree(drive: MemoryDrive) -> Counter[tuple[str, str]]:
    return Counter((folder.owners[0], folder.name) for folder in drive.folders())


def make_theirs(drive: MemoryDrive, owner: str, path=OUTBOX) -> str:
    """Make an inbox as somebody else and return its endpoint's folder."""
    gateway, parent = drive.gateway(owner), None
    for name in path:
        parent = gateway.create_folder(gateway.generate_ids(1)[0], name, parent).id
        if name == path.root:
            gateway.share(parent, ME)
    return parent


def test_an_inbox_is_made_once_and_shared_before_anything_is_in_it(drive, store) -> None:
    maker = maker_on(drive.gateway(ME), store)
    [endpoint] = maker.ensure([INBOX], peer=DS)
    writes = [method for _, method in drive.calls if method in ("files.create", "permissions.create")]
    assert writes == ["files.create", "files.create", "permissions.create", *["files.create"] * 3]

    assert maker.ensure([INBOX], peer=DS) == [endpoint]
    assert maker_on(drive.gateway(ME), store).ensure([INBOX], peer=DS) == [endpoint]
    assert len([method for _, method in drive.calls if method == "permissions.create"]) == 1
    assert set(tree(drive).values()) == {1}


def test_several_endpoints_of_a_peer_cost_one_look_and_one_tree(drive, store) -> None:
    paths = [wire.inbox_path(DS, ME, "flwr/app", name) for name in ("a", "b", "c")]
    assert len(set(maker_on(drive.gateway(ME), store).ensure(paths, peer=DS))) == 3
    assert Counter(drive.calls)[ME, "files.list"] == 1
    assert set(tree(drive).values()) == {1}


def test_a_folder_of_the_peer_is_used_and_of_two_the_oldest(drive, store) -> None:
    oldest = make_theirs(drive, DS)
    drive.clock.advance(1)
    make_theirs(drive, DS)
    assert maker_on(drive.gateway(ME), store).ensure([OUTBOX], peer=DS) == [oldest]


def test_a_stranger_s_folder_is_not_used_however_old(drive, store) -> None:
    theirs = make_theirs(drive, STRANGER)
    assert maker_on(drive.gateway(ME), store).ensure([OUTBOX], peer=DS) != [theirs]


def test_two_processes_that_do_not_see_each_other_s_folders_yet_make_the_same_ones(drive, store) -> None:
    drive.lag = 60.0
    one, other = (maker_on(drive.gateway(ME), store) for _ in range(2))
    assert one.ensure([INBOX], peer=DS) == other.ensure([INBOX], peer=DS)
    assert set(tree(drive).values()) == {1}


def test_many_threads_make_one_tree_for_each_peer(drive, store) -> None:
    maker = maker_on(drive.gateway(ME), store)
    peers = [f"ds{number % 4}@example.com" for number in range(16)]

    def ensure(peer: str) -> None:
        maker.ensure([wire.inbox_path(peer, ME, "app", "messages")], peer=peer)

    threads = [threading.Thread(target=ensure, args=(peer,)) for peer in peers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tree(drive)[ME, "SyftBox"] == 1
    assert all(times == 1 for (_, name), times in tree(drive).items() if name.startswith(wire.INBOX_PREFIX))


@pytest.mark.parametrize("call", range(1, 8))
def test_what_failed_half_way_is_finished_by_the_next_process_without_doubling(drive, store, call: int) -> None:
    class Failing(MemoryGateway):
        left = call

        def _call(self, method: str) -> None:
            super()._call(method)
            if method in ("files.create", "permissions.create"):
                Failing.left -= 1
                if Failing.left == 0:
                    raise DriveUnavailableError("down")

        def create_folder(self, file_id: str, name: str, parent: str | None) -> DriveFile:
            try:
                return super().create_folder(file_id, name, parent)
            except DriveUnavailableError:
                MemoryGateway(drive, ME).create_folder(file_id, name, parent)  # it was applied, and the answer lost
                raise

    drive.gateway(ME)
    maker = maker_on(Failing(drive, ME), store)
    try:
        maker.ensure([INBOX], peer=DS)
    except DriveUnavailableError:
        maker_on(drive.gateway(ME), store).ensure([INBOX], peer=DS)
    assert set(tree(drive).values()) == {1}
    root = next(folder for folder in drive.folders() if folder.name == INBOX.root)
    assert DS in drive._files[root.id].writers


@pytest.mark.parametrize("depth", range(5))
@pytest.mark.parametrize("action", ["trash", "remove"])
def test_a_folder_that_went_away_unseen_is_made_anew(drive, store, depth: int, action: str) -> None:
    maker = maker_on(drive.gateway(ME), store)
    [endpoint] = maker.ensure([INBOX], peer=DS)
    gone = endpoint
    for _ in range(depth):
        gone = drive._files[gone].parent
    getattr(drive, action)(gone)

    maker.recheck([INBOX])  # as after an upload that met a 404
    [fresh] = maker.ensure([INBOX], peer=DS)
    assert fresh != endpoint
    assert not drive._files[fresh].trashed


def test_known_senders_get_inboxes_once_without_a_notice_by_mail(tmp_path, monkeypatch) -> None:
    with DriveEmulator() as emulator:
        monkeypatch.setenv(EMULATOR_VARIABLE, emulator.host)
        monkeypatch.setenv(STATE_VARIABLE, str(tmp_path))
        senders = [DS, "other@example.com", ME]
        for _ in range(2):
            with DriveRuntime.open(ME) as runtime:
                for endpoint in ("messages", "evaluate"):
                    serve(runtime, Route("flwr/app", endpoint, lambda body, _: body), known_senders=senders)
                runtime.poll_once()
        shares = [entry for entry in emulator.requests() if entry["method"] == "permissions.create"]
        folders = Counter((file.path, file.owner) for file in emulator.files())
    assert len(shares) == 2
    assert all("sendNotificationEmail=false" in entry["query"] for entry in shares)
    assert set(folders.values()) == {1}
    assert len(folders) == 1 + 2 * 5


def test_one_sender_who_can_not_be_shared_with_holds_up_nobody(tmp_path, monkeypatch) -> None:
    with DriveEmulator() as emulator:
        monkeypatch.setenv(EMULATOR_VARIABLE, emulator.host)
        monkeypatch.setenv(STATE_VARIABLE, str(tmp_path))
        emulator.add_fault("error", method="permissions.create", status=403, reason="sharingRateLimitExceeded", times=1)
        with DriveRuntime.open(ME) as runtime:
            errors: list[str] = []
            runtime.errors.subscribe(lambda error: errors.append(error.where))
            serve(runtime, Route("app", "messages", lambda body, _: body), known_senders=[DS, "o@example.com"])
            assert runtime.poll_once() >= 0
            assert runtime.poll_once() >= 0
        shared = {address for file in emulator.files() for address in file.roles} - {ME}
    assert len(shared) == 1
    assert len(errors) == 1


# -- access that changes --------------------------------------------------------------------------------------


def unshare(drive: MemoryDrive, root: str, who: str) -> None:
    drive._files[root].writers.discard(who)


def root_of(drive: MemoryDrive, name: str, owner: str = ME) -> str:
    [root] = [folder.id for folder in drive.folders() if folder.name == name and folder.owners == (owner,)]
    return root


def test_a_share_that_was_taken_back_is_granted_again_by_the_next_process(drive, store) -> None:
    maker_on(drive.gateway(ME), store).ensure([OUTBOX], peer=DS)
    root = root_of(drive, OUTBOX.root)
    unshare(drive, root, DS)
    maker_on(drive.gateway(ME), store).ensure([OUTBOX], peer=DS)
    assert DS in drive._files[root].writers


def test_a_share_that_was_taken_back_is_granted_again_when_the_feed_tells_of_the_root(drive, store) -> None:
    maker = maker_on(drive.gateway(ME), store)
    maker.ensure([OUTBOX], peer=DS)
    root = root_of(drive, OUTBOX.root)
    unshare(drive, root, DS)
    assert maker.changed(["another", root]) == [root]
    maker.verify(root)
    assert DS in drive._files[root].writers


@pytest.mark.parametrize("action", ["trash", "rename"])
def test_a_root_that_went_away_unseen_is_not_used_by_the_next_process(drive, store, action: str) -> None:
    maker_on(drive.gateway(ME), store).ensure([INBOX], peer=DS)
    [root] = [folder for folder in drive.folders() if folder.name == INBOX.root]
    if action == "trash":
        drive.trash(root.id)
    else:
        with drive.edited() as files:
            next(file for file in files if file.id == root.id).name = "old stuff"
    [folder] = maker_on(drive.gateway(ME), store).ensure([INBOX], peer=DS)
    gateway = drive.gateway(ME)
    for _ in range(3):
        folder = gateway.get_file(folder).parents[0]
    assert folder != root.id


def test_where_the_peer_lets_us_only_look_messages_go_into_a_root_of_our_own(drive, store, caplog) -> None:
    theirs = make_theirs(drive, DS)
    maker = maker_on(drive.gateway(ME), store)
    assert maker.ensure([OUTBOX], peer=DS) == [theirs]
    # A viewer: it still sees the folder, and may not write.
    maker._gateway.access = lambda _: Access(can_write=False)
    refused: list[str] = []
    written: list[str] = []

    def put(folder: str) -> None:
        if folder == theirs:
            refused.append(folder)
            raise PermissionDeniedError("insufficientParentPermissions", status=403)
        written.append(folder)

    maker.deliver(OUTBOX, peer=DS, put=put)
    assert (len(refused), len(written)) == (1, 1)
    assert DS in caplog.text
    assert OUTBOX.root in caplog.text
    assert DS in drive._files[root_of(drive, OUTBOX.root)].writers


# -- spelling -------------------------------------------------------------------------------------------------


class Gmail(MemoryGateway):
    """Knows an account by its address without dots, whatever is typed."""

    def share(self, file_id: str, email: str) -> Account:
        return super().share(file_id, email.partition("@")[0].replace(".", "") + "@gmail.com")


def test_a_peer_is_written_to_under_the_address_by_which_drive_knows_it(drive, store, caplog) -> None:
    drive.gateway(ME)
    maker = maker_on(Gmail(drive, ME), store)
    typed, real = "Jane.Doe@gmail.com", "JaneDoe@gmail.com"
    for _ in range(2):
        maker.ensure([wire.inbox_path(ME, typed, "app", "messages")], peer=typed)
        maker = maker_on(Gmail(drive, ME), store)
    roots = [folder.name for folder in drive.folders() if folder.name.startswith(wire.INBOX_PREFIX)]
    assert roots == [wire.inbox_root_name(ME, real)]
    assert caplog.text.count("is known to Drive as") == 1


def user(email: str | None, permission_id: str | None) -> DriveFile:
    return DriveFile(
        id="f", name="n", owners=(email or "",), owner_ids=(permission_id,), last_modifying_user=email,
        editor_id=permission_id,
    )  # fmt: skip


@pytest.mark.parametrize("file", [user(None, "7"), user("", "7"), user("\u212ado@example.com", "9"), user(DS, "8")])
def test_what_drive_does_not_attest_is_foreign(store, file: DriveFile) -> None:
    identities = Identities(store)
    identities.pin(DS, "7")
    for address in (DS, "kdo@example.com"):
        assert not identities.owns((address,), file)
        assert not identities.changed_last((address,), file)
        assert not identities.vouch_for((address, ME), file)


def test_a_participant_who_was_renamed_is_known_by_the_permission_id(store, caplog) -> None:
    identities = Identities(store)
    identities.pin(DS, "7")
    assert Identities(store).owns((DS,), user("new-name@example.com", "7"))
    assert not identities.owns((DS,), user("new-name@example.com", None))
    assert caplog.text.count("is called new-name@example.com now") == 1
