"""The file of an account's budget: changed under a lock, in one piece, by any process; read by anybody."""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from syft_flwr.errors import StateError
from syft_flwr.private import create_private

_log = logging.getLogger(__name__)

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC


class BudgetFile:
    """Lends what is noted of a budget for a change. Safe among processes, not among threads.

    What is new takes the old file's place whole: a process that is killed leaves either. It is not synced, since a
    power cut takes longer than the minute.

    Raises:
        OSError: The locks beside the file can't be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = os.open(path.with_name(f"{path.name}.lock"), _FLAGS, 0o600)
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
            try:
                state = read_budget(self.path)
            except StateError as error:
                _log.warning("the budget in %s is damaged: all of it counts as spent (%s)", self.path, error)
                state = {"spent": True}
            yield state
            new = self.path.with_name(f".{self.path.name}.new")
            with create_private(new) as file:
                file.write(json.dumps(state, separators=(",", ":")).encode())
            new.replace(self.path)
        except OSError as error:
            raise StateError(f"can't keep the budget in {self.path}: {error}") from error
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

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
        """Close the locks; call it once."""
        os.close(self._lock)
        os.close(self._users)


def read_budget(path: Path) -> dict[str, Any]:
    """Return what is noted; of a file that is not there yet, or is empty, nothing.

    Raises:
        StateError: It can't be read, or is damaged.
    """
    try:
        text = path.read_text(encoding="utf-8")
        state: dict[str, Any] = json.loads(text) if text else {}
        if "day" in state:  # else nobody has spent anything yet
            numbers = [*state["minute"].values(), *state["rest"], state["day"][1], state.get("ahead") or 0]
            tables = [state.get(table, {}) for table in ("methods", "by", "saved", "days")]
            float(sum(numbers) + sum(number for table in tables for number in table.values()))
            [int(second) for second in state["minute"]], str(state["day"][0])
            [[str(who), units + since + until, bool(rests)] for who, units, rests, since, until in state["queue"]]
        per_minute, per_day = state.get("limits", (None, None))
        [None if limit is None else int(limit) for limit in (per_minute, per_day)]
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise StateError(f"can't read what was spent from {path}: {error}") from error
    return dict(state)
