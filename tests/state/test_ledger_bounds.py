"""What was processed is remembered within bounds, in memory and on disk, and yet nothing is handled twice."""

from __future__ import annotations

import tracemalloc
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from syft_flwr import wire
from syft_flwr.drive.paging import LIST_LAG
from syft_flwr.models import Message, Rejection, RejectionReason
from syft_flwr.ports import StateStore, Transaction
from syft_flwr.resources import Change, ChangePage, DriveFile
from syft_flwr.state.journal_rows import Claim, Committed
from syft_flwr.state.ledger import Ledger
from syft_flwr.state.memory import MemoryStore
from syft_flwr.state.store import DiskStore
from syft_flwr.testing.clock import ManualClock

SENDERS = 10
START = 1_750_000_000.0
REFUSED = Rejection(RejectionReason.FORGED_SENDER, "file", "its owner is another")


class OneTransaction:
    """A store whose transactions are parts of a larger one, so that a thousand of them share one commit."""

    def __init__(self, store: StateStore) -> None:
        self._store = store
        self._open: Transaction | None = None

    def transact(self, work: Callable[[Transaction], Any]) -> Any:
        if self._open is not None:
            return work(self._open)
        return self._store.transact(work)

    def together(self, work: Callable[[], None]) -> None:
        def run(tx: Transaction) -> None:
            self._open = tx
            try:
                work()
            finally:
                self._open = None

        self._store.transact(run)

    def close(self) -> None:
        pass


def numbers_of(committed: Committed) -> list[int]:
    return [*committed.changed, *(row.number for row in committed.rows)]


def request(number: int) -> tuple[DriveFile, Message]:
    sender = f"ds{number % SENDERS}@example.com"
    future = str(uuid.UUID(int=number))
    file = DriveFile(
        id=f"file{number:08d}",
        name=f"{future}.request",
        parents=(f"folder{number % SENDERS}",),
        size=1,
        created_time=wire.timestamp(START + number / 10),
        owners=(sender,),
    )
    message = Message(
        kind="request",
        sender=sender,
        recipient="do@example.com",
        app="app",
        endpoint="messages",
        future_id=future,
        file_id=file.id,
        folder_id=file.parents[0],
        size=1,
        created_time=file.created_time,
    )
    return file, message


def ledger_on(store: StateStore, *, limit: int) -> Ledger:
    return Ledger(
        store,
        ManualClock(),
        holder="me",
        is_alive=lambda holder: holder == "me",
        max_processed=limit,
        keep_events=0,  # which has a bound of its own
    )


def process(ledger: Ledger, numbers: range, *, again: bool = False) -> int:
    """Take requests through the ledger as the feed and a handler do; return how many it let through."""
    batch = [request(number) for number in numbers]
    page = ChangePage(tuple(Change(file.id, file=file) for file, _ in batch), new_start_page_token=str(numbers.stop))
    committed, _ = ledger.commit(page, stored=ledger.position.token() or "", answers={})
    new = numbers_of(committed)
    new += numbers_of(ledger.take((file for file, _ in batch), {})) if again else []
    messages = {file.id: message for file, message in batch}
    for row in ledger.journal.rows(new):
        ledger.journal.finish(row.number, messages[row.file.id])
    return len(new)


def rows(store: StateStore) -> int:
    return store.transact(lambda tx: sum(1 for _ in tx.scan("")))


@pytest.mark.parametrize("limit", [1_000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_five_times_the_limit_leaves_no_more_than_it_and_nothing_is_handled_again(limit: int) -> None:
    batch, lagging = limit // 10, round(10 * LIST_LAG)
    store = MemoryStore(copies=False)
    ledger = ledger_on(store, limit=limit)
    kept = []
    for start in range(0, 5 * limit, batch):
        assert process(ledger, range(start, start + batch)) == batch
        ledger.mark_swept(START + (start + batch) / 10)
        kept.append(rows(store))
    assert max(kept) < 3 * (max(limit, lagging) + batch) + 100

    ledger = ledger_on(store, limit=limit)
    assert process(ledger, range(5 * limit), again=True) == 0
    assert ledger.journal.unfinished() == []


def test_the_database_stops_growing_and_a_restart_handles_nothing_again(tmp_path: Path) -> None:
    limit, batch = 300, 100
    directory = tmp_path / "ledger"
    store = DiskStore(directory)
    shared = OneTransaction(store)
    ledger = ledger_on(shared, limit=limit)
    sizes = []
    for start in range(0, 2_000, batch):

        def work(start: int = start) -> None:
            process(ledger, range(start, start + batch))
            ledger.mark_swept(START + 1_000_000)

        shared.together(work)
        sizes.append(rows(store))
    store.close()
    assert max(sizes[10:]) <= 1.02 * max(sizes[:10])
    assert sum(path.stat().st_size for path in directory.iterdir()) < 3_000 * limit

    store = DiskStore(directory)
    shared = OneTransaction(store)
    ledger = ledger_on(shared, limit=limit)
    again: list[int] = []
    shared.together(lambda: again.append(process(ledger, range(2_000), again=True)))
    assert again == [0]
    assert ledger.journal.unfinished() == []
    store.close()


@pytest.fixture
def ledger() -> Ledger:
    return ledger_on(MemoryStore(), limit=100)


@contextmanager
def measured() -> Iterator[Callable[[], int]]:
    tracemalloc.start()
    try:
        yield lambda: tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_what_was_processed() -> None:
    ledger = ledger_on(MemoryStore(), limit=200)
    with measured() as used:
        sizes = []
        for start in range(0, 2_000, 50):
            process(ledger, range(start, start + 50))
            ledger.mark_swept(START + 1_000_000)
            sizes.append(used())
    assert max(sizes[20:]) < 1.2 * max(sizes[:20])


def test_a_request_that_waits_is_not_touched_by_its_folder_s_watermark(ledger: Ledger) -> None:
    waiting, message = request(0)
    [number] = numbers_of(ledger.take([waiting], {}))
    for start in range(1, 1_000, 100):
        process(ledger, range(start, start + 100))
        ledger.mark_swept(START + 1_000_000)
    assert ledger.marks()["folder0"] > waiting.created_time
    assert [row.file for row in ledger.journal.unfinished()] == [waiting]
    changed = DriveFile.from_api({**waiting.to_api(), "size": "2"})
    assert numbers_of(ledger.take([changed], {})) == [number]
    assert [standing.claim for standing in ledger.journal.claim([(number, message, True)])] == [Claim.TAKEN]


def test_a_request_that_finishes_late_is_not_handled_again_either(ledger: Ledger) -> None:
    waiting, message = request(0)
    [number] = numbers_of(ledger.take([waiting], {}))
    process(ledger, range(1, 301))
    ledger.mark_swept(START + 1_000_000)
    ledger.journal.finish(number, message)
    assert numbers_of(ledger.take([waiting], {})) == []
    process(ledger, range(301, 601))
    ledger.mark_swept(START + 1_000_000)
    assert numbers_of(ledger.take([waiting], {})) == []


def test_refused_files_count_and_are_given_up_like_the_others(ledger: Ledger) -> None:
    for start in range(0, 1_000, 50):
        files = [request(number)[0] for number in range(start, start + 50)]
        assert all(ledger.refuse([(number, "folder", REFUSED) for number in numbers_of(ledger.take(files, {}))]))
        ledger.mark_swept(START + 1_000_000)
    assert len(ledger.snapshot()["done"]) <= 100


def test_without_a_full_sweep_no_id_is_given_up(ledger: Ledger) -> None:
    process(ledger, range(300))
    assert ledger.marks() == {}
    assert ledger.take([], {}).wants_sweep
    assert process(ledger, range(300), again=True) == 0
    assert not ledger.mark_swept(START + 1_000_000)
    assert not ledger.take([], {}).wants_sweep
    assert process(ledger, range(300), again=True) == 0


def test_a_request_that_was_created_before_the_last_sweep_could_list_it_is_not_lost(ledger: Ledger) -> None:
    process(ledger, range(1, 301))
    ledger.mark_swept(START + 30.0)  # lists may trail by two minutes: nothing is known for sure yet
    assert process(ledger, range(1)) == 1
