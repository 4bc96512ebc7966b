"""What the event log costs of a round trip: ``python -m benchmarks.event_log``.

A round trip over the local Drive is measured, and how many rows it adds to the log; and beside it what a transaction
costs with such a row and without, in a log that is full. Times are of this process's own work (CPU). It fails above
5 %.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from benchmarks.parties import ASKER, OWNER, Parties, local_drive, parties
from syft_flwr.clock import SystemClock
from syft_flwr.ports import Transaction
from syft_flwr.runtime.sharing import state_directory
from syft_flwr.settings import load_endpoint, state_root
from syft_flwr.state.events import EventLog, last_number
from syft_flwr.state.store import DiskStore

GOAL = 0.05
ROUND_TRIPS = 50
TRANSACTIONS = 1_000
SAMPLE = {"kind": "request", "sender": ASKER, "recipient": OWNER, "app": "flwr/benchmark", "endpoint": "messages"}
SAMPLE |= {"future_id": "0" * 36, "file_id": "0" * 33}


def per_transaction(keep: int) -> float:
    """Return the seconds of a transaction that puts one row, and writes down what it did if any rows are kept."""
    with tempfile.TemporaryDirectory() as directory, closing(DiskStore(Path(directory) / "ledger")) as store:
        log = EventLog(store, SystemClock(), holder="1-0000000000000000", keep=keep)

        def work(tx: Transaction) -> None:
            tx.put("row", 1)
            log.happened("handled", **SAMPLE, size=5, seconds=0.1, attempts=1, reply_size=5, is_error=False)

        for _ in range(keep + 10):
            log.transact(work)
        began = time.process_time()
        for _ in range(TRANSACTIONS):
            log.transact(work)
        return (time.process_time() - began) / TRANSACTIONS


def rows() -> int:
    def of(email: str) -> Iterator[int]:
        with closing(DiskStore(state_directory(state_root(), email, load_endpoint().url) / "ledger")) as store:
            yield store.transact(last_number)

    return sum(number for email in (ASKER, OWNER) for number in of(email))


def per_round_trip(pair: Parties) -> tuple[float, float]:
    """Return seconds and rows of a round trip."""
    for _ in range(5):
        pair.round_trip()
    before, began = rows(), time.process_time()
    for _ in range(ROUND_TRIPS):
        pair.round_trip()
    took = time.process_time() - began
    return took / ROUND_TRIPS, (rows() - before) / ROUND_TRIPS


def main() -> None:
    with local_drive() as drive, parties("feed", drive) as pair:
        seconds, written = per_round_trip(pair)
    row = min(per_transaction(200) for _ in range(3)) - min(per_transaction(0) for _ in range(3))
    share = written * row / seconds
    print(f"a round trip: {seconds * 1e3:.1f} ms; {written:.1f} rows of {row * 1e6:.0f} µs: {share:.1%}")
    if share > GOAL:
        raise SystemExit(f"more than {GOAL:.0%}")


if __name__ == "__main__":
    main()
