"""An array whose data stays in a file until it is used."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any, Protocol

from syft_flwr.flower._compat import Array, ArrayRecord

LARGE = 8 * 1024 * 1024
"""From this size (bytes) on, arrays are worth a file."""


class DataFile(Protocol):
    """A file that holds the data of arrays."""

    def fileno(self) -> int: ...


class SharedFile:
    """A file without a name that closes when the last array that needs it is gone."""

    def __init__(self, directory: Path | None = None) -> None:
        """Make one in a directory, by default where temporary files go."""
        self._file = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115 - closed by __del__

    def write(self, data: bytes) -> int:
        """Append data, at once; return its size."""
        self._file.write(data)
        self._file.flush()
        return len(data)

    def fileno(self) -> int:
        return self._file.fileno()

    def __del__(self) -> None:
        self._file.close()


class FileArray(Array):
    """A Flower ``Array`` that reads its ``data`` from a file each time it is asked for.

    A strategy keeps the replies of all owners until it has added them up; with large models, they need not be in memory
    meanwhile. The file is kept open, and with it its space on disk, for as long as an array of it lives.
    """

    def __init__(self, like: Array, file: DataFile, offset: int, size: int) -> None:
        """Take type and shape from an array without data; Array's own constructor wants the data."""
        self.dtype, self.shape, self.stype = like.dtype, like.shape, like.stype
        self._file, self._offset, self._size = file, offset, size
        self._data: bytes | None = None
        """What the app has put in place of the file's data."""

    @property
    def data(self) -> bytes:
        if self._data is not None:
            return self._data
        data = os.pread(self._file.fileno(), self._size, self._offset)
        while len(data) < self._size:  # one call reads 2 GiB at most
            piece = os.pread(self._file.fileno(), self._size - len(data), self._offset + len(data))
            if not piece:
                raise OSError("the file of an array is shorter than it was")
            data += piece
        return data

    @data.setter
    def data(self, value: bytes) -> None:
        self._data = value

    def head(self, size: int) -> bytes:
        """Return the first bytes of the data."""
        if self._data is not None:
            return self._data[:size]
        return os.pread(self._file.fileno(), min(size, self._size), self._offset)

    @property
    def size(self) -> int:
        """Size of the data in bytes."""
        return self._size if self._data is None else len(self._data)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Array):
            return NotImplemented
        ours, theirs = ((a.dtype, a.shape, a.stype) for a in (self, other))
        return ours == theirs and self.data == other.data

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle as an ordinary array."""
        return Array, (self.dtype, self.shape, self.stype, self.data)


# Flower's object IDs hash the class's name along with the data; this class stands for the same object.
FileArray.__qualname__ = Array.__qualname__


def park(record: ArrayRecord, directory: Path | None) -> None:
    """Put the data of a large record's arrays into a file without a name, by default where temporary files go.

    The record holds the same arrays afterwards; a small one is left alone.
    """
    if sum(len(array.data) for array in record.values() if not isinstance(array, FileArray)) < LARGE:
        return
    file = SharedFile(directory)
    offset = 0
    for name, array in list(record.items()):
        if not isinstance(array, FileArray):
            size = file.write(array.data)
            record[name] = FileArray(array, file, offset, size)
            offset += size
