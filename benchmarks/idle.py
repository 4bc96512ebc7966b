"""An idle hour of an account that answers.

Ours lives the hour in virtual time over a Drive in memory, sweeps and all. A rival's polls
are all alike: two minutes of them (of listing: two polls) are made at a local Drive, and multiplied.
"""

from __future__ import annotations

from benchmarks.counting import counted
from benchmarks.day import Case, calls_of
from benchmarks.parties import APP, ENDPOINTS, OWNER, local_drive
from benchmarks.results import Cell, Result
from benchmarks.rivals.grouped import GroupedEvents
from benchmarks.rivals.listing import ListingEvents, ListingRpc
from syft_flwr.drive.quota import units_of

POLLS = 60
"""A multiple of what a rival learns of new senders by."""

HOUR_OF_POLLS = 1_800


def ours(senders: int, endpoints: int, longest: float | None = 15.0) -> tuple[int, int]:
    """Return the calls and units of an hour."""
    calls = calls_of(Case("idle", senders=senders, endpoints=endpoints, longest=longest), hours=1)
    return len(calls), sum(units_of(method) for method in calls)


def rivals(senders: int, endpoints: int) -> dict[str, tuple[int, int]]:
    with local_drive() as drive:
        for number in range(senders):
            sender = ListingRpc(drive.host, f"sender{number}@example.org")
            for endpoint in ENDPOINTS[:endpoints]:
                sender.drive.inbox(sender.drive.email, OWNER, APP, endpoint)
            sender.close()
        found = {}
        for name, kind, polls in (("grouped", GroupedEvents, POLLS), ("listing", ListingEvents, 2)):
            owner = kind(drive.host, APP, OWNER)
            for endpoint in ENDPOINTS[:endpoints]:
                owner.on_request(endpoint, lambda body: body)
            owner.poll_once()
            for _ in range(POLLS - 1 if name == "grouped" else 0):
                owner.poll_once()
            with counted(drive, OWNER) as cost:
                for _ in range(polls):
                    owner.poll_once()
            owner.close()
            found[name] = (cost.calls * HOUR_OF_POLLS // polls, cost.units * HOUR_OF_POLLS // polls)
        return found


def run(*, quick: bool) -> list[Result]:
    rows: list[list[Cell]] = []
    for senders in (1, 20) if quick else (1, 20, 1_000):
        for endpoints in (1, 3):
            place = [f"{senders:,} senders", f"{endpoints} endpoints"]
            rows.append(["feed (2 to 15 s)", *place, *ours(senders, endpoints)])
            rows.append(["feed (2 s)", *place, *ours(senders, endpoints, None)])
            rows += [[f"{name} (2 s)", *place, *counts] for name, counts in rivals(senders, endpoints).items()]
    columns = ["who", "senders", "endpoints", "calls", "units"]
    return [Result("idle", "An idle hour of an account that answers", columns, rows, "units")]
