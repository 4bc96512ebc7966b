"""The thread that owns the state's one connection, and commits for all threads of the process."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from syft_flwr.errors import RuntimeClosedError, StateError
from syft_flwr.ports import Transaction

Work = Callable[[Transaction], Any]

_MAX_GROUP = 256
_JOIN_SECONDS = 5.0


class Session(Protocol):
    """A connection, as the thread that owns it uses it."""

    def group(self) -> AbstractContextManager[None]:
        """Hold one database transaction: on disk when left, undone as a whole when left by an error."""

    def attempt(self, work: Work) -> Any:
        """Run ``work`` inside the group; when it raises, undo what it alone wrote, and raise :class:`WorkFailed`."""

    def close(self) -> None: ...


class WorkFailed(Exception):  # noqa: N818 - not an error of the session; it carries one of the caller's
    """The work raised (``__cause__``) and was undone; the group is intact."""


@dataclass(frozen=True, slots=True)
class _Request:
    work: Work
    future: Future[Any] = field(default_factory=Future)


class Committer:
    """Runs transactions one after the other on a thread of its own (``syft-state``), queued ones in one commit.

    The disk's sync is what a transaction costs; a group of them shares it. Nobody is answered before the group
    is on disk. As no caller's thread touches the connection, an interrupted caller tears nothing.

    The thread is a daemon, since a forgotten :meth:`close` must not keep the interpreter from exiting: for the
    database that is a process killed between two commits.
    """

    def __init__(self, open_session: Callable[[], Session], *, patience: float) -> None:
        """Open the session on the new thread, and wait for it.

        Args:
            open_session: Opens the connection; what it raises, this raises.
            patience: Seconds that a commit may wait for other processes, at most.
        """
        self._queue: SimpleQueue[_Request | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False
        self._pid = os.getpid()
        self._patience = patience
        opened: Future[None] = Future()
        self._thread = threading.Thread(
            target=_run, args=(open_session, self._queue, opened), name="syft-state", daemon=True
        )
        self._thread.start()
        try:
            opened.result()
        except BaseException:
            self.close()
            raise

    def submit(self, work: Work) -> Future[Any]:
        """Queue a transaction.

        Raises:
            RuntimeClosedError: After :meth:`close`.
            RuntimeError: Called from inside a transaction, which would wait for itself.
            StateError: In a forked child, which has no such thread.
        """
        if threading.current_thread() is self._thread:
            raise RuntimeError("transact() called from inside a transaction: use the transaction that is at hand")
        if os.getpid() != self._pid:
            raise StateError("the state was opened by the parent process; open it anew after a fork")
        request = _Request(work)
        with self._lock:
            if self._closed:
                raise RuntimeClosedError("the state store is closed")
            self._queue.put(request)
        return request.future

    def close(self) -> None:
        """Finish what is queued, close the session and join the thread; idempotent.

        From inside a transaction it only asks for it.
        """
        with self._lock:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        if threading.current_thread() is not self._thread and os.getpid() == self._pid:
            self._thread.join(self._patience + _JOIN_SECONDS)


def _run(open_session: Callable[[], Session], queue: SimpleQueue[_Request | None], opened: Future[None]) -> None:
    try:
        session = open_session()
    except BaseException as error:
        opened.set_exception(error)
        return
    opened.set_result(None)
    try:
        more = True
        while more:
            group, more = _next_group(queue)
            _commit(session, group)
    finally:
        session.close()


def _next_group(queue: SimpleQueue[_Request | None]) -> tuple[list[_Request], bool]:
    """Wait for a request, and take along those that are queued behind it; ``False`` after the last ever."""
    group: list[_Request] = []
    request = queue.get()
    while request is not None:
        group.append(request)
        if len(group) == _MAX_GROUP:
            return group, True
        try:
            request = queue.get_nowait()
        except Empty:
            return group, True
    return group, False


def _commit(session: Session, group: list[_Request]) -> None:
    group = [request for request in group if request.future.set_running_or_notify_cancel()]
    if not group:
        return
    outcomes: list[tuple[Any, BaseException | None]] = []
    try:
        with session.group():
            for request in group:
                try:
                    outcomes.append((session.attempt(request.work), None))
                except WorkFailed as failed:
                    outcomes.append((None, failed.__cause__))
    except BaseException as error:  # the thread must live on, and every caller must hear of it
        for request in group:
            copy = StateError(f"the state was not written: {error}")  # one each: raising changes an exception
            copy.__cause__ = error
            request.future.set_exception(copy)
        return
    for request, (result, raised) in zip(group, outcomes, strict=True):
        if raised is None:
            request.future.set_result(result)
        else:
            request.future.set_exception(raised)
