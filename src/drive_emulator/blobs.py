"""Bodies: small ones in the database, larger ones in files that are synced before a row names them."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from drive_emulator.model import Content
from drive_emulator.scratch import ScratchDirectory
from drive_emulator.storage import Database

INLINE_LIMIT = 64 * 1024
"""Bodies up to this many bytes live in the database: one transaction, no file."""
_CHUNK = 256 * 1024


class BlobStore:
    """Where bodies live. A blob's name is ``db:…`` or ``fs:…``.

    Args:
        database: Holds the small ones, and tells which files are still named.
        directory: For the large ones; ``None`` for a temporary directory that :meth:`close` removes.
    """

    def __init__(self, database: Database, directory: Path | None) -> None:
        self._database = database
        self._scratch = ScratchDirectory() if directory is None else None
        self.directory = directory or self._scratch.path  # type: ignore[union-attr]
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._remove_orphans()

    @property
    def is_durable(self) -> bool:
        """Whether a later emulator finds what is here."""
        return self._scratch is None

    def _remove_orphans(self) -> None:
        """Delete the files that a killed process left without a row."""
        named = {blob for (blob,) in self._database.rows("SELECT blob FROM file UNION SELECT blob FROM upload")}
        for path in self.directory.iterdir():
            if f"fs:{path.name}" not in named:
                path.unlink()

    def writer(self) -> BlobWriter:
        return BlobWriter(self)

    def reopen(self, blob: str) -> BlobWriter:
        """Go on with a partly written file, such as a resumable upload's."""
        return BlobWriter(self, blob)

    def reserve(self) -> str:
        """Make an empty file for a body that comes in pieces, and return its name."""
        name = secrets.token_hex(16)
        (self.directory / name).touch(mode=0o600)
        return f"fs:{name}"

    def restore(self, blob: str, piece: bytes) -> None:
        """Write a large body back under its name, piece by piece, as a snapshot kept it."""
        self.path(blob).touch(mode=0o600)
        with self.path(blob).open("ab") as file:
            file.write(piece)

    def path(self, blob: str) -> Path:
        return self.directory / blob.removeprefix("fs:")

    def store(self, data: bytes) -> str:
        """Keep a small body in the transaction under way."""
        blob = f"db:{secrets.token_hex(16)}"
        self._database.execute("INSERT INTO blob VALUES (?, ?)", blob, data)
        return blob

    def read(self, blob: str, start: int, stop: int) -> Iterator[bytes]:
        """Yield the bytes from ``start`` up to, not including, ``stop``."""
        if blob.startswith("db:"):
            row = self._database.row("SELECT data FROM blob WHERE id = ?", blob)
            yield b"" if row is None else row[0][start:stop]
            return
        with self.path(blob).open("rb") as file:
            file.seek(start)
            while start < stop and (chunk := file.read(min(_CHUNK, stop - start))):
                start += len(chunk)
                yield chunk

    def copy(self, content: Content) -> Content:
        """Give the body a second name, for another file."""
        if content.blob.startswith("db:"):
            blob = self.store(b"".join(self.read(content.blob, 0, content.size)))
        else:
            blob = f"fs:{secrets.token_hex(16)}"
            os.link(self.path(content.blob), self.path(blob))
        return Content(blob, content.size, content.md5, content.sha1, content.sha256)

    def keep(self, data: bytes = b"") -> Content:
        """Keep a body that is there as a whole, such as none for a file that was made by its metadata alone."""
        writer = self.writer()
        writer.write(data)
        return writer.finish()

    def remove(self, blob: str) -> None:
        """Drop the body once the transaction under way is kept."""
        if blob.startswith("db:"):
            self._database.execute("DELETE FROM blob WHERE id = ?", blob)
        else:
            self._database.after_commit(lambda: self.path(blob).unlink(missing_ok=True))

    def clear(self) -> None:
        for path in self.directory.iterdir():
            path.unlink()

    def close(self) -> None:
        if self._scratch is not None:
            self._scratch.remove()


class BlobWriter:
    """Takes a body piece by piece, hashing as it goes; spills to a file above :data:`INLINE_LIMIT`.

    Either :meth:`sync` and then :meth:`finish` it inside the transaction that names it, or :meth:`discard` it.
    """

    def __init__(self, store: BlobStore, blob: str | None = None) -> None:
        self._store = store
        self._blob = blob
        self._buffer = bytearray()
        self._file: BinaryIO | None = None
        self._hashes = (hashlib.md5(usedforsecurity=False), hashlib.sha1(usedforsecurity=False), hashlib.sha256())
        self.size = 0
        if blob is not None:
            self._file = store.path(blob).open("r+b")
            while chunk := self._file.read(_CHUNK):
                self._digest(chunk)

    def _digest(self, data: bytes) -> None:
        self.size += len(data)
        for digest in self._hashes:
            digest.update(data)

    def write(self, data: bytes) -> None:
        self._digest(data)
        if self._file is None:
            self._buffer += data
            if len(self._buffer) <= INLINE_LIMIT:
                return
            self._blob = self._store.reserve()
            self._file = self._store.path(self._blob).open("r+b")
            data, self._buffer = bytes(self._buffer), bytearray()
        self._file.write(data)

    def flush(self) -> None:
        if self._file is not None:
            self._file.flush()

    async def sync(self) -> None:
        """Put a large body on disk, without holding up the event loop; one that no restart would find need not be."""
        self.flush()
        if self._file is not None and self._store.is_durable:
            await asyncio.to_thread(os.fsync, self._file.fileno())

    def finish(self) -> Content:
        """Name the body, in the transaction under way."""
        if self._file is None:
            self._blob = self._store.store(bytes(self._buffer))
        else:
            self._file.close()
        assert self._blob is not None  # noqa: S101 - set by either branch
        return Content(self._blob, self.size, *(digest.hexdigest() for digest in self._hashes))

    def close(self) -> None:
        """Let go of the file, keeping what was written."""
        if self._file is not None:
            self._file.close()

    def discard(self) -> None:
        """Forget the body. After :meth:`finish` it does nothing that harms: call that only when the row is not kept."""
        self.close()
        if self._blob is not None and self._blob.startswith("fs:"):
            self._store.path(self._blob).unlink(missing_ok=True)
