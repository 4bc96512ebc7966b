"""Array records that several messages of a run have in common: each goes to Drive once, and owners fetch it."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from syft_flwr.errors import SyftFlwrError
from syft_flwr.exchange.disposables import LARGE
from syft_flwr.flower._compat import ArrayRecord, Message
from syft_flwr.flower.codec import ObjectReference, joined, splice
from syft_flwr.flower.content import write_record
from syft_flwr.flower.file_array import FileArray
from syft_flwr.flower.transport import Disposable
from syft_flwr.inline import LARGEST, to_properties

logger = logging.getLogger(__name__)

_PREFIX = "object-"


class Digests:
    """SHA-256 and size (bytes) of serialized array records. Thread-safe.

    The messages of a batch mostly hold the very same record, which is hashed once: bytes don't change.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[object, tuple[object, tuple[str, int]]] = {}

    def clear(self) -> None:
        """Let go of the records of the last batch."""
        with self._lock:
            self._known.clear()

    def of(self, name: str, record: ArrayRecord) -> tuple[str, int]:
        held = [array if isinstance(array, FileArray) else array.data for array in record.values()]
        arrays = zip(record.items(), held, strict=True)
        parts = ((key, id(data), array.dtype, tuple(array.shape), array.stype) for (key, array), data in arrays)
        identity = (name, tuple(parts))
        with self._lock:
            if identity not in self._known:
                digest, size = hashlib.sha256(), 0
                for piece in write_record(name, record):
                    digest.update(piece)
                    size += len(piece)
                self._known[identity] = held, (digest.hexdigest(), size)
            return self._known[identity][1]


@dataclass(slots=True)
class _Object:
    """A record in Drive, and a copy here."""

    file_id: str
    path: Path
    size: int
    used_at: int
    """The batch that used it last."""
    users: set[str] = field(default_factory=set)
    """The messages that name it and have no reply yet."""


class SharedArrays:
    """The objects of one run. Thread-safe.

    Identical records are found by their SHA-256, so it does not matter which strategy sends them, or in which round. An
    object is kept for the batch after the one that used it last: what is evaluated in one round is what the next one
    trains. What is in Drive for the ``readers``, the data owners' addresses, has a copy in ``directory``.
    """

    def __init__(self, directory: Path, readers: Collection[str], digests: Digests) -> None:
        self._directory = directory
        self._digests = digests
        self._readers = readers
        for left in directory.glob(f"{_PREFIX}*"):  # of a process that was killed
            left.unlink(missing_ok=True)
        self._lock = threading.Lock()
        self._objects: dict[str, _Object] = {}
        self._headers: dict[str, tuple[bytes, dict[int, str]]] = {}
        self._batch = 0

    def begin_batch(self, disposable: Callable[[], Disposable]) -> None:
        """Begin another batch of messages; withdraw what nobody needs any more."""
        with self._lock:
            self._batch += 1
            for sha256, held in list(self._objects.items()):
                if not held.users and held.used_at < self._batch - 1:
                    del self._objects[sha256]
                    held.path.unlink(missing_ok=True)
                    if held.size > LARGE:  # a small one costs less to keep until the end than to delete
                        disposable().withdraw(held.file_id)

    def leave_out(self, message: Message, following: Message | None, disposable: Disposable) -> list[ObjectReference]:
        """Return references to those records of a message that need not be in it, and put these into Drive.

        What the message that follows has as well is worth sharing.
        """
        references: list[ObjectReference] = []
        with self._lock:
            next_ones = set() if following is None else {sha256 for _, sha256, *_ in self._records(following)}
            for index, sha256, size, name, record in self._records(message):
                wanted = sha256 in self._objects or sha256 in next_ones or len(self._readers) == 1
                if wanted and (held := self._provide(sha256, size, name, record, disposable)) is not None:
                    held.used_at = self._batch
                    held.users.add(message.metadata.message_id)
                    references.append(ObjectReference(index, sha256, size, held.file_id))
        return references

    def sent(self, message_id: str, body: bytes, references: Iterable[ObjectReference]) -> None:
        """Keep a message as it was sent, should its owner not get the objects."""
        with self._lock:
            self._headers[message_id] = body, {reference.index: reference.sha256 for reference in references}

    def whole(self, message_id: str) -> bytes | None:
        """Return a message, without its stamp, with all of its records; ``None`` when it was sent like that."""
        with self._lock:
            if message_id not in self._headers:
                return None
            body, records = self._headers.pop(message_id)
            pieces = splice(body, {index: self._objects[sha256].path for index, sha256 in records.items()})
            return joined(pieces)

    def release(self, message_id: str) -> None:
        """Note that a message needs no object any more."""
        with self._lock:
            self._headers.pop(message_id, None)
            for held in self._objects.values():
                held.users.discard(message_id)

    def close(self) -> None:
        """Delete the copies."""
        with self._lock:
            for held in self._objects.values():
                held.path.unlink(missing_ok=True)
            self._objects.clear()

    def _records(self, message: Message) -> Iterator[tuple[int, str, int, str, ArrayRecord]]:
        """Yield a message's larger array records: place, SHA-256, size, name and record."""
        for index, (name, record) in enumerate(message.content.items()):
            if isinstance(record, ArrayRecord):
                sha256, size = self._digests.of(name, record)
                if not _rides_in_the_feed(name, record, size):
                    yield index, sha256, size, name, record

    def _provide(
        self, sha256: str, size: int, name: str, record: ArrayRecord, disposable: Disposable
    ) -> _Object | None:
        """Return an object, published if it is not yet; ``None`` when that fails: then the message holds the record."""
        if (held := self._objects.get(sha256)) is not None:
            disposable.reused(size)
            return held
        path = self._directory / f"{_PREFIX}{sha256}"
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.writelines(write_record(name, record))
            file_id = disposable.publish(sha256, path, self._readers)
        except (SyftFlwrError, OSError) as error:
            logger.warning("arrays can't be shared at the moment, each owner gets its own: %s", error)
            path.unlink(missing_ok=True)
            return None
        self._objects[sha256] = held = _Object(file_id, path, size, self._batch)
        return held


def _rides_in_the_feed(name: str, record: ArrayRecord, size: int) -> bool:
    """Tell whether a record is so small that it needs no file of its own."""
    return size <= LARGEST and bool(to_properties(b"".join(write_record(name, record))))
