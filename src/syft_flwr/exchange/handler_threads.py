"""The threads that handlers run on, shared by all endpoints and accounts of a process."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

HANDLER_THREADS = 64
"""Handlers of a process that run at once, whatever the number of its endpoints and accounts."""
_IDLE = 10.0
"""Seconds after which a thread that has nothing to do ends."""
_END = 1.0
"""Seconds to wait for idle threads to end."""


class HandlerThreads:
    """Threads for handlers, started when needed and ended when idle. Thread-safe.

    They are daemons: a handler that never returns must not keep the interpreter from exiting.
    """

    def __init__(self, limit: int = HANDLER_THREADS) -> None:
        self._limit = limit
        self._condition = threading.Condition()
        self._tasks: deque[Callable[[], None]] = deque()
        self._threads = 0
        self._idle = 0
        self._users = 0

    def enlist(self) -> None:
        """Note a user; idle threads end with the last one."""
        with self._condition:
            self._users += 1

    def discharge(self) -> None:
        """Undo :meth:`enlist`."""
        with self._condition:
            self._users -= 1
            if not self._users:
                self._condition.notify_all()
                self._condition.wait_for(lambda: not self._idle, _END)

    def submit(self, task: Callable[[], None]) -> None:
        """Run a task as soon as a thread is free; it must contain its own errors."""
        with self._condition:
            self._tasks.append(task)
            if self._idle >= len(self._tasks):
                self._condition.notify()
            elif self._threads < self._limit:
                self._threads += 1
                threading.Thread(target=self._run, name=f"syft-handler-{self._threads}", daemon=True).start()

    def _run(self) -> None:
        while True:
            with self._condition:
                self._idle += 1
                self._condition.wait_for(lambda: self._tasks or not self._users, _IDLE)
                self._idle -= 1
                if not self._tasks:
                    self._threads -= 1
                    self._condition.notify_all()
                    return
                task = self._tasks.popleft()
            task()
