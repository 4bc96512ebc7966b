"""Put a runtime together from parts of a test's own: time, Drive and state."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from memory_drive import MemoryDrive

from syft_flwr.drive.folders import FolderIndex
from syft_flwr.drive.inboxes import InboxMaker
from syft_flwr.drive.quota import QuotaMeter
from syft_flwr.exchange.context import Exchange
from syft_flwr.exchange.ids import IdPool
from syft_flwr.feed.lanes import Lane
from syft_flwr.feed.streams import Streams
from syft_flwr.ports import Clock, DriveGateway, StateStore
from syft_flwr.runtime import DriveRuntime
from syft_flwr.settings import Settings
from syft_flwr.state.bodies import BodyFiles
from syft_flwr.state.ledger import Ledger
from syft_flwr.state.memory import MemoryStore


class State:
    """What outlives a runtime: its stores and bodies."""

    def __init__(self, directory: Path) -> None:
        self.ledger = MemoryStore()
        self.folders = MemoryStore()
        self.bodies = BodyFiles(directory / "bodies")
        self.runs = 0
        self.alive: set[str] = set()


class KeptStore:
    """A store that survives the runtime which closes it."""

    def __init__(self, store: StateStore) -> None:
        self.transact: Callable[..., Any] = store.transact

    def close(self) -> None:
        pass


class InlinePool(Executor):
    """Runs everything at once, on the caller's thread."""

    def submit(self, work: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(work(*args, **options))
        except Exception as error:
            future.set_exception(error)
        return future


class InlineLane:
    """Handles everything at once, on the caller's thread."""

    def __init__(self, name: str, *, prepare: Callable[..., Any], handle: Callable[..., Any], **_: Any) -> None:
        self._prepare = prepare
        self._handle = handle

    def offer(self, item: Any) -> bool:
        ready = self._prepare(item)
        if ready is not None:
            self._handle(item, ready)
        return True

    def is_idle(self) -> bool:
        return True

    def stop(self, timeout: float) -> list[Any]:
        return []


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
    chosen = Settings(**settings)
    store, folder_store = KeptStore(state.ledger), KeptStore(state.folders)
    with ExitStack() as stack:
        stack.callback(state.alive.discard, holder)
        pool: Executor = InlinePool() if inline else ThreadPoolExecutor(chosen.max_connections)
        stack.callback(pool.shutdown, wait=True, cancel_futures=True)
        ids = IdPool(gateway)
        folders = FolderIndex(gateway, folder_store, email)
        exchange = Exchange(
            me=email,
            settings=chosen,
            clock=clock,
            gateway=gateway,
            ledger=Ledger(
                store,
                clock,
                holder=holder,
                is_alive=state.alive.__contains__,
                max_processed=chosen.max_processed_requests,
            ),
            bodies=state.bodies,
            folders=folders,
            inboxes=InboxMaker(gateway, folders, folder_store, email, reserve=ids.take),
            ids=ids,
            streams=Streams(),
            pool=pool,
            lanes=InlineLane if inline else Lane,
        )
        runtime = DriveRuntime(exchange, url="http://drive.test", meter=meter or QuotaMeter(), rng=random.Random(0))
        stack.enter_context(runtime)
        yield runtime


__all__ = ["MemoryDrive", "State", "runtime_on"]
