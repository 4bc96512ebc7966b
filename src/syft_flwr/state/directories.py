"""Directories for the owner's eyes only, whose entries outlast a power cut."""

from __future__ import annotations

import os
from pathlib import Path


def make_directories(directory: Path) -> None:
    """Make the directory and the parents that are missing, all of mode 0700; leave alone what exists."""
    if directory.is_dir():
        return
    make_directories(directory.parent)
    directory.mkdir(mode=0o700, exist_ok=True)
    sync_directory(directory.parent)


def make_private_directory(directory: Path) -> None:
    """Make the directory as :func:`make_directories` does, and close one that was open to others."""
    make_directories(directory)
    directory.chmod(0o700)


def sync_directory(directory: Path) -> None:
    """Put the directory's entries on disk: files made, renamed or removed in it."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
