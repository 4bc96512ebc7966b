"""Reserved file IDs, fetched in batches."""

from __future__ import annotations

import threading

from syft_flwr.ports import DriveGateway

_BATCH = 100


class IdPool:
    """Hands out reserved IDs. Thread-safe; one ``files.generateIds`` for every 100."""

    def __init__(self, gateway: DriveGateway) -> None:
        self._gateway = gateway
        self._lock = threading.Lock()
        self._ids: list[str] = []

    def take(self) -> str:
        """Return an ID that no file has."""
        with self._lock:
            if not self._ids:
                self._ids = list(self._gateway.generate_ids(_BATCH))
            return self._ids.pop()
