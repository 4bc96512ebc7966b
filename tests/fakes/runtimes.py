"""Put a runtime together from parts of a test's own: time, Drive and state."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from syft_flwr.drive.quota import QuotaMeter
from syft_flwr.exchange.lane import Lane
from syft_flwr.exchange.routes import Route
from syft_flwr.exchange.synchronous import SynchronousExecutor, SynchronousLane
from syft_flwr.ports import Clock, DriveGateway, StateStore
from syft_flwr.runtime import DriveRuntime
from syft_flwr.runtime.engine import Stores, assemble
from syft_flwr.runtime.handle import engine_of
from syft_flwr.settings import Settings
from syft_flwr.state.memory import MemoryStore
from syft_flwr.testing.memory_drive import MemoryDrive


class State:
    """What outlives a runtime: its stores and bodies."""

    def __init__(self, directory: Path) -> None:
        self.ledger = MemoryStore()
        self.folders = MemoryStore()
        self.bodies = directory / "bodies"
        self.runs = 0
        self.alive: set[str] = set()


class KeptStore:
    """A store that survives the runtime which closes it."""

    def __init__(self, store: StateStore) -> None:
        self.transact: Callable[..., Any] = store.transact

    def close(self) -> None:
        pass


def serve(runtime: DriveRuntime, *routes: Route, known_senders: tuple[str, ...] = ()) -> None:
    """Let handlers answer on a runtime, as ``P2PFileEvents`` does."""
    for route in routes:
        engine_of(runtime).serve(route, known_senders=known_senders)


@contextmanager
def runtime_on(
    gateway: DriveGateway,
    state: State,
    clock: Clock,
    email: str,
    *,
    meter: QuotaMeter | None = None,
    inline: bool = False,
    **settings: Any,
) -> Iterator[DriveRuntime]:
    """Run a runtime on these parts; the state is that of a dead process when the block is left."""
    state.runs += 1
    holder = f"run-{state.runs}"
    state.alive.add(holder)
    engine = assemble(
        email,
        gateway,
        Stores(KeptStore(state.ledger), KeptStore(state.folders), state.bodies, holder, state.alive.__contains__),
        settings=Settings(**settings),
        clock=clock,
        rng=random.Random(0),
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


__all__ = ["MemoryDrive", "State", "runtime_on", "serve"]
