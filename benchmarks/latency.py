"""How long a message takes at equal quota: from sending it to the handler, and to the reply.

Owner and asker may each spend so many units a minute. Twenty senders are known; one of them asks now and then. Ours
live in virtual time over a Drive in memory and spend a quarter of their units on asking for the start token. Of a
rival, a poll's units are counted at a local Drive; it polls as often as that allows, and on the average a message waits
for half a pause. The calls themselves take no time.
"""

from __future__ import annotations

import random
import statistics
import tempfile
from pathlib import Path

from benchmarks.counting import counted
from benchmarks.day import APP as DAY_APP
from benchmarks.day import ENDPOINTS as DAY_ENDPOINTS
from benchmarks.day import ME, Case, World, step
from benchmarks.parties import APP, ENDPOINTS, OWNER, local_drive
from benchmarks.results import Cell, Result
from benchmarks.rivals.grouped import GroupedEvents, GroupedRpc
from benchmarks.rivals.listing import ListingEvents, ListingRpc
from syft_flwr.drive.quota import units_of
from syft_flwr.exchange.requester import Request

QUOTAS = (600, 3_000, 12_000)
SENDERS = 20
EVERY = 120.0
"""Seconds between messages, about."""


def ours(quota: int, messages: int) -> tuple[float, float, float]:
    """Return the mean seconds to handler and reply, and the units a minute that the one spends that spends more."""
    interval = 60 * units_of("changes.getStartPageToken") / (quota / 4)
    rng = random.Random(0)
    asker_email = "sender0@example.com"
    with tempfile.TemporaryDirectory() as directory:
        world = World(Path(directory), Case("latency", senders=SENDERS, interval=interval, longest=interval))
        clock, handled = world.clock, []
        with world.runtime(ME) as owner:
            owner.poll_once()
        for number in range(SENDERS):
            world.ask(number)
        with (
            world.runtime(ME, lambda body: handled.append(clock.monotonic()) or body) as owner,
            world.runtime(asker_email) as asker,
        ):
            loops = {owner: clock.monotonic(), asker: clock.monotonic() + interval * rng.random()}
            owner.poll_once()
            handled.clear()
            world.drive.calls.clear()
            began, next_send = clock.monotonic(), clock.monotonic() + 60.0
            sent: dict[str, float] = {}
            to_handler: list[float] = []
            to_reply: list[float] = []
            while len(to_reply) < messages:
                now = min(next_send, *loops.values())
                clock.advance(max(0.0, now - clock.monotonic()))
                if now == next_send:
                    [future] = asker.send([Request(ME, DAY_APP, DAY_ENDPOINTS[0], b"What do you have?")])
                    sent[future] = now
                    next_send += EVERY * rng.uniform(0.5, 1.5)
                    continue
                runtime = next(runtime for runtime, due in loops.items() if due == now)
                loops[runtime] = now + step(runtime)
                to_handler += [time - max(sent.values()) for time in handled]
                handled.clear()
                for future in [future for future in sent if asker.get_response(future) is not None]:
                    to_reply.append(clock.monotonic() - sent.pop(future))
                    asker.delete_future(future)
            minutes = (clock.monotonic() - began) / 60
            units = [sum(units_of(m) for who, m in world.drive.calls if who == whose) for whose in (ME, asker_email)]
    return statistics.mean(to_handler), statistics.mean(to_reply), max(units) / minutes


def rival_polls(kind: str) -> tuple[int, int]:
    """Return the units of an owner's poll, and of a look for a reply."""
    make_events, make_rpc = (GroupedEvents, GroupedRpc) if kind == "grouped" else (ListingEvents, ListingRpc)
    with local_drive() as drive:
        for number in range(SENDERS):
            asker = make_rpc(drive.host, f"sender{number}@example.org")
            asker.drive.inbox(asker.drive.email, OWNER, APP, ENDPOINTS[0])
        owner = make_events(drive.host, APP, OWNER)
        owner.on_request(ENDPOINTS[0], lambda body: body)
        asker.send(OWNER, APP, ENDPOINTS[0], b"hello")
        owner.poll_once()
        asker.look()
        with counted(drive, OWNER) as poll:
            owner.poll_once()
        asker.send(OWNER, APP, ENDPOINTS[0], b"hello")
        asker.futures = dict([list(asker.futures.items())[-1]])
        with counted(drive, asker.drive.email) as look:
            assert asker.look() == {}
        owner.close()
        asker.close()
    return poll.units, look.units


def run(*, quick: bool, rivals: bool) -> list[Result]:
    rows: list[list[Cell]] = []
    for quota in QUOTAS:
        to_handler, to_reply, spent = ours(quota, 20 if quick else 100)
        rows.append(["feed", f"{quota:,} units a minute", to_handler, to_reply, round(spent), 1.0])
        for kind in ("grouped", "listing") if rivals else ():
            poll, look = rival_polls(kind)
            handled = poll / quota * 60 / 2
            replied = handled + look / quota * 60 / 2
            rows.append([kind, f"{quota:,} units a minute", handled, replied, quota, replied / to_reply])
    columns = ["who", "may spend", "s to the handler", "s to the reply", "units a minute", "times as long as the feed"]
    return [Result("latency", "Latency at equal quota, 20 senders", columns, rows, "s to the reply")]
