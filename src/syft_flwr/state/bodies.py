"""Message bodies as files of our own, on disk before the row that names them."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import time
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from pathlib import Path

from syft_flwr.errors import StateError
from syft_flwr.private import make_private_directory, sync_directory

_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,128}")
_PART = ".part"


class BodyFiles:
    """A directory (mode 0700) with a file (0600) for each body, under the name of its file ID.

    :meth:`write` and :meth:`commit` are atomic, and the file is on disk when they return: a reader finds all of a
    body or none. Thread-safe; several processes may share the directory. A file that can't be written or read is a
    :class:`~syft_flwr.errors.StateError`.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        with as_state_error("make the directory", directory):
            make_private_directory(directory)

    def path(self, name: str) -> Path:
        """Return where the body is, or would be; always a file right in the directory, whatever the name."""
        return self.directory / _file_name(name)

    def write(self, name: str, data: bytes) -> Path:
        """Store a body, in place of one of that name."""
        partial = self.partial(name)
        try:
            with as_state_error("write", partial):
                partial.write_bytes(data)
            return self.commit(partial, name)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise

    def read(self, name: str) -> bytes:
        path = self.path(name)
        with as_state_error("read", path):
            return path.read_bytes()

    def delete(self, name: str) -> None:
        """Remove a body, if it is there; what can't be removed goes with a :meth:`sweep`."""
        with suppress(OSError):
            self.path(name).unlink()

    def partial(self, name: str) -> Path:
        """Make an empty file of a new name to download a body to, for :meth:`commit`."""
        path = self.directory / f"{_file_name(name)}.{secrets.token_hex(8)}{_PART}"
        with as_state_error("make", path):
            if not self.directory.is_dir():  # somebody has cleaned up
                make_private_directory(self.directory)
            path.touch(mode=0o600, exist_ok=False)
        return path

    def commit(self, partial: Path, name: str) -> Path:
        """Make a complete partial file the body of that name, in place of an older one."""
        path = self.path(name)
        with as_state_error("write", path):
            with partial.open("rb") as file:
                os.fsync(file.fileno())
            partial.chmod(0o600)
            partial.replace(path)
            sync_directory(self.directory)
        return path

    def names(self) -> set[str]:
        """Return the file names of all complete bodies: their names, or a hash of those that make no file name."""
        with as_state_error("list", self.directory):
            return {path.name for path in self.directory.iterdir() if path.suffix != _PART}

    def sweep(self, keep: AbstractSet[str], *, min_age: float = 3600.0) -> int:
        """Remove what crashes left behind: partial files, and bodies that nobody will ask for.

        Args:
            keep: Names of the bodies that are still needed.
            min_age: Seconds since the last write before a file counts as left behind. A body is written before
                the row that names it, and another process may be between the two.

        Returns:
            How many files were removed.
        """
        kept = {_file_name(name) for name in keep}
        newest = time.time() - min_age  # the file system's time is the machine's
        removed = 0
        with as_state_error("sweep", self.directory):
            for path in self.directory.iterdir():
                with suppress(FileNotFoundError):  # another process sweeps, too
                    if path.name not in kept and path.stat().st_mtime <= newest:
                        path.unlink()
                        removed += 1
        return removed


def _file_name(name: str) -> str:
    """Return a name that is a plain file name on any system; only hashed ones have a dot."""
    if _PLAIN.fullmatch(name):
        return name
    return f"sha256.{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()}"


@contextmanager
def as_state_error(action: str, path: Path) -> Iterator[None]:
    """Raise a :class:`~syft_flwr.errors.StateError` for what a file of the state refuses within the block."""
    try:
        yield
    except OSError as error:
        raise StateError(f"can't {action} {path}: {error}") from error
