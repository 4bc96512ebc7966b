"""Puts an engine together from Drive, state and time: for live runtimes, replays and tests."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from syft_flwr.clock import DriveClock
from syft_flwr.drive.finder import FolderFinder
from syft_flwr.drive.folders import FolderIndex
from syft_flwr.drive.habits import Habits
from syft_flwr.drive.identities import Identities
from syft_flwr.drive.inboxes import InboxMaker
from syft_flwr.exchange.admission import Admission
from syft_flwr.exchange.announced import Announced
from syft_flwr.exchange.disposables import Disposables
from syft_flwr.exchange.ids import IdPool
from syft_flwr.exchange.lane import Lane
from syft_flwr.exchange.parts import Parts
from syft_flwr.exchange.routes import MessageLane
from syft_flwr.feed.own_writes import OwnWrites
from syft_flwr.feed.shared_bodies import SharedBodies
from syft_flwr.feed.streams import Streams
from syft_flwr.ports import Clock, DriveGateway, StateStore
from syft_flwr.recording import GatewayTap
from syft_flwr.runtime.engine import Engine
from syft_flwr.settings import Settings
from syft_flwr.state.bodies import BodyFiles
from syft_flwr.state.events import KEPT
from syft_flwr.state.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Stores:
    """Where an engine keeps its state, and as whom.

    Attributes:
        ledger: The durable rows.
        folders: Known folders; losing it costs calls.
        bodies: Directory for message bodies.
        holder: This process's name in leases.
        is_alive: Tells whether the process behind a holder's name still lives.
        keep_events: How many rows of the event log to keep.
        habits: What a probe has found of this account's Drive.
    """

    ledger: StateStore
    folders: StateStore
    bodies: Path
    holder: str
    is_alive: Callable[[str], bool]
    keep_events: int = KEPT
    habits: Habits = field(default_factory=Habits)


def assemble(
    me: str,
    gateway: DriveGateway,
    stores: Stores,
    *,
    settings: Settings,
    clock: Clock,
    rng: random.Random,
    url: str,
    meter: Any = None,
    executor: Executor | None = None,
    make_lane: Callable[..., MessageLane] = Lane,
    observes: bool = False,
    on_close: Callable[[], None] = lambda: None,
) -> Engine:
    """Put an engine together: the one place, for live runtimes, replays and tests.

    Args:
        me: The account's address.
        gateway: The account's Drive.
        stores: The account's state.
        settings: How it behaves.
        clock: Time.
        rng: Source of jitter.
        url: The Drive that the state is bound to.
        meter: What the gateway books its calls in.
        executor: Runs transfers; by default a pool of threads of its own. With a synchronous one, the engine has no
            threads at all.
        make_lane: Makes the lanes of handlers.
        observes: Whether messages are only shown, since other processes of the account take them.
        on_close: Closes what was passed.
    """
    threaded = executor is None
    gateway = gateway if isinstance(gateway, GatewayTap) else GatewayTap(gateway)
    machine, clock = clock, DriveClock(clock, gateway.server_time)
    gateway.writes = own_writes = OwnWrites(clock.monotonic)
    with ExitStack() as stack:
        stack.callback(on_close)
        if executor is None:
            executor = ThreadPoolExecutor(settings.max_connections, thread_name_prefix=f"syft-transfer-{me}")
        stack.callback(executor.shutdown, wait=True, cancel_futures=True)
        ids = IdPool(gateway)
        folders = FolderIndex(gateway, stores.folders, me)
        finder = FolderFinder(gateway, folders, clock)
        identities = Identities(stores.ledger)
        ledger = Ledger(
            stores.ledger,
            clock,
            holder=stores.holder,
            is_alive=stores.is_alive,
            max_processed=settings.max_processed_requests,
            keep_events=stores.keep_events,
            machine=machine,
        )
        parts = Parts(
            me=me,
            settings=settings,
            clock=clock,
            gateway=gateway,
            ledger=ledger,
            bodies=BodyFiles(stores.bodies),
            folders=folders,
            finder=finder,
            inboxes=InboxMaker(
                gateway, folders, finder, stores.folders, me, identities=identities, clock=clock, reserve=ids.take
            ),
            identities=identities,
            admission=Admission(me, identities, max_size=settings.max_message_size),
            ids=ids,
            streams=Streams(),
            own_writes=own_writes,
            disposables=Disposables(ledger, settings, clock),
            announced=Announced(gateway, ids.take, clock.monotonic),
            shared_bodies=SharedBodies(lambda message: executor.submit(parts.read_body, message)),
            pool=executor,
            habits=stores.habits,
            observes=observes,
        )
        return Engine(
            parts,
            url=url,
            meter=meter,
            rng=rng,
            threaded=threaded,
            make_lane=make_lane,
            on_close=stack.pop_all().close,
        )
