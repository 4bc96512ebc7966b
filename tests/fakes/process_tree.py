"""What the processes of a test are doing (Linux)."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

_AT_WORK = "RD"
"""States of a thread that runs, could run, or waits for a disk (``man 5 proc_pid_stat``)."""

_LOOKS, _PAUSE = 3, 0.003
"""How often, and how many seconds apart, all must be at rest: one hands work to another in less."""


def await_rest() -> None:
    """Return when no thread of this process and its descendants was at work at several looks in a row.

    A thread that a busy machine keeps from running counts as at work; one that waits for a lock, a socket, a child or
    a clock does not. A test that lets virtual time pass only then takes none of it from what its parties compute.
    """
    quiet, never = 0, threading.Event()
    while quiet < _LOOKS:
        never.wait(_PAUSE)
        quiet = 0 if _is_at_work() else quiet + 1


def _is_at_work() -> bool:
    own, processes = str(threading.get_native_id()), [os.getpid()]
    while processes:
        with suppress(OSError):  # it ended meanwhile
            for task in Path(f"/proc/{processes.pop()}/task").iterdir():
                state = (task / "stat").read_text().rpartition(")")[2].split()[0]
                if task.name != own and state in _AT_WORK:
                    return True
                processes += map(int, (task / "children").read_text().split())
    return False
