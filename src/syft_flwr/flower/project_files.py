"""The files of a project that a data owner's consent covers."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from syft_flwr.errors import FlowerError

_UNSEEN = (".git", ".hg", ".venv", ".mypy_cache", ".pytest_cache", ".ruff_cache")
"""Directories, wherever they are, that no import reaches: the consent does not cover them."""
_CACHE = "__pycache__"
"""Bytecode, which is never read when an app runs here; all else in such a directory is covered."""
_RESULTS = "runs"
"""What runs leave behind, at the top of a project; code in it is covered."""

_CODE = {".py", ".pyc", ".so", ".pyd", ".dylib", ".dll", ".pth", ".toml"}
_LARGE = 1_000_000  # bytes; larger files are hashed again only if they were touched


@dataclass(frozen=True, slots=True)
class FilesRead:
    """SHA-256 and, to tell whether a file was touched since, number, size and times of each file by its path."""

    hashes: dict[str, str] = field(default_factory=dict)
    signatures: dict[str, list[int]] = field(default_factory=dict)

    def changed(self, since: FilesRead) -> list[str]:
        """Name what is not as it was; files that are new and no code, which an app may have written, are."""
        names = {*self.hashes, *since.hashes}
        return sorted(
            name
            for name in names
            if self.hashes.get(name) != since.hashes.get(name) and (name in since.hashes or is_code(name))
        )


def is_code(path: str | Path) -> bool:
    """Tell whether Python, or the project's tools, may take a file for code."""
    return Path(path).suffix.lower() in _CODE


def read_files(directory: Path, written: Sequence[str] = (), known: FilesRead | None = None) -> FilesRead:
    """Read the files of a project that a consent covers.

    Args:
        directory: The project's.
        written: Directories in it that the app writes into: only code in them is covered.
        known: What was read before; a large file that was not touched since is not read again.

    Raises:
        FlowerError: A file can't be read.
    """
    files = FilesRead()
    for path in sorted(project_files(directory, written)):
        name, status = path.relative_to(directory).as_posix(), path.stat()
        signature = [status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]
        if known is not None and status.st_size > _LARGE and known.signatures.get(name) == signature:
            files.hashes[name] = known.hashes[name]
        else:
            files.hashes[name] = _digest(path)
        files.signatures[name] = signature
    return files


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise FlowerError(
            f"{path} can't be read ({error.strerror}): a consent covers all files of a project; move it away"
        ) from error


def hash_of(files: Mapping[str, str]) -> str:
    """Return one hash for all files; see :meth:`~syft_flwr.flower.project.FlowerProject.code_hash`."""
    digest = hashlib.sha256()
    for path, content in files.items():
        name = path.encode("utf-8", "surrogateescape")
        digest.update(len(name).to_bytes(4, "big") + name + bytes.fromhex(content))
    return digest.hexdigest()


def project_files(directory: Path, written: Sequence[str] = ()) -> Iterator[Path]:
    """Yield the files of a project that a consent covers; see :func:`uncovered` for the others.

    Code behind symbolic links belongs to it, since Python imports it; data that lies elsewhere does not.
    """
    seen: set[str] = set()
    root = os.path.realpath(directory)
    for parent, folders, files in os.walk(directory, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if name not in _UNSEEN]
        place = Path(parent).relative_to(directory)
        is_cache = _CACHE in place.parts
        is_left_out = is_cache or any(place.is_relative_to(name) for name in (_RESULTS, *written) if name)
        is_left_out = is_left_out or not Path(real).is_relative_to(root)
        for name in files:
            path = Path(parent, name)
            if (is_left_out or _leads_out(path, directory)) and (
                not is_code(name) or (is_cache and path.suffix == ".pyc")
            ):
                continue
            if path.is_file():
                yield path


def uncovered(directory: Path, written: Sequence[str] = ()) -> list[str]:
    """Name the directories in a project whose files, other than code, a consent does not cover; and links out."""
    found: set[str] = set()
    for parent, folders, files in os.walk(directory):
        found |= {name for name in folders if name in (*_UNSEEN, _CACHE)}
        folders[:] = [name for name in folders if name not in _UNSEEN]
        paths = [Path(parent, name) for name in (*folders, *files)]
        found |= {p.relative_to(directory).as_posix() for p in paths if _leads_out(p, directory)}
    return sorted(found) + [name for name in (_RESULTS, *written) if (directory / name).is_dir()]


def _leads_out(path: Path, directory: Path) -> bool:
    """Tell a symbolic link to what lies outside of the project: a data owner's data, as a rule."""
    return path.is_symlink() and not path.resolve().is_relative_to(os.path.realpath(directory))
