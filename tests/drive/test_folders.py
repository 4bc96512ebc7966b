from __future__ import annotations

from collections import Counter

import pytest

from syft_flwr import wire
from syft_flwr.drive.folders import FolderIndex, Location, Unresolved
from syft_flwr.resources import DriveFile
from syft_flwr.state.memory import MemoryStore
from syft_flwr.testing.clock import ManualClock
from syft_flwr.testing.memory_drive import MemoryDrive
from syft_flwr.testing.memory_gateway import MemoryGateway

ME, DS = "do@example.com", "ds@example.com"


@pytest.fixture
def drive() -> MemoryDrive:
    return MemoryDrive(ManualClock())


@pytest.fixture
def mine(drive: MemoryDrive) -> MemoryGateway:
    return drive.gateway(ME)


@pytest.fixture
def theirs(drive: MemoryDrive) -> MemoryGateway:
    return drive.gateway(DS)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def index(mine, store) -> FolderIndex:
    return FolderIndex(mine, store, ME)


def make_inbox(gateway: MemoryGateway, endpoint: str = "messages", *, share: bool = True) -> list[str]:
    """Make an inbox from the sender's side and return its folders, root first."""
    folders: list[str] = []
    for name in wire.inbox_path(DS, ME, "flwr/app", endpoint):
        parent = folders[-1] if folders else None
        folders.append(gateway.create_folder(gateway.generate_ids(1)[0], name, parent).id)
    if share:
        gateway.share(folders[0], ME)
    return folders


def file_in(folder: str) -> DriveFile:
    return DriveFile(id="file", name="x.request", parents=(folder,))


def gets(drive: MemoryDrive) -> int:
    return Counter(drive.calls)[ME, "files.get"]


def follow(mine: MemoryGateway, index: FolderIndex, token: str) -> str:
    page = mine.list_changes(token)
    index.observe(page.changes)
    return page.new_start_page_token or ""


def test_a_path_never_seen_costs_a_get_for_each_folder_once(drive, theirs, index, mine, store) -> None:
    root, *_, endpoint = make_inbox(theirs)
    location = index.locate(file_in(endpoint))
    assert isinstance(location, Location)
    assert (location.inbox.sender, location.app, location.endpoint) == (DS, "flwr/app", "messages")
    assert location.root.id == root
    assert gets(drive) == 4

    index.locate(file_in(endpoint))
    assert isinstance(FolderIndex(mine, store, ME).locate(file_in(endpoint)), Location)
    assert gets(drive) == 4  # nor after a restart


def test_what_the_feed_tells_of_folders_costs_nothing_in_whatever_order_they_come(drive, theirs, index, mine) -> None:
    token = mine.get_start_page_token()
    *_, endpoint = make_inbox(theirs)
    index.observe(reversed(mine.list_changes(token).changes))
    assert isinstance(index.locate(file_in(endpoint)), Location)
    assert gets(drive) == 0


@pytest.mark.parametrize("depth", range(4))
def test_a_folder_that_is_renamed_away_leads_elsewhere_until_it_is_named_back(
    drive, theirs, index, mine, depth
) -> None:
    token = mine.get_start_page_token()
    folders = make_inbox(theirs)
    names = wire.inbox_path(DS, ME, "flwr/app", "messages")
    token = follow(mine, index, token)
    before = index.locate(file_in(folders[3]))

    drive.move(folders[depth], name="elsewhere")
    token = follow(mine, index, token)
    assert index.locate(file_in(folders[3])) != before

    drive.move(folders[depth], name=names[depth])
    follow(mine, index, token)
    assert index.locate(file_in(folders[3])) == before
    assert gets(drive) <= 2


def test_a_folder_that_is_moved_to_another_inbox_is_that_inbox_s(drive, theirs, index, mine) -> None:
    token = mine.get_start_page_token()
    make_inbox(theirs)
    _, _, rpc, _ = make_inbox(theirs, "evaluate")
    *_, moved = make_inbox(theirs, "third")
    token = follow(mine, index, token)
    drive.move(moved, parent=rpc)
    follow(mine, index, token)
    location = index.locate(file_in(moved))
    assert isinstance(location, Location)
    assert location.root.id == drive._files[drive._files[drive._files[rpc].parent].parent].id


@pytest.mark.parametrize("depth", range(4))
@pytest.mark.parametrize("action", ["trash", "remove"])
def test_a_folder_in_the_trash_or_deleted_holds_no_inbox(drive, theirs, index, depth, action) -> None:
    mine = drive.gateway(ME)
    token = mine.get_start_page_token()
    folders = make_inbox(theirs)
    token = follow(mine, index, token)
    getattr(drive, action)(folders[depth])
    token = follow(mine, index, token)
    assert isinstance(index.locate(file_in(folders[3])), Unresolved)
    assert index.endpoints() == []

    if action == "trash":
        drive.trash(folders[depth], trashed=False)
        follow(mine, index, token)
        assert isinstance(index.locate(file_in(folders[3])), Location)


def test_a_folder_that_is_not_visible_is_asked_for_again_only_when_that_may_help(drive, theirs, index) -> None:
    folders = make_inbox(theirs, share=False)
    for _ in range(5):
        assert isinstance(index.locate(file_in(folders[3])), Unresolved)
    assert gets(drive) == 1

    theirs.share(folders[0], ME)
    index.take_news()
    index.retry_invisible()
    assert index.take_news() == {folders[3]}
    assert isinstance(index.locate(file_in(folders[3])), Location)


def test_a_stranger_s_folders_without_end_cost_a_bounded_number_of_calls_a_sweep(drive, index) -> None:
    for number in range(200):
        index.locate(file_in(f"no such folder {number}"))
    before = gets(drive)
    index.retry_invisible()
    for number in range(200):
        index.locate(file_in(f"no such folder {number}"))
    assert gets(drive) - before == 20


def test_a_folder_whose_place_does_not_show_may_yet_be_an_inbox(drive, theirs, index) -> None:
    folders = make_inbox(theirs, share=False)
    theirs.share(folders[2], ME)  # from rpc down only, so far
    assert isinstance(index.locate(file_in(folders[3])), Unresolved)


def test_files_elsewhere_are_no_messages(drive, mine, theirs, index) -> None:
    own = mine.create_folder(mine.generate_ids(1)[0], "notes", None)
    assert index.locate(file_in(own.id)) is None
    assert isinstance(index.locate(DriveFile(id="file", name="x.request")), Unresolved)


def test_one_s_own_folders_in_the_feed_change_nothing(drive, mine, index) -> None:
    token = mine.get_start_page_token()
    index.add([mine.create_folder(mine.generate_ids(1)[0], wire.inbox_root_name(DS, ME), None)])
    version = index.version
    follow(mine, index, token)
    assert index.version == version


def test_a_path_that_changes_while_it_is_walked_is_not_remembered_as_it_was(drive, theirs, mine, store) -> None:
    folders = make_inbox(theirs)

    class Renaming(MemoryGateway):
        def get_file(self, file_id: str, *, patient: bool = True) -> DriveFile:
            file = super().get_file(file_id, patient=patient)
            if file_id == folders[0]:
                drive.move(folders[3], name="renamed")
                index.add([super().get_file(folders[3])])
            return file

    index = FolderIndex(Renaming(drive, ME), store, ME)
    index.locate(file_in(folders[3]))
    location = index.locate(file_in(folders[3]))
    assert isinstance(location, Location)
    assert location.endpoint == "renamed"
