from __future__ import annotations

import pytest
from memory_drive import MemoryDrive, MemoryGateway

from syft_flwr import wire
from syft_flwr.drive.folders import FolderIndex
from syft_flwr.feed.sweep import Sweeper
from syft_flwr.state.memory import MemoryStore
from syft_flwr.testing.clock import ManualClock

ME, DS = "do@example.com", "ds@example.com"
NAMES = {"app", "messages"}


@pytest.fixture
def drive() -> MemoryDrive:
    return MemoryDrive(ManualClock())


@pytest.fixture
def mine(drive: MemoryDrive) -> MemoryGateway:
    return drive.gateway(ME)


@pytest.fixture
def index(mine: MemoryGateway) -> FolderIndex:
    return FolderIndex(mine, MemoryStore(), ME)


@pytest.fixture
def sweeper(mine: MemoryGateway, index: FolderIndex) -> Sweeper:
    return Sweeper(mine, index, ME)


def make_inbox(drive: MemoryDrive, sender: str = DS, *, share: bool = True) -> list[str]:
    gateway, folders = drive.gateway(sender), []
    for name in wire.inbox_path(sender, ME, "app", "messages"):
        parent = folders[-1] if folders else None
        folders.append(gateway.create_folder(gateway.generate_ids(1)[0], name, parent).id)
    if share:
        gateway.share(folders[0], ME)
    return folders


def put(drive: MemoryDrive, folder: str, name: str = "x.request", owner: str = DS) -> str:
    gateway = drive.gateway(owner)
    (file_id,) = gateway.generate_ids(1)
    gateway.upload(file_id, name, folder, b"body")
    return file_id


def ids(files) -> set[str]:
    return {file.id for file in files}


def test_a_full_sweep_finds_every_file_of_others_in_every_inbox(drive, sweeper) -> None:
    files = {
        put(drive, make_inbox(drive, f"ds{number}@example.com")[-1], owner=f"ds{number}@example.com")
        for number in range(250)
    }
    own = put(drive, make_inbox(drive)[-1], owner=ME)
    drive.calls.clear()
    found = ids(sweeper.everything(NAMES, {}))
    assert files <= found
    assert own not in found
    assert [method for _, method in drive.calls] == ["files.list"] * 4  # the folders, and three hundreds of them


def test_an_inbox_made_long_ago_and_shared_now_is_found(drive, sweeper) -> None:
    folders = make_inbox(drive, share=False)
    file = put(drive, folders[-1])
    assert ids(sweeper.everything(NAMES, {})) == set()
    drive.clock.advance(100_000)
    drive.gateway(DS).share(folders[0], ME)
    assert ids(sweeper.everything(NAMES, {})) == {file}


def test_what_lies_below_a_folder_s_watermark_is_not_listed_again(drive, sweeper) -> None:
    folder = make_inbox(drive)[-1]
    put(drive, folder)
    drive.clock.advance(10)
    mark = wire.timestamp(drive.clock.time() - 5)
    new = put(drive, folder)
    assert ids(sweeper.everything(NAMES, {folder: mark})) == {new}


def test_one_folder_that_is_gone_does_not_hide_the_others(drive, sweeper, index) -> None:
    inboxes = [make_inbox(drive, f"ds{number}@example.com") for number in range(20)]
    files = [put(drive, folders[-1], owner=f"ds{number}@example.com") for number, folders in enumerate(inboxes)]
    assert ids(sweeper.everything(NAMES, {})) == set(files)
    drive.remove(inboxes[7][-1])  # too young to be looked for, and the feed has not told

    assert ids(sweeper.everything(NAMES, {})) == set(files) - {files[7]}
    assert inboxes[7][-1] not in {location.folder_id for location in index.endpoints()}


def test_a_folder_that_was_renamed_while_the_feed_had_a_gap_is_looked_up(drive, sweeper, index) -> None:
    folders = make_inbox(drive)
    list(sweeper.everything(NAMES, {}))
    assert len(index.endpoints()) == 1
    drive.clock.advance(1_000)
    drive.move(folders[0], name="no inbox any more")
    drive.calls.clear()
    list(sweeper.everything(NAMES, {}))
    assert index.endpoints() == []
    assert drive.calls.count((ME, "files.get")) == 1

    list(sweeper.everything(NAMES, {}))
    assert drive.calls.count((ME, "files.get")) == 1


def test_an_ordinary_sweep_is_one_call_and_finds_what_is_new_wherever_it_lies(drive, sweeper, index) -> None:
    old = put(drive, make_inbox(drive)[-1])
    drive.clock.advance(1_000)
    since = drive.clock.time() - 10
    folders = make_inbox(drive, "other@example.com")
    new = put(drive, folders[-1], owner="other@example.com")
    drive.calls.clear()
    found = ids(sweeper.recent(since))
    assert new in found
    assert old not in found
    assert drive.calls == [(ME, "files.list")]
    assert [location.folder_id for location in index.endpoints()] == [folders[-1]]  # and its folders with it


def test_one_s_own_replies_are_listed_with_where_they_lie(drive, sweeper) -> None:
    gateway, parent = drive.gateway(ME), None
    for name in wire.inbox_path(ME, DS, "app", "messages"):
        parent = gateway.create_folder(gateway.generate_ids(1)[0], name, parent).id
    reply = put(drive, parent, "x.response", owner=ME)
    put(drive, parent, "y.request", owner=ME)
    list(sweeper.everything(NAMES, {}))
    [(file, location)] = sweeper.own_replies()
    assert file.id == reply
    assert (location.inbox.recipient, location.app, location.endpoint) == (DS, "app", "messages")
