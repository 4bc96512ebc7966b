"""Runtimes for tests of one's own, on a Drive in memory: no HTTP, no wait, and no thread unless wanted."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from syft_flwr.drive.habits import Habits
from syft_flwr.drive.quota import QuotaMeter
from syft_flwr.exchange.lane import Lane
from syft_flwr.exchange.synchronous import SynchronousExecutor, SynchronousLane
from syft_flwr.ports import Clock, DriveGateway, StateStore
from syft_flwr.runtime import DriveRuntime
from syft_flwr.runtime.assembly import Stores, assemble
from syft_flwr.settings import Settings
from syft_flwr.state.memory import MemoryStore


class MemoryState:
    """What outlives a runtime: its account's journal and folders, in memory, and the bodies in a directory.

    Args:
        directory: Where the bodies go.

    Attributes:
        habits: What a probe has found of the account's Drive.
    """

    def __init__(self, directory: Path) -> None:
        self.ledger = MemoryStore()
        self.folders = MemoryStore()
        self.bodies = directory / "bodies"
        self.habits = Habits()
        self.runs = 0
        self.alive: set[str] = set()


class _KeptStore:
    """A store that survives the runtime which closes it."""

    def __init__(self, store: StateStore) -> None:
        self.transact: Callable[..., Any] = store.transact

    def close(self) -> None:
        pass


@contextmanager
def runtime_on(
    gateway: DriveGateway,
    state: MemoryState,
    clock: Clock,
    email: str,
    *,
    meter: QuotaMeter | None = None,
    inline: bool = False,
    **settings: Any,
) -> Iterator[DriveRuntime]:
    """Open a runtime on these parts; when the block is left, its state is that of a process that died.

    Args:
        gateway: The account's Drive (:meth:`MemoryDrive.gateway`).
        state: What an earlier runtime left, or a new one.
        clock: Time, for pauses and ages.
        email: The account's address.
        meter: What calls are booked in.
        inline: Whether everything happens on the caller's thread, within ``poll_once``: handlers, replies, clean-up.
            Else there are threads, as in earnest.
        **settings: Fields of :class:`~syft_flwr.settings.Settings`.
    """
    state.runs += 1
    holder = f"run-{state.runs}"
    state.alive.add(holder)
    engine = assemble(
        email,
        gateway,
        Stores(
            _KeptStore(state.ledger),
            _KeptStore(state.folders),
            state.bodies,
            holder,
            state.alive.__contains__,
            habits=state.habits,
        ),
        settings=Settings(**settings),
        clock=clock,
        rng=random.Random(0),  # noqa: S311 - jitter that is the same in each run
        url="http://drive.test",
        meter=meter or QuotaMeter(),
        executor=SynchronousExecutor() if inline else None,
        make_lane=SynchronousLane if inline else Lane,
        on_close=gateway.close,
    )
    engine.join(state, engine.parts.settings.poll_interval, engine.parts.settings.max_poll_interval)
    try:
        yield DriveRuntime(engine)
    finally:
        engine.close()
        state.alive.discard(holder)
