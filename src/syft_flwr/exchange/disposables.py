"""Messages that are thrown away together: with the folders that hold them, a deletion for each."""

from __future__ import annotations

import re
import threading
from collections import defaultdict
from collections.abc import Mapping

from syft_flwr.ports import Clock
from syft_flwr.settings import Settings
from syft_flwr.state.futures import Future
from syft_flwr.state.ledger import Ledger

PROPERTY = "disposable"
"""Public property of a request: the name of what it belongs to, and is thrown away with."""
LARGE = 1024 * 1024
"""Bytes of a message that is deleted at once all the same."""
_NAME = re.compile(r"[A-Za-z0-9-]{1,64}")
_RENEWED_AFTER = 0.25
"""Share of the expiry after which the deadline of a folder that is in use moves on."""


class Disposables:
    """The folders of this account's own that are thrown away whole, by name. Thread-safe.

    Deleting a file costs as much as writing one; deleting a folder takes along all in it that its owner owns. So where
    a conversation has an end, such as a run of Flower, each party writes into a folder of its own and deletes that.
    A folder that is never disposed of, because its process died, is deleted once it was not used for the expiry.

    Args:
        ledger: Keeps what is to be deleted, and when.
        settings: Tell the expiry, and whether to clean up at all.
        clock: Drive's time.
    """

    def __init__(self, ledger: Ledger, settings: Settings, clock: Clock) -> None:
        self._ledger = ledger
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._folders: defaultdict[str, dict[str, float]] = defaultdict(dict)
        """By name, the folders, and when their deadline was set last."""

    def of_request(self, properties: Mapping[str, str]) -> str:
        """Return the name that a peer's request bears, ``""`` if none: its answer is thrown away as well."""
        name = properties.get(PROPERTY, "")
        return name if self._settings.cleanup and _NAME.fullmatch(name) else ""

    def used(self, name: str, folder_id: str, *, peers: str | None = None) -> None:
        """Note that a folder of our own holds something of this name.

        Args:
            name: The name.
            folder_id: The folder.
            peers: The peer's folder with whose end ours is not needed any more.
        """
        now, expiry = self._clock.time(), self._settings.cleanup_expiry
        with self._lock:
            noted = self._folders[name]
            if now - noted.get(folder_id, float("-inf")) < expiry * _RENEWED_AFTER:
                return
            noted[folder_id] = now
        self._ledger.delete_at(folder_id, now + expiry, watch=peers)

    def keep(self, future: Future) -> bool:
        """Tell whether the request of a future goes with its folder: it was answered, and the answer is small."""
        return bool(future.disposable) and future.response is not None and future.response.size <= LARGE

    def dispose(self, name: str) -> None:
        """Make the folders of this name due for deletion."""
        with self._lock:
            folders = self._folders.pop(name, {})
        for folder_id in folders:
            self._ledger.delete_at(folder_id, 0.0)


def check_name(name: str) -> str:
    """Return a name if it can go on the wire.

    Raises:
        ValueError: It is not made of 1 to 64 letters, digits and hyphens.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"the name of what is disposable must be letters, digits and hyphens, 64 at most: {name!r}")
    return name
