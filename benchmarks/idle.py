"""An idle hour of an account that answers.

Ours lives the hour in virtual time over a Drive in memory, sweeps and all. A rival's polls are all alike, but for those
that look for new senders: one of each is made at a local Drive, and multiplied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from benchmarks.counting import counted
from benchmarks.parties import APP, ENDPOINTS, OWNER, local_drive, make_inboxes
from benchmarks.results import Cell, Result
from benchmarks.rivals.grouped import LEARN_EVERY, GroupedEvents
from benchmarks.rivals.listing import ListingEvents
from drive_emulator import DriveEmulator
from syft_flwr.clock import SystemClock
from syft_flwr.drive.quota import units_of
from syft_flwr.events import P2PFileEvents
from syft_flwr.rpc import P2PFileRpc
from syft_flwr.runtime import DriveRuntime

POLLS = 1_800
"""An hour of them."""


def ours(senders: int, endpoints: int, longest: float | None = 15.0) -> tuple[int, int]:
    """Return the calls and units of an hour."""
    try:
        from benchmarks.day import Case, calls_of
    except ImportError:  # a revision whose parts are put together otherwise
        return hour_over_http(senders, endpoints, longest)
    calls = calls_of(Case("idle", senders=senders, endpoints=endpoints, longest=longest), hours=1)
    return len(calls), sum(units_of(method) for method in calls)


def hour_over_http(senders: int, endpoints: int, longest: float | None) -> tuple[int, int]:
    """Return the same for a revision that can't be put over a Drive in memory: its clock runs ahead."""
    with local_drive() as drive, running_ahead(drive) as advance:
        for number in range(senders):
            with P2PFileRpc(f"sender{number}@example.org", APP) as sender:
                sender.send_many([(OWNER, APP, endpoint, b"hello") for endpoint in ENDPOINTS[:endpoints]])
        runtime = DriveRuntime.open(OWNER, poll_interval=2.0, max_poll_interval=longest)
        events = P2PFileEvents(APP, OWNER)
        for endpoint in ENDPOINTS[:endpoints]:
            events.on_request(endpoint, lambda _: None)
        detach = events.attach(runtime)
        step = runtime._step if hasattr(runtime, "_step") else runtime._engine._step  # noqa: SLF001 - the loop's
        _live(step, advance, 3_600.0)
        with counted(drive, OWNER) as cost:
            _live(step, advance, 3_600.0)
        detach()
        runtime.close()
    return cost.calls, cost.units


def _live(step: Callable[[], float], advance: Callable[[float], None], seconds: float) -> None:
    lived = 0.0
    while lived < seconds:
        pause = step()
        advance(pause)
        lived += pause


@contextmanager
def running_ahead(drive: DriveEmulator) -> Iterator[Callable[[float], None]]:
    """Lend what moves the time of Drive and of this process's runtimes forward."""
    ahead, original = 0.0, (SystemClock.time, SystemClock.monotonic)

    def advance(seconds: float) -> None:
        nonlocal ahead
        ahead += seconds
        drive.advance(seconds)

    SystemClock.time = lambda clock: original[0](clock) + ahead  # type: ignore[method-assign]
    SystemClock.monotonic = lambda clock: original[1](clock) + ahead  # type: ignore[method-assign]
    try:
        yield advance
    finally:
        SystemClock.time, SystemClock.monotonic = original  # type: ignore[method-assign]


def hour_of_rivals(senders: int, endpoints: int) -> dict[str, tuple[int, int]]:
    with local_drive() as drive:
        served = ENDPOINTS[:endpoints]
        make_inboxes(drive, [f"sender{number}@example.org" for number in range(senders)], served)
        grouped, listing = GroupedEvents(drive.host, APP, OWNER), ListingEvents(drive.host, APP, OWNER)
        for owner in (grouped, listing):
            for endpoint in served:
                owner.on_request(endpoint, lambda body: body)
            owner.poll_once()  # folders that were found once are remembered
        found = {
            "grouped": _hour(drive, {grouped.look: POLLS, grouped.learn: POLLS // LEARN_EVERY}),
            "listing": _hour(drive, {listing.poll_once: POLLS}),
        }
        grouped.close()
        listing.close()
        return found


def _hour(drive: DriveEmulator, times: dict[Callable[[], None], int]) -> tuple[int, int]:
    calls = units = 0
    for step, count in times.items():
        with counted(drive, OWNER) as cost:
            step()
        calls, units = calls + cost.calls * count, units + cost.units * count
    return calls, units


def run(*, quick: bool, rivals: bool) -> list[Result]:
    rows: list[list[Cell]] = []
    # A thousand senders of a revision that is measured over HTTP would take minutes.
    for senders in (1, 20) if quick or not rivals else (1, 20, 1_000):
        for endpoints in (1, 3):
            place = [f"{senders:,} senders", f"{endpoints} endpoints"]
            rows.append(["feed (2 to 15 s)", *place, *ours(senders, endpoints)])
            rows.append(["feed (2 s)", *place, *ours(senders, endpoints, None)])
            others = hour_of_rivals(senders, endpoints) if rivals else {}
            rows += [[f"{name} (2 s)", *place, *counts] for name, counts in others.items()]
    columns = ["who", "senders", "endpoints", "calls", "units"]
    return [Result("idle", "An idle hour of an account that answers", columns, rows, "units")]
