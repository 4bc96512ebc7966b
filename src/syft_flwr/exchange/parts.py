"""What everything that exchanges messages for one account shares."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from syft_flwr.clock import DriveClock
from syft_flwr.drive.finder import FolderFinder
from syft_flwr.drive.folders import FolderIndex, Location
from syft_flwr.drive.habits import Habits
from syft_flwr.drive.identities import Identities
from syft_flwr.drive.inboxes import InboxMaker
from syft_flwr.drive.quota import METHOD_UNITS
from syft_flwr.errors import DriveError
from syft_flwr.exchange.admission import Admission
from syft_flwr.exchange.announced import Announced
from syft_flwr.exchange.disposables import Disposables
from syft_flwr.exchange.ids import IdPool
from syft_flwr.feed.own_writes import OwnWrites
from syft_flwr.feed.shared_bodies import SharedBodies
from syft_flwr.feed.streams import Streams
from syft_flwr.inline import LARGEST, MORE, MOST_FILES, from_properties, split, to_properties
from syft_flwr.models import Message, Rejection
from syft_flwr.recording import GatewayTap
from syft_flwr.resources import DriveFile
from syft_flwr.settings import Settings
from syft_flwr.state.bodies import BodyFiles, as_state_error
from syft_flwr.state.futures import Response
from syft_flwr.state.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of one account's engine.

    Attributes:
        me: The account's address.
        shared_bodies: Those of messages that pipelines want.
        pool: Runs all transfers, and nothing of users'.
        habits: What a probe has found of Drive.
        observes: Whether messages are only shown, since other processes of the account take them.
    """

    me: str
    settings: Settings
    clock: DriveClock
    gateway: GatewayTap
    ledger: Ledger
    bodies: BodyFiles
    folders: FolderIndex
    finder: FolderFinder
    inboxes: InboxMaker
    identities: Identities
    admission: Admission
    ids: IdPool
    streams: Streams
    own_writes: OwnWrites
    disposables: Disposables
    announced: Announced
    shared_bodies: SharedBodies
    pool: Executor
    habits: Habits = field(default_factory=Habits)
    observes: bool = False

    def write(
        self,
        file_id: str,
        name: str,
        folder: str,
        body: bytes | Path,
        *,
        properties: Mapping[str, str] | None = None,
        spread: bool = False,
    ) -> None:
        """Write a file, and its content into properties as well where it is small enough (:mod:`syft_flwr.inline`).

        Args:
            file_id: A reserved ID.
            name: The file's name.
            folder: Where it lies.
            body: Its content.
            properties: Others that it bears.
            spread: Whether the content may go on in further files, which nobody deletes: they go with their folder.

        Raises:
            DriveError: It can't be written.
        """
        if isinstance(body, Path) and body.stat().st_size <= LARGEST:
            body = body.read_bytes()
        inlined: list[dict[str, str]] = []
        if isinstance(body, bytes) and self.settings.inline_bodies and self.habits.shows_properties:
            inlined = to_properties(body, files=MOST_FILES if spread else 1)
        more: list[str] = []
        for further in inlined[1:]:
            more.append(self.ids.take())
            self.gateway.upload(more[-1], f"{name}.{MORE}", folder, b"", properties=further)
        borne = {**(properties or {}), **(inlined[0] if inlined else {}), **({MORE: ",".join(more)} if more else {})}
        self.gateway.upload(file_id, name, folder, body, properties=borne)

    def fetch_body(self, content: Message | Response, target: Path) -> None:
        """Write a message's body to a file (:meth:`fetch`)."""
        self.fetch(content.file_id, target, size=content.size, sha256=content.sha256, inlined=content.inlined)

    def read_body(self, message: Message) -> bytes:
        """Return a message's body, downloaded once for all who want it at the moment."""
        return self.shared_bodies.load(message, lambda: self._read(message))

    def inlined_body(self, content: Message | Response) -> bytes | None:
        """Return a message's body if files' properties hold it: some kilobytes, which need no file."""
        return self._from_properties(content.file_id, size=content.size, sha256=content.sha256, inlined=content.inlined)

    def _read(self, message: Message) -> bytes:
        if (body := self.inlined_body(message)) is not None:
            return body
        partial = self.bodies.partial(f"stream-{message.file_id}")
        try:
            self.gateway.download(message.file_id, partial, size=message.size, sha256=message.sha256)
            return partial.read_bytes()
        finally:
            partial.unlink(missing_ok=True)

    def fetch(
        self, file_id: str, target: Path, *, size: int, sha256: str | None, inlined: Mapping[str, str] | None = None
    ) -> None:
        """Write a file's content to a local one: as properties hold it, or else by a download.

        Args:
            file_id: The file in Drive.
            target: Where to write.
            size: Bytes of the content.
            sha256: Its SHA-256, if Drive tells it.
            inlined: Those of the file's properties that hold the content; by default Drive is asked for them.

        Raises:
            DriveError: It can't be downloaded.
            StateError: It can't be written.
        """
        body = self._from_properties(file_id, size=size, sha256=sha256, inlined=inlined)
        if body is None:
            self.gateway.download(file_id, target, size=size, sha256=sha256)
        else:
            with as_state_error("write", target):
                target.write_bytes(body)

    def _from_properties(
        self, file_id: str, *, size: int, sha256: str | None, inlined: Mapping[str, str] | None
    ) -> bytes | None:
        body: bytes | None = None
        spread: list[Mapping[str, str]] = []
        if size <= LARGEST:
            with suppress(DriveError):  # the download tells better what is wrong
                spread.append(self._inlined(file_id) if inlined is None else inlined)
                further = spread[0].get(MORE, "").split(",")[: MOST_FILES - 1]
                spread += [self._inlined(more) for more in further if more]
                body = from_properties(spread, size=size, sha256=sha256)
        if body is not None:
            looks = METHOD_UNITS["files.get"] * (len(spread) - (inlined is not None))
            self.gateway.note_saving("inlined bodies", units=METHOD_UNITS["files.get_media"] - looks, size=size)
            self.gateway.downloaded(file_id, body)
        return body

    def _inlined(self, file_id: str) -> dict[str, str]:
        return split(self.gateway.get_file(file_id, patient=False).properties)[0]

    def admit(self, file: DriveFile, location: Location) -> Message | Rejection | None:
        """Judge a file of an inbox (:class:`~syft_flwr.exchange.admission.Admission`)."""
        return self.admission.judge(file, location, self.clock.confirmed_time())

    def vouches_for(self, location: Location) -> bool:
        """Tell whether an inbox to this account is what its name says."""
        return self.identities.vouch_for((location.inbox.sender, self.me), location.root)
