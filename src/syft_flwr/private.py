"""Files (0600) and directories (0700) for this user alone, whatever the umask; those of others and links are refused.

What is made here outlasts a power cut.
"""

from __future__ import annotations

import os
import stat
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from syft_flwr.errors import StateError


def make_directories(directory: Path) -> None:
    """Make the directory and the parents that are missing, all of mode 0700; leave alone what exists."""
    if directory.is_dir():
        return
    make_directories(directory.parent)
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError:
        if not directory.is_dir():
            raise
        return  # another process was quicker
    directory.chmod(0o700)  # whatever the umask
    sync_directory(directory.parent)


def make_private_directory(directory: Path) -> Path:
    """Make the directory as :func:`make_directories` does, or close one that was open to others; return it.

    Raises:
        StateError: It is a symbolic link, no directory, or somebody else's.
        OSError: It can't be made.
    """
    if directory.is_symlink():
        check_own(directory)
    make_directories(directory)
    check_own(directory)
    directory.chmod(0o700)
    return directory


def check_own(path: Path) -> os.stat_result:
    """Check that a path is itself a directory or file, no link to one, and belongs to this user.

    Raises:
        StateError: It does not; the message says what to do.
        FileNotFoundError: There is nothing.
    """
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        raise StateError(f"{path} is a symbolic link, which may be turned elsewhere; name the place itself")
    if not stat.S_ISDIR(status.st_mode) and not stat.S_ISREG(status.st_mode):
        raise StateError(f"{path} is no directory and no file; move it away")
    if status.st_uid != os.geteuid():
        raise StateError(f"{path} belongs to another user (number {status.st_uid}); choose another place")
    return status


def sync_directory(directory: Path) -> None:
    """Put the directory's entries on disk: files made, renamed or removed in it."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def create_private(path: Path, *, append: bool = False) -> BinaryIO:
    """Open a file of mode 0600 for writing, empty or at its end; a link in its place is not followed.

    Raises:
        OSError: It can't be written.
    """
    flags = os.O_APPEND if append else os.O_TRUNC
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | flags, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
        return os.fdopen(descriptor, "ab" if append else "wb")
    except BaseException:
        os.close(descriptor)
        raise


def write_private(path: Path, data: bytes) -> None:
    """Write a file of mode 0600, in place of one that is there or of a link to one.

    Raises:
        OSError: It can't be written.
    """
    temporary = path.with_name(f".{path.name}.new")
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
    for place in (path.parent, path):
        if check_own(place).st_mode & 0o022:
            raise StateError(f"{place} can be written by others: look at what it holds, then run: chmod go-w {place}")
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")
