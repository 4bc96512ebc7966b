"""Endpoints whose small messages are thrown away together: with the folders that hold them, a deletion for each."""

from __future__ import annotations

import threading
from collections import defaultdict

from syft_flwr.drive.folders import FolderIndex
from syft_flwr.ports import Clock
from syft_flwr.settings import Settings
from syft_flwr.state.futures import Future
from syft_flwr.state.ledger import Ledger

LARGE = 1024 * 1024
"""Bytes of a message that is deleted at once all the same."""
_RENEWED_AFTER = 0.25
"""Share of the expiry after which the deadline of a folder that is in use moves on."""


class Disposables:
    """The disposable endpoints of this process, and the folders of this account's own there. Thread-safe.

    Deleting a file costs as much as writing one; deleting a folder takes along all in it that its owner owns. So where
    a conversation has an end, such as a run of Flower, each party writes into a folder of its own and deletes that.
    A folder that is never disposed of, because its process died, is deleted once it was not used for the expiry.

    Args:
        ledger: Keeps what is to be deleted, and when.
        folders: Tell whose a folder is.
        settings: Tell the expiry, and whether to clean up at all.
        clock: Drive's time.
    """

    def __init__(self, ledger: Ledger, folders: FolderIndex, settings: Settings, clock: Clock) -> None:
        self._ledger = ledger
        self._folders = folders
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._endpoints: defaultdict[tuple[str, str], dict[str, float]] = defaultdict(dict)
        """By app and endpoint, the folders of this account's own, and when their deadline was set last."""

    def add(self, app: str, endpoint: str) -> None:
        """Treat an endpoint as disposable from now on, if this account cleans up."""
        if self._settings.cleanup:
            with self._lock:
                self._endpoints[app, endpoint]  # makes it known

    def holds(self, app: str, endpoint: str) -> bool:
        """Tell whether an endpoint is disposable."""
        return (app, endpoint) in self._endpoints

    def used(self, app: str, endpoint: str, folder_id: str, *, peers: str | None = None) -> None:
        """Note that a folder of our own holds messages of the endpoint.

        Args:
            app: The app.
            endpoint: The endpoint.
            folder_id: The folder.
            peers: The peer's folder with whose end ours is not needed any more.
        """
        now, expiry = self._clock.time(), self._settings.cleanup_expiry
        with self._lock:
            noted = self._endpoints[app, endpoint]
            if now - noted.get(folder_id, float("-inf")) < expiry * _RENEWED_AFTER:
                return
            noted[folder_id] = now
        self._ledger.delete_at(folder_id, now + expiry, watch=peers)

    def keeps(self, future: Future) -> bool:
        """Tell whether the request of a future goes with its folder: it was answered, and both are small."""
        is_small = future.response is not None and future.response.size <= LARGE
        return is_small and self.holds(future.app, future.endpoint)

    def dispose(self, app: str, endpoint: str) -> None:
        """Make the endpoint's folders of our own due for deletion."""
        with self._lock:
            folders = self._endpoints.pop((app, endpoint), {})
        for folder_id in folders:
            self._ledger.delete_at(folder_id, 0.0)
