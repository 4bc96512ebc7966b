"""What everything that exchanges messages for one account shares."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from syft_flwr.drive.finder import FolderFinder
from syft_flwr.drive.folders import FolderIndex, Location
from syft_flwr.drive.identities import Identities
from syft_flwr.drive.inboxes import InboxMaker
from syft_flwr.exchange.admission import admit
from syft_flwr.exchange.disposables import Disposables
from syft_flwr.exchange.ids import IdPool
from syft_flwr.feed.own_writes import OwnWrites
from syft_flwr.feed.streams import Streams
from syft_flwr.inline import from_properties
from syft_flwr.models import DriveFile, Message, Rejection
from syft_flwr.ports import Clock, DriveGateway
from syft_flwr.recording import GatewayTap
from syft_flwr.settings import Settings
from syft_flwr.state.bodies import BodyFiles
from syft_flwr.state.futures import Response
from syft_flwr.state.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of one account's engine.

    Attributes:
        me: The account's address.
        pool: Runs all transfers, and nothing of users'.
        observes: Whether messages are only shown, since other processes of the account take them.
    """

    me: str
    settings: Settings
    clock: Clock
    gateway: DriveGateway
    ledger: Ledger
    bodies: BodyFiles
    folders: FolderIndex
    finder: FolderFinder
    inboxes: InboxMaker
    identities: Identities
    ids: IdPool
    streams: Streams
    own_writes: OwnWrites
    disposables: Disposables
    pool: Executor
    observes: bool = False

    def fetch(self, content: Message | Response, target: Path) -> None:
        """Write a body to a file: as the file's properties hold it, or else by a download.

        Raises:
            DriveError: It can't be downloaded.
        """
        body = from_properties(content.inlined, size=content.size, sha256=content.sha256)
        if body is not None:
            target.write_bytes(body)
            if isinstance(self.gateway, GatewayTap):
                self.gateway.taken(content.file_id, target)
        else:
            self.gateway.download(content.file_id, target, size=content.size, sha256=content.sha256)

    def admit(self, file: DriveFile, location: Location) -> Message | Rejection | None:
        """Judge a file of an inbox; see :func:`~syft_flwr.exchange.admission.admit`."""
        limit, now = self.settings.max_message_size, self.clock.time()
        return admit(file, location, self.me, identities=self.identities, max_size=limit, now=now)

    def vouches_for(self, location: Location) -> bool:
        """Tell whether an inbox to this account is what its name says."""
        return self.identities.vouch_for((location.inbox.sender, self.me), location.root)
