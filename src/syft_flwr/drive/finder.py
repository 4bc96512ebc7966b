"""Find the folders of inboxes by their names, all with one list."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence

from syft_flwr import wire
from syft_flwr.drive.folders import FolderIndex
from syft_flwr.drive.paging import LIST_LAG
from syft_flwr.drive.query import any_of, quote
from syft_flwr.ports import Clock, DriveGateway
from syft_flwr.resources import FOLDER_MIME_TYPE

_NAMES_PER_QUERY = 100


class FolderFinder:
    """Adds to the index what Drive lists. Thread-safe; one list at a time serves all who wait for it.

    Args:
        gateway: The account's Drive.
        index: Known folders.
        clock: Monotonic time.
    """

    def __init__(self, gateway: DriveGateway, index: FolderIndex, clock: Clock) -> None:
        self._gateway = gateway
        self._index = index
        self._clock = clock
        self._lock = threading.Lock()
        self._listed: dict[str, float] = {}
        """Names that were asked for, and when."""

    def find(self, names: Collection[str], *, since: float) -> None:
        """Look for all inbox roots, this account's SyftBox folder, and the folders with these names, wherever they are.

        Walking down the levels would cost a call or more for each peer.

        Args:
            names: App and endpoint names.
            since: Monotonic time from which on an earlier look with these names is good enough.

        Raises:
            DriveError: Drive can't be reached or refuses.
        """
        wanted = sorted({wire.RPC_FOLDER, *names})
        with self._lock:
            wanted = [name for name in wanted if self._listed.get(name, float("-inf")) <= since]
            now = self._clock.monotonic()
            for start in range(0, len(wanted), _NAMES_PER_QUERY):
                names = wanted[start : start + _NAMES_PER_QUERY]
                self._list(names)
                self._listed |= dict.fromkeys(names, now)

    def _list(self, names: Sequence[str]) -> None:
        written_by = wire.timestamp(self._gateway.server_time() - LIST_LAG)
        found = list(
            self._gateway.list_files(
                f"mimeType = {quote(FOLDER_MIME_TYPE)} and trashed = false and "
                f"(name contains {quote(wire.INBOX_PREFIX.rstrip('_'))} or {any_of('name = {}', names)} or "
                f"(name = {quote(wire.SYFTBOX_FOLDER)} and 'root' in parents))"
            )
        )
        self._index.add(found)
        listed = {folder.id for folder in found}
        # Renamed, trashed or deleted while the feed had a gap? A list's silence proves nothing.
        for folder in self._index.with_names(names):
            if folder.id not in listed and folder.created_time < written_by:
                self._index.refresh(folder.id)
