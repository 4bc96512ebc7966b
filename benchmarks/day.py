"""What an account that answers spends in a day, in quota units: ``python -m benchmarks.day``.

The Drive is in memory and the time is virtual, so the figures are counts and come out the same each time. Measured are
four hours after a first one, times six. ``docs/how-to/low-quota.md`` shows the table, and a test holds it.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from syft_flwr.drive.quota import QuotaMeter, units_of
from syft_flwr.exchange.requester import Request
from syft_flwr.exchange.routes import Route
from syft_flwr.exchange.synchronous import SynchronousExecutor, SynchronousLane
from syft_flwr.runtime import DriveRuntime
from syft_flwr.runtime.assembly import Stores, assemble
from syft_flwr.runtime.handle import engine_of
from syft_flwr.settings import Settings
from syft_flwr.state.memory import MemoryStore
from syft_flwr.testing.clock import ManualClock
from syft_flwr.testing.memory_drive import MemoryDrive

ME = "owner@example.com"
HOUR = 3600.0
APP = "app"
ENDPOINTS = ("messages", "evaluate", "status")


@dataclass(frozen=True)
class Case:
    """A way to run. Times are seconds; ``visits`` is the pause between runs of a cron job.

    Messages come so many at a time, ten seconds after each other.
    """

    name: str
    senders: int = 1
    interval: float = 2.0
    longest: float | None = 15.0
    message_every: float | None = None
    at_a_time: int = 1
    size: int = 16
    visits: float | None = None
    endpoints: int = 1


CASES = [
    Case("`P2PFileEvents` at its 2 s, nothing comes, 1 sender", longest=None),
    Case("the same, 1,000 senders", senders=1000, longest=None),
    Case("`run` or `DriveRuntime.open` (2 to 15 s), nothing comes, 1 sender"),
    Case("the same, 20 senders", senders=20),
    Case("the same, 1,000 senders", senders=1000),
    Case("the same, 1 sender, a message a minute", message_every=60.0),
    Case("the same, of 10 kB, which does not ride in the feed", message_every=60.0, size=10_000),
    Case("the same, 1 sender, a message an hour", message_every=HOUR),
    Case(
        "the same, 8 messages of 10 kB an hour, as many as a federation of 3 rounds sends",
        message_every=HOUR,
        at_a_time=8,
        size=10_000,
    ),
    Case("the same, `max_poll_interval` of 60 s, nothing comes", longest=60.0),
    Case("the same, `poll_interval` and `max_poll_interval` of 0.15 s", interval=0.15, longest=None),
    Case("cron every 5 minutes (`drain`, `run --once`), nothing comes", visits=300.0),
    Case("the same, a message each time", visits=300.0, message_every=300.0),
]


class World:
    """One account, its peers, and virtual time."""

    def __init__(self, directory: Path, case: Case) -> None:
        self.case = case
        self.clock = ManualClock()
        self.drive = MemoryDrive(self.clock)
        self._directory = directory
        self._stores: dict[str, tuple[MemoryStore, MemoryStore]] = {}
        self._asked: dict[str, list[str]] = {}
        self._runs = 0

    @contextmanager
    def runtime(self, email: str, handler: Callable[[bytes], bytes] = bytes) -> Iterator[DriveRuntime]:
        ledger, folders = self._stores.setdefault(email, (MemoryStore(), MemoryStore()))
        self._runs += 1
        engine = assemble(
            email,
            self.drive.gateway(email),
            Stores(ledger, folders, self._directory / email, f"run-{self._runs}", lambda _: False),
            settings=Settings(poll_interval=self.case.interval, max_poll_interval=self.case.longest),
            clock=self.clock,
            rng=random.Random(0),
            url="http://drive.test",
            meter=QuotaMeter(),
            executor=SynchronousExecutor(),
            make_lane=SynchronousLane,
        )
        engine.join(self, self.case.interval, self.case.longest)
        runtime = DriveRuntime(engine)
        if email == ME:
            for endpoint in ENDPOINTS[: self.case.endpoints]:
                engine.serve(Route(APP, endpoint, lambda body, _: handler(body)))
        try:
            yield runtime
        finally:
            engine.close()

    def ask(self, number: int) -> None:
        """Take the answers that have come to what a sender asked before, let it forget those, and ask anew."""
        sender, body = f"sender{number}@example.com", random.Random(1).randbytes(self.case.size)
        with self.runtime(sender) as asker:
            left: list[str] = []
            if sender in self._asked:
                asker.poll_once()
                for future in self._asked[sender]:
                    if asker.get_response(future) is None:
                        left.append(future)
                    else:
                        asker.delete_future(future)
            assert len(left) <= 3 * self.case.endpoints, "the account did not answer"
            asked = [Request(ME, APP, endpoint, body) for endpoint in ENDPOINTS[: self.case.endpoints]]
            self._asked[sender] = left + asker.send(asked)


def day_of(case: Case) -> int:
    """Return the units that the account spends in a day."""
    return sum(units_of(method) for method in calls_of(case, hours=4)) * 6


def calls_of(case: Case, *, hours: int) -> list[str]:
    """Return what the account calls in so many hours after a first one."""
    with tempfile.TemporaryDirectory() as directory:
        world = World(Path(directory), case)
        with world.runtime(ME) as runtime:
            runtime.poll_once()
        for number in range(case.senders):
            world.ask(number)
        with world.runtime(ME) as runtime:
            runtime.poll_once()
        _live(world, HOUR)
        world.drive.calls.clear()
        _live(world, (hours + 1) * HOUR)
        return [method for account, method in world.drive.calls if account == ME]


def _live(world: World, until: float) -> None:
    case, clock = world.case, world.clock
    times = _times(case, clock.monotonic())
    next_message = next(times)
    with_runtime = world.runtime(ME) if case.visits is None else None
    runtime = None if with_runtime is None else with_runtime.__enter__()
    while clock.monotonic() < until:
        if clock.monotonic() >= next_message:
            world.ask(0)
            next_message = next(times)
        if runtime is not None:
            clock.advance(step(runtime))
            continue
        with world.runtime(ME) as visit:
            visit.drain(10.0)
        clock.advance(case.visits or 0.0)
    if with_runtime is not None:
        with_runtime.__exit__(None, None, None)


def step(runtime: DriveRuntime) -> float:
    """Do what the threads of poll and dispatch do once; return the seconds until the next time."""
    engine = engine_of(runtime)
    pause = engine._step()  # noqa: SLF001 - the loop, without its thread
    engine.dispatch.thread.run(0.0)
    return pause


def _times(case: Case, begin: float) -> Iterator[float]:
    while True:
        begin += case.message_every or float("inf")
        yield from (begin + 10.0 * number for number in range(case.at_a_time))


def table() -> str:
    """Return the table in Markdown."""
    rows = [f"| {case.name} | {day_of(case):,} |" for case in CASES]
    return "\n".join(["| a day of | units |", "|---|---|", *rows])


if __name__ == "__main__":
    print(table())
