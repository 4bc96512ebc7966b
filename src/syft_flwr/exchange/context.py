"""What everything that exchanges messages for one account shares."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Protocol

from syft_flwr.drive.folders import FolderIndex
from syft_flwr.drive.inboxes import InboxMaker
from syft_flwr.exchange.ids import IdPool
from syft_flwr.feed.lanes import Lane
from syft_flwr.feed.streams import Streams
from syft_flwr.models import Message
from syft_flwr.ports import Clock, DriveGateway
from syft_flwr.settings import Settings
from syft_flwr.state.bodies import BodyFiles
from syft_flwr.state.ledger import Ledger


class MessageLane(Protocol):
    """What is needed of a :class:`~syft_flwr.feed.lanes.Lane`."""

    def offer(self, item: Message) -> bool: ...

    def stop(self, timeout: float) -> list[tuple[Message, Any]]: ...


@dataclass(frozen=True, slots=True)
class Exchange:
    """The parts of one account's runtime. ``pool`` runs all transfers; ``me`` is the account's address.

    ``lanes`` makes the handlers' lanes; a replay has some without threads. ``observes`` is set where messages are only
    shown, since others of the account take them.
    """

    me: str
    settings: Settings
    clock: Clock
    gateway: DriveGateway
    ledger: Ledger
    bodies: BodyFiles
    folders: FolderIndex
    inboxes: InboxMaker
    ids: IdPool
    streams: Streams
    pool: Executor
    lanes: Callable[..., MessageLane] = Lane
    observes: bool = False
