"""Array records that the messages of a run share, on a data owner's disk."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from syft_flwr.errors import FlowerError
from syft_flwr.flower.codec import ObjectReference
from syft_flwr.flower.run_store import RunStore
from syft_flwr.flower.transport import Events


class ObjectCache:
    """Fetches objects, and keeps those of the last two messages."""

    def __init__(self, store: RunStore, events: Events) -> None:
        self._store = store
        self._events = events
        self._last: set[str] = set()
        """SHA-256 of those that the last message named."""

    def fetch(self, run_id: int, references: Sequence[ObjectReference]) -> dict[int, Path]:
        """Return the files of a message's objects by their places; those of the message before are there already.

        Raises:
            FlowerError: They do not fit on the disk.
            DriveError: One can't be had.
        """
        objects = self._store.objects(run_id)
        paths = {reference.index: objects / reference.sha256 for reference in references}
        missing = sum(each.size for each in references if not paths[each.index].exists())
        if missing > (free := shutil.disk_usage(objects).free):
            raise FlowerError(f"they take {missing:,} bytes, and {free:,} are free on the disk of {objects}")
        for reference in references:
            path = paths[reference.index]
            if _is_intact(path, reference):
                self._events.kept(reference.size)
            else:
                partial = path.with_suffix(".partial")
                self._events.fetch(reference.file_id, partial, size=reference.size, sha256=reference.sha256)
                partial.replace(path)
        kept = {path.name for path in paths.values()}
        for path in objects.iterdir():
            if path.name not in kept | self._last:
                path.unlink(missing_ok=True)
        self._last = kept
        return paths


def _is_intact(path: Path, reference: ObjectReference) -> bool:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == reference.sha256
    except FileNotFoundError:
        return False
