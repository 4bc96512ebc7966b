"""Who is alive: each process holds an flock on a file of its own, and a lease names that file.

The system frees the lock in the moment in which the process dies, however it dies.
"""

from __future__ import annotations

import fcntl
import functools
import os
import re
import secrets
import time
import weakref
from contextlib import suppress
from pathlib import Path

from syft_flwr.errors import StateError
from syft_flwr.private import make_private_directory
from syft_flwr.settings import STATE_VARIABLE

_ID = re.compile(r"[0-9]+-[0-9a-f]{16}")
_ATTEMPTS = 100
_NEWBORN = 0.01
"""Seconds between two looks at a file that may be about to be locked."""


class Holder:
    """This process as a holder of leases, alive until closed or dead.

    Files of holders that died are removed when a new one comes.

    Attributes:
        id: What a lease has to name.
    """

    id: str

    def __init__(self, directory: Path) -> None:
        """Come alive in ``directory`` (made with mode 0700), which all processes of the account share.

        Raises:
            StateError: The file can't be made or locked, or the directory is a copy of one where a process is at work.
        """
        self._directory = directory
        try:
            make_private_directory(directory)
            for path in directory.glob("*.lock"):
                _refuse_a_copy(path)
                is_alive(directory, path.stem)
            for path in directory.glob("*.closed"):
                if not _is_running(path.stem):
                    path.unlink(missing_ok=True)
            self.id, self._descriptor = _come_alive(directory)
        except OSError as error:
            raise StateError(f"can't hold a lock in {directory}: {error}") from error
        _watch_forks()
        _holders.add(self)

    def close(self) -> None:
        """Give up all leases; idempotent."""
        if self in _holders:
            path = _path(self._directory, self.id)
            with suppress(OSError):  # it is gone, or the disk takes no write: the lock is what counts
                path.rename(path.with_suffix(".closed"))
            self._let_go()

    def _let_go(self) -> None:
        _holders.discard(self)
        os.close(self._descriptor)


_holders: weakref.WeakSet[Holder] = weakref.WeakSet()
"""Those that this process keeps alive."""


@functools.cache
def _watch_forks() -> None:
    """See that a forked child, which shares the open file, does not keep the lock when this process dies."""
    os.register_at_fork(after_in_child=_let_go_of_all)


def _let_go_of_all() -> None:
    for holder in list(_holders):
        holder._let_go()  # noqa: SLF001 - the same module


def is_alive(directory: Path, holder_id: str) -> bool:
    """Tell whether a holder lives, in this process or another; remove the file of one that is dead.

    Raises:
        StateError: Its file can't be opened, so nobody knows.
    """
    if not _ID.fullmatch(holder_id):
        return False  # nothing that we made, and no path of ours
    path = _path(directory, holder_id)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        # Given up, found dead before, or removed by somebody who cleans up: the holder may live all the same.
        return _is_running(holder_id) and not path.with_suffix(".closed").exists()
    except OSError as error:
        raise StateError(f"can't tell whether {holder_id} is alive: {error}") from error
    try:
        # Shared, so that two who ask don't take each other for the holder.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        path.unlink(missing_ok=True)
        return False
    finally:
        os.close(descriptor)


def at_work(directory: Path) -> int:
    """Return how many processes have an account's state directory open."""
    holders = directory / "holders"
    return sum(is_alive(holders, path.stem) for path in holders.glob("*.lock"))


def _refuse_a_copy(path: Path) -> None:
    """Raise if a file is the copy of one that a running process has locked: the copy itself is not locked.

    The files are copied with the state directory. Two that both go on would answer each request twice.
    """
    for _ in range(_ATTEMPTS):  # a process that is coming alive has made its file, and not locked it yet
        with suppress(FileNotFoundError), path.open("rb") as file:
            if not _is_running(path.stem) or path.with_suffix(".closed").exists():
                return
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return
        if not path.exists():
            return
        time.sleep(_NEWBORN)
    raise StateError(
        f"{path.parents[1]} is a copy of the state of process {path.stem.partition('-')[0]}, which is at work with the "
        f"original: both would answer. End that process, or set {STATE_VARIABLE} to a directory of its own"
    )


def _is_running(holder_id: str) -> bool:
    """Tell whether the very process runs that made a holder of this name, whatever its file says."""
    pid, _, rest = holder_id.partition("-")
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's, which has no state here
        return False
    return _started(int(pid)) == int(rest[:8], 16)


def _started(pid: int) -> int:
    """Return when a process started, in the system's ticks since boot; 0 for a dead one, and where it can't be told."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if fields[0] == "Z" else int(fields[19]) & 0xFFFFFFFF


def _path(directory: Path, holder_id: str) -> Path:
    return directory / f"{holder_id}.lock"


def _come_alive(directory: Path) -> tuple[str, int]:
    """Make and lock a file.

    Between the two, a process that removes dead holders may take this one for dead. It then has the lock, or the
    file is gone; either way, try again.
    """
    for _ in range(_ATTEMPTS):
        holder_id = f"{os.getpid()}-{_started(os.getpid()):08x}{secrets.token_hex(4)}"
        path = _path(directory, holder_id)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_nlink:
                return holder_id, descriptor
        os.close(descriptor)
        path.unlink(missing_ok=True)
    raise StateError(f"can't hold a lock in {directory}: each new file is taken for a dead one")
