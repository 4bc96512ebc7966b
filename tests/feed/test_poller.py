from __future__ import annotations

import pytest
from memory_drive import MemoryDrive, MemoryGateway

from syft_flwr.drive.folders import FolderIndex
from syft_flwr.errors import DriveUnavailableError, PageTokenRejectedError
from syft_flwr.feed.poller import ChangePoller, Poll
from syft_flwr.models import ChangePage, DriveFile
from syft_flwr.state.ledger import Ledger
from syft_flwr.state.memory import MemoryStore
from syft_flwr.testing.clock import ManualClock

ME, DS = "do@example.com", "ds@example.com"


class Gateway(MemoryGateway):
    failure: Exception | None = None

    def list_changes(self, page_token: str) -> ChangePage:
        if self.failure is not None:
            raise self.failure
        return super().list_changes(page_token)


@pytest.fixture
def drive() -> MemoryDrive:
    made = MemoryDrive(ManualClock())
    made.gateway(ME)
    return made


@pytest.fixture
def gateway(drive: MemoryDrive) -> Gateway:
    return Gateway(drive, ME)


@pytest.fixture
def alive() -> set[str]:
    return {"one", "other"}


class Reader:
    """A process that follows the feed."""

    def __init__(self, gateway: Gateway, store: MemoryStore, alive: set[str], holder: str) -> None:
        self.pages: list[tuple[int, str | None]] = []
        self.ledger = Ledger(store, ManualClock(), holder=holder, is_alive=alive.__contains__, max_processed=100)
        index = FolderIndex(gateway, MemoryStore(), ME)
        self.poller = ChangePoller(gateway, index, self.ledger, self._emit)
        if not self.poller.resume():
            self.poller.restart()

    def _emit(self, page: ChangePage, unfinished: list[DriveFile]) -> None:
        assert {file.id for file in unfinished} <= {pending.file.id for pending in self.ledger.pending()}
        self.pages.append((len(page.changes), self.ledger.cursor()))

    def pending(self) -> int:
        return len(self.ledger.pending())


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def reader(gateway, store, alive) -> Reader:
    return Reader(gateway, store, alive, "one")


def arrive(drive: MemoryDrive, count: int) -> None:
    sender = drive.gateway(DS)
    folder = sender.create_folder(sender.generate_ids(1)[0], "inbox", None)
    sender.share(folder.id, ME)
    for file_id in sender.generate_ids(count):
        sender.upload(file_id, "x.request", folder.id, b"")


def test_every_page_is_followed_and_committed_before_it_is_passed_on(drive, reader) -> None:
    drive.page_size = 3
    arrive(drive, 10)
    assert reader.poller.poll() == Poll(changes=11, pages=4)
    assert [size for size, _ in reader.pages] == [3, 3, 3, 2]
    assert len({token for _, token in reader.pages}) == 4  # each with the token behind it
    assert reader.pending() == 10


def test_an_idle_poll_is_one_call(drive, reader) -> None:
    reader.poller.poll()
    drive.calls.clear()
    assert reader.poller.poll() == Poll(changes=0, pages=1)
    assert drive.calls == [(ME, "changes.list")]


@pytest.mark.parametrize("failure", [DriveUnavailableError("down"), PageTokenRejectedError("gone", status=410)])
def test_no_failure_moves_the_token(drive, gateway, reader, failure) -> None:
    token = reader.ledger.cursor()
    arrive(drive, 2)
    gateway.failure = failure
    with pytest.raises(type(failure)):
        reader.poller.poll()
    assert reader.ledger.cursor() == token
    gateway.failure = None
    reader.poller.poll()
    assert reader.pending() == 2


def test_a_break_between_two_pages_goes_on_from_the_second_even_in_another_process(
    drive, gateway, store, alive, reader
) -> None:
    drive.page_size = 4
    arrive(drive, 10)
    emit = reader.poller._emit

    def break_off(page: ChangePage, unfinished: list[DriveFile]) -> None:
        emit(page, unfinished)
        raise KeyboardInterrupt

    reader.poller._emit = break_off
    with pytest.raises(KeyboardInterrupt):
        reader.poller.poll()
    again = Reader(gateway, store, alive, "other")
    again.poller.poll()
    assert [size for size, _ in again.pages] == [4, 3]
    assert again.pending() == 10


def test_each_process_reads_every_change_whoever_moves_the_shared_token(drive, gateway, store, alive, reader) -> None:
    other = Reader(gateway, store, alive, "other")
    arrive(drive, 3)
    reader.poller.poll()
    token = reader.ledger.cursor()
    assert other.poller.poll().changes == 4
    assert reader.ledger.cursor() == token  # the slower one does not move it back
    arrive(drive, 1)
    assert other.poller.poll().changes == reader.poller.poll().changes == 2


def test_the_token_of_a_dead_process_does_not_stay_behind(drive, gateway, store, alive, reader) -> None:
    other = Reader(gateway, store, alive, "other")
    arrive(drive, 1)
    reader.poller.poll()
    other.poller.poll()
    alive.discard("one")
    arrive(drive, 1)
    other.poller.poll()
    assert other.ledger.cursor() == other.poller._token


def test_a_new_start_token_replaces_one_that_is_refused(drive, reader) -> None:
    drive.reject_tokens(ME)
    with pytest.raises(PageTokenRejectedError):
        reader.poller.poll()
    reader.poller.restart()
    assert reader.poller.poll().pages == 1
