"""The file of an account's budget: changed under a lock, in one piece, by any process; read by anybody."""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from syft_flwr.errors import StateError
from syft_flwr.private import create_private

_log = logging.getLogger(__name__)

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
_PAGE = 4096
"""Bytes that the kernel writes whole, whenever the process is killed."""
_MOST = 1024 * 1024
"""Bytes that are read."""


class BudgetFile:
    """Lends what is noted of a budget for a change. Safe among processes, not among threads.

    A process that is killed leaves the old or the new: what fits in a page is written in place, which takes a hundredth
    of the time of a new file, and what does not takes the old file's place whole. It is not synced, since a power cut
    takes longer than the minute.

    Raises:
        OSError: The locks beside the file can't be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = -1
        self._known: tuple[bytes, dict[str, Any]] | None = None
        """The file's text when this process last wrote it, and what it says."""
        self._lock = os.open(_lock_of(path), _FLAGS, 0o600)
        try:
            self._users = os.open(path.with_name(f"{path.name}.users"), _FLAGS, 0o600)
        except OSError:
            os.close(self._lock)
            raise

    @contextmanager
    def change(self) -> Iterator[dict[str, Any]]:
        """Lend the notes, and keep what they have become; ``{"spent": True}`` stands for what can't be read.

        Raises:
            StateError: The file can't be written.
        """
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            old = self._read()
            known, self._known = self._known, None
            try:
                state = known[1] if known is not None and known[0] == old else _parse(old, self.path)
            except StateError as error:
                _log.warning("the budget in %s is damaged: all of it counts as spent (%s)", self.path, error)
                state = {"spent": True}
            yield state
            new = json.dumps(state, separators=(",", ":")).encode() + b"\n"
            self._write(new, shorter=len(new) < len(old))
            self._known = new, state
        except OSError as error:
            raise StateError(f"can't keep the budget in {self.path}: {error}") from error
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    def _read(self) -> bytes:
        if self._file >= 0 and os.fstat(self._file).st_nlink == 0:  # another has taken its place
            self._close_file()
        if self._file < 0:
            self._file = os.open(self.path, _FLAGS | os.O_NOFOLLOW, 0o600)
        return os.pread(self._file, _MOST, 0)

    def _write(self, text: bytes, *, shorter: bool) -> None:
        if len(text) <= _PAGE:
            os.pwrite(self._file, text, 0)
            if shorter:
                os.ftruncate(self._file, len(text))
            return
        new = self.path.with_name(f".{self.path.name}.new")
        with create_private(new) as file:
            file.write(text)
        new.replace(self.path)

    def _close_file(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._file = -1

    @contextmanager
    def joining(self) -> Iterator[bool]:
        """Become one of those who use the account until :meth:`close`; tell whether there are no others."""
        try:
            fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            alone = True
        except BlockingIOError:
            alone = False
        yield alone
        fcntl.flock(self._users, fcntl.LOCK_SH)

    def close(self) -> None:
        """Close the file and its locks; call it once."""
        self._close_file()
        os.close(self._lock)
        os.close(self._users)


def read_budget(path: Path) -> dict[str, Any]:
    """Return what is noted; of a file that is not there yet, or is empty, nothing.

    Raises:
        StateError: It can't be read, or is damaged.
    """
    try:
        with ExitStack() as stack:
            with suppress(FileNotFoundError):
                lock = stack.enter_context(_lock_of(path).open("rb"))
                fcntl.flock(lock, fcntl.LOCK_SH)  # in the middle of a write, there could be a half of each
            return _parse(path.read_bytes(), path)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise _unreadable(path, error) from error


def _lock_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


def _parse(text: bytes, path: Path) -> dict[str, Any]:
    """Read the notes: the first line, since one that was killed may have left a longer one's end behind it."""
    try:
        state: dict[str, Any] = json.loads(text.split(b"\n", 1)[0]) if text else {}
        if "day" in state:  # else nobody has spent anything yet
            (since, level), (_, spent) = state["rest"], state["day"]
            numbers = [*state["minute"].values(), since, level, spent, state.get("ahead") or 0]
            tables = [state.get(table, {}) for table in ("methods", "by", "saved", "days")]
            float(sum(numbers) + sum(number for table in tables for number in table.values()))
            [int(second) for second in state["minute"]], str(state["day"][0])
            [[str(who), units + since + until, bool(rests)] for who, units, rests, since, until in state["queue"]]
        per_minute, per_day = state.get("limits", (None, None))
        [None if limit is None else int(limit) for limit in (per_minute, per_day)]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise _unreadable(path, error) from error
    return dict(state)


def _unreadable(path: Path, error: Exception) -> StateError:
    return StateError(f"can't read what was spent from {path}: {error}")
