"""What the processes of a test are doing (Linux)."""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_AT_WORK = "RD"
"""States of a thread that runs, could run, or waits for a disk (``man 5 proc_pid_stat``)."""

_LOOKS, _PAUSE = 3, 0.003
"""How often, and how many seconds apart, all must be at rest: one hands work to another in less."""


class Others:
    """The threads that there are now in this process and its descendants: all later ones are a test's own."""

    def __init__(self) -> None:
        self._tasks = {task for _, task, _ in _tasks()}

    def await_rest(self, patience: float = 60.0) -> None:
        """Return when no thread that has come since was at work at several looks in a row.

        A thread that a busy machine keeps from running counts as at work; one that waits for a lock, a socket, a child
        or a clock does not. A test that lets virtual time pass only then takes none of it from what its parties
        compute.

        Raises:
            TimeoutError: One is at work for longer than that (seconds); it says which.
        """
        quiet, never, end = 0, threading.Event(), time.monotonic() + patience
        while quiet < _LOOKS:
            never.wait(_PAUSE)
            own = threading.get_native_id()
            at_work = [
                (process, task)
                for process, task, state in _tasks()
                if state in _AT_WORK and task not in {own, *self._tasks}
            ]
            quiet = 0 if at_work else quiet + 1
            if at_work and time.monotonic() > end:
                raise TimeoutError(f"at work for {patience} s: {[_tell(*each) for each in at_work]}")


def _tasks() -> Iterator[tuple[int, int, str]]:
    """Yield the threads of this process and its descendants: process, thread, state."""
    processes = [os.getpid()]
    while processes:
        process = processes.pop()
        with suppress(OSError):  # it ended meanwhile
            for task in Path(f"/proc/{process}/task").iterdir():
                yield process, int(task.name), (task / "stat").read_text().rpartition(")")[2].split()[0]
                processes += map(int, (task / "children").read_text().split())


def _tell(process: int, task: int) -> str:
    frames, threads = sys._current_frames(), {thread.native_id: thread for thread in threading.enumerate()}
    if process == os.getpid() and task in threads:
        thread = threads[task]
        frame = frames.get(thread.ident or 0)
        return f"{thread.name}: {'it has ended' if frame is None else ''.join(traceback.format_stack(frame))}"
    with suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return f"process {process}"
