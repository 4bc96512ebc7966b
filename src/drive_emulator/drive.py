"""The whole Drive of all accounts, put together; with its callers, the meter and the faults."""

from __future__ import annotations

from pathlib import Path

from drive_emulator.access import Access
from drive_emulator.accounts import Accounts
from drive_emulator.blobs import BlobStore
from drive_emulator.changelog import ChangeLog
from drive_emulator.clock import EmulatorClock
from drive_emulator.faults import Faults
from drive_emulator.feed_behaviour import FeedBehaviour
from drive_emulator.files import Files
from drive_emulator.permissions import Permissions
from drive_emulator.quota import Meter
from drive_emulator.resources import Resources
from drive_emulator.search import Search
from drive_emulator.storage import Database
from drive_emulator.tokens import Tokens
from drive_emulator.uploads import Uploads


class Drive:
    """Drive's state and what can be done with it. Not thread-safe: the server calls it from its event loop only.

    Args:
        data: Directory for the database and the bodies; ``None`` keeps all in memory, large bodies in a temporary
            directory.
        secret_tokens: Whether addresses are no tokens.

    Raises:
        EmulatorError: The directory can't be used.
    """

    def __init__(self, data: Path | None = None, *, secret_tokens: bool = False) -> None:
        self.clock = EmulatorClock()
        self.behaviour = FeedBehaviour()
        self.database = Database(None if data is None else data / "drive.sqlite3")
        self.blobs = BlobStore(self.database, None if data is None else data / "blobs")
        self.accounts = Accounts(self.database, self.clock)
        self.changes = ChangeLog(self.database, self.clock, self.behaviour)
        self.access = Access(self.database, self.accounts, self.changes)
        self.files = Files(self.database, self.blobs, self.access, self.changes, self.clock)
        self.permissions = Permissions(self.database, self.accounts, self.access, self.clock)
        self.search = Search(self.database, self.blobs, self.access, self.clock, self.behaviour)
        self.resources = Resources(self.accounts, self.access, self.behaviour)
        self.uploads = Uploads(self.database, self.blobs)
        self.tokens = Tokens(self.database, self.accounts, self.clock.time, are_secret=secret_tokens)
        self.meter = Meter()
        self.faults = Faults()

    def reset(self) -> None:
        """Forget every account and file. Page tokens go on rising, so an old one finds nothing of the old world."""
        self.uploads.clear()
        with self.database.transaction():
            self.database.clear()
        self.blobs.clear()
        self.accounts.forget()

    def close(self) -> None:
        self.uploads.close()
        self.database.close()
        self.blobs.close()
