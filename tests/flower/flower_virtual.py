"""A federation on threads of this process, over the local Drive, in virtual time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from flower_fakes import Events
from process_tree import Others

from syft_flwr.flower.aggregator import RunPlan
from syft_flwr.flower.parties import Parties
from syft_flwr.flower.project import FlowerProject
from syft_flwr.flower.roles import OwnerPlan, run_aggregator, run_owner
from syft_flwr.flower.serving import Serving
from syft_flwr.testing import DriveEmulator, ManualClock

T = TypeVar("T")

PARTIES = Parties("agg@example.com", ("do1@example.com", "do2@example.com"))
STEP = 5.0


class VirtualFederation:
    """Time passes for all, and for Drive, when the test says so and nobody is at work; ``events`` are by address."""

    def __init__(self, others: Others, drive: DriveEmulator, clock: ManualClock, out: Path) -> None:
        self.drive, self.clock, self.out = drive, clock, out
        self.events = {email: Events() for email in (PARTIES.aggregator, *PARTIES.datasites)}
        self._others = others
        self._parties: list[Future[Any]] = []

    def aggregate(self, project: Path, **plan: Any) -> Future[dict[str, Any]]:
        self.project = FlowerProject.load(project)
        events = self.events[PARTIES.aggregator]
        whole = RunPlan(PARTIES.datasites, {}, self.out, **plan)
        return self._begin(lambda: run_aggregator(self.project, PARTIES, whole, events))

    def serve(self, place: int, serving: Serving | None = None, **config: str) -> Future[bool]:
        email = PARTIES.datasites[place]
        node_config = {"partition-id": place, "num-partitions": len(PARTIES.datasites), **config}
        plan = OwnerPlan(node_config=node_config, serving=serving or Serving())
        return self._begin(lambda: run_owner(self.project, PARTIES, email, plan, self.events[email]))

    def let_pass(self, until: Callable[[], Any], *, at_most: float = 7200.0) -> float:
        """Let time pass until a condition holds; return the seconds that it took."""
        began = self.clock.monotonic()
        while not until():
            assert self.clock.monotonic() - began <= at_most, self.story()
            self._others.await_rest()
            self.clock.advance(STEP)
            self.drive.advance(STEP)
        return self.clock.monotonic() - began

    def wait(self, seconds: float) -> None:
        end = self.clock.monotonic() + seconds
        self.let_pass(lambda: self.clock.monotonic() >= end)

    def happened(self, email: str, event: str, **fields: Any) -> Callable[[], bool]:
        """Return what tells whether an account has told of an event with these fields."""
        return lambda: any(fields.items() <= told.items() for told in self.events[email].named(event))

    def story(self) -> str:
        return "\n".join(f"{email}: {event}" for email, events in self.events.items() for event in events.events)

    def close(self) -> None:
        """Let the parties come to their ends."""
        self.drive.clear_faults()
        self.let_pass(lambda: all(party.done() for party in self._parties))

    def _begin(self, work: Callable[[], T]) -> Future[T]:
        """Do it on a thread that a test which fails leaves behind."""
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=run, daemon=True).start()
        self._parties.append(future)
        return future
