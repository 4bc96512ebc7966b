"""Files and directories for this user's eyes only, whatever the umask; those of others and links are refused."""

from __future__ import annotations

import os
import stat
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from syft_flwr.errors import StateError
from syft_flwr.state.directories import make_directories, sync_directory


def private_directory(directory: Path) -> Path:
    """Make a directory of mode 0700, or close the one that is there to others; return it.

    Raises:
        StateError: It is a symbolic link, no directory, or somebody else's.
    """
    make_directories(directory.parent)
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StateError(f"{directory} can't be made: {error}") from error
    check_own(directory, stat.S_ISDIR, "directory")
    directory.chmod(0o700)
    return directory


def check_own(path: Path, is_kind: object, kind: str) -> os.stat_result:
    """Check that a path is itself of this kind, no link to one, and belongs to this user.

    Raises:
        StateError: It does not; the message says what to do.
        FileNotFoundError: There is nothing.
    """
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        raise StateError(f"{path} is a symbolic link, which somebody else may turn elsewhere; put a {kind} there")
    if not is_kind(status.st_mode):  # type: ignore[operator]
        raise StateError(f"{path} is no {kind}; move it away")
    if status.st_uid != os.geteuid():
        raise StateError(f"{path} belongs to another user (number {status.st_uid}); choose another place")
    return status


def create_private(path: Path, flags: int = os.O_TRUNC) -> BinaryIO:
    """Open a file of mode 0600 for writing; a link in its place is not followed.

    Raises:
        StateError: It can't be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | flags, 0o600)
    except OSError as error:
        raise StateError(f"can't write {path}: {error}") from error
    os.fchmod(descriptor, 0o600)
    return os.fdopen(descriptor, "wb")


def replace_private(path: Path, data: bytes) -> None:
    """Write a file of mode 0600 in a directory of its own, at once and durably.

    Raises:
        StateError: It can't be written, or its directory is not this user's own.
    """
    private_directory(path.parent)
    temporary = path.with_name(path.name + ".new")
    with create_private(temporary) as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_directory(path.parent)


def open_private(path: Path) -> BufferedReader:
    """Open a file that decides something for reading.

    Raises:
        StateError: It, or its directory, is a link, somebody else's, or others could have written it.
        FileNotFoundError: There is none.
    """
    for place, is_kind, kind in ((path.parent, stat.S_ISDIR, "directory"), (path, stat.S_ISREG, "file")):
        status = check_own(place, is_kind, kind)
        if status.st_mode & 0o022:
            raise StateError(f"{place} can be written by others: look at what it holds, then run: chmod go-w {place}")
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")
