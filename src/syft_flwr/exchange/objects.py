"""Files that several peers read: written once into a folder that they may look into, and fetched by ID and SHA-256."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from pathlib import Path

from syft_flwr import wire
from syft_flwr.drive.quota import METHOD_UNITS
from syft_flwr.errors import DamagedDownloadError, DriveUnavailableError, NotFoundError, RateLimitedError
from syft_flwr.exchange.disposables import check_name
from syft_flwr.exchange.parts import Parts
from syft_flwr.feed.schedule import pause_after

_ATTEMPTS_WITH_DAMAGE = 2


class Objects:
    """Publishes and fetches for one account. Thread-safe; waits on the caller's thread.

    Args:
        parts: The account's parts.
        closed: Set when the account's engine is closed.
        patience: Seconds that the pauses between attempts may take together.
    """

    def __init__(self, parts: Parts, *, closed: threading.Event, patience: float) -> None:
        self._parts = parts
        self._closed = closed
        self._patience = patience
        self._lock = threading.Lock()
        self._readers: dict[str, set[str]] = {}

    def publish(self, disposable: str, name: str, content: Path, readers: Collection[str]) -> str:
        """Write a file once for all readers; return its ID.

        Args:
            disposable: The name of what it is thrown away with.
            name: The file's name.
            content: What to write.
            readers: Addresses of those who may read it.

        Raises:
            DriveError: Drive can't be reached or refuses.
        """
        folder = self._parts.inboxes.own_folder(f"{wire.OBJECTS_PREFIX}{disposable}")
        with self._lock:
            known = self._readers.setdefault(folder, set())
            for reader in sorted(set(readers) - known):
                account = self._parts.gateway.share(folder, self._parts.identities.canonical(reader), may_write=False)
                self._parts.identities.shared_with(reader, account)
                known.add(reader)
        self._parts.disposables.used(disposable, folder)
        file_id = self._parts.ids.take()
        self._parts.pool.submit(self._parts.write, file_id, name, folder, content, spread=True).result()
        return file_id

    def fetch(self, file_id: str, target: Path, *, size: int, sha256: str) -> None:
        """Download what a peer has published; an outage is waited out as long as the patience lasts.

        Raises:
            DamagedDownloadError: It has another size or SHA-256.
            DriveError: It is gone, or Drive can't be reached or refuses.
        """
        waited, failures = 0.0, 0
        while True:
            try:
                self._parts.pool.submit(self._parts.fetch, file_id, target, size=size, sha256=sha256).result()
            except NotFoundError:
                raise
            except (DriveUnavailableError, RateLimitedError) as error:
                failures += 1
                pause = pause_after(failures, error)
                waited += pause
                hopeless = isinstance(error, DamagedDownloadError) and failures >= _ATTEMPTS_WITH_DAMAGE
                if hopeless or waited > self._patience or self._parts.clock.wait(self._closed, pause):
                    raise
            else:
                return

    def kept(self, size: int) -> None:
        """Note that something published, of so many bytes, is here already and need not be fetched again."""
        self._parts.gateway.note_saving("kept objects", units=METHOD_UNITS["files.get_media"], size=size)


class Disposable:
    """What is thrown away together under one name: small messages, and what is published.

    Args:
        parts: The account's parts.
        objects: Publish.
        on_deletion: Called when files of our own became due for deletion.
        name: Letters, digits and hyphens.
    """

    def __init__(self, parts: Parts, objects: Objects, *, on_deletion: Callable[[], None], name: str) -> None:
        self._parts = parts
        self._objects = objects
        self._on_deletion = on_deletion
        self.name = check_name(name)

    def publish(self, name: str, content: Path, readers: Collection[str]) -> str:
        """Write a file once for several readers; return its ID, with which they fetch it.

        Args:
            name: The file's name.
            content: What to write.
            readers: Addresses of those who may read it, and whatever else is published here.

        Raises:
            DriveError: Drive can't be reached or refuses.
        """
        return self._objects.publish(self.name, name, content, readers)

    def reused(self, size: int) -> None:
        """Note that a message names something published before, of so many bytes, instead of holding it."""
        self._parts.gateway.note_saving("shared objects", size=size)

    def withdraw(self, file_id: str) -> None:
        """Delete a published file soon: nobody needs it any more."""
        self._parts.ledger.delete_at(file_id, 0.0)
        self._on_deletion()

    def dispose(self) -> None:
        """Delete this account's folders of this name, with all that is in them. The peers' follow."""
        self._parts.disposables.dispose(self.name)
        self._parts.announced.end(self.name)
        self._on_deletion()
