"""Delete message files of our own that are no longer needed."""

from __future__ import annotations

import logging
import random
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial

from syft_flwr.errors import DriveError, NotFoundError, PermissionDeniedError, RateLimitedError, RuntimeClosedError
from syft_flwr.exchange.parts import Parts
from syft_flwr.state.own_files import Deletion

_log = logging.getLogger(__name__)

_NOTED_AT_ONCE = 20
_CONFIRMATIONS = 10
_LONGEST_PAUSE = 86_400.0
_REFUSALS = 8
"""Attempts after which a deletion that Drive refuses is given up."""


class Deletions:
    """Cleans up for one account, on the pool of transfers; a round at a time. Thread-safe.

    Args:
        parts: The account's parts.
        later: Calls a function after some seconds.
        rng: Chooses which files to ask about when there are many.
    """

    def __init__(self, parts: Parts, *, later: Callable[[float, Callable[[], None]], None], rng: random.Random) -> None:
        self._parts = parts
        self._later = later
        self._rng = rng
        self._round = threading.Lock()
        self._asked = False
        self._due: deque[str] = deque()
        self._retried: deque[Deletion] = deque()
        """Whose pause is over, by the monotonic clock: the record's time of day may have been corrected meanwhile."""
        self._failures: dict[str, int] = {}
        """Of the files whose deletion was refused: a retry is void when the record has led to one before it."""

    def run_soon(self, due: Iterable[str] = ()) -> None:
        """Delete the files whose time has come, if clean-up is on; however many ask, one thread is busy with it.

        Args:
            due: Files that have just become due, so that the round need not ask for them.
        """
        if self._parts.settings.cleanup:
            self._due.extend(due)
            if not self._asked:
                self._submit()

    def finish(self, timeout: float) -> None:
        """Do what is due, for ``timeout`` seconds at most; the rest is the next run's."""
        if self._parts.settings.cleanup and (running := self._submit()) is not None:
            with suppress(TimeoutError):
                running.result(timeout)

    def _submit(self) -> Future[None] | None:
        self._asked = True
        try:
            return self._parts.pool.submit(self._delete_due)
        except RuntimeError:
            _log.debug("closed; deletions will go on with the next run")
            return None

    def confirm_gone(self, listed: Collection[str]) -> bool:
        """Ask about the peers' requests that a full sweep did not list; return whether any of them is gone.

        A list's silence alone proves nothing, ``files.get`` does. Where Drive does not tell, they count as there.

        Args:
            listed: File IDs that the sweep saw.
        """
        missing = [file_id for file_id in self._parts.ledger.own.watched() if file_id not in listed]
        gone = False
        for file_id in self._rng.sample(missing, min(len(missing), _CONFIRMATIONS)):
            try:
                self._parts.gateway.get_file(file_id)
            except NotFoundError:
                self._parts.ledger.request_gone(file_id)
                gone = True
            except DriveError as error:  # the next full sweep asks again
                _log.debug("can't tell whether request file %s is gone: %s", file_id, error)
                break
        return gone

    def _delete_due(self) -> None:
        with self._round:
            self._asked = False  # what becomes due from here on needs another round
            try:
                self._delete_all()
            except RuntimeClosedError:
                _log.debug("closed; deletions will go on with the next run")
            except Exception as error:  # on the pool, it would be heard of nowhere
                self._parts.streams.report("cleaning up", error)

    def _delete_all(self) -> None:
        own = self._parts.ledger.own
        gone: set[str] = set()
        due = self._noted(gone) or own.due(self._parts.clock.time(), limit=_NOTED_AT_ONCE)
        while due:
            deleted: list[str] = []
            later: list[tuple[Deletion, float]] = []
            for deletion in due:
                if self._delete(deletion):
                    deleted.append(deletion.file_id)
                    self._failures.pop(deletion.file_id, None)
                else:
                    pause = min(4.0**deletion.failures, _LONGEST_PAUSE)
                    later.append((deletion, self._parts.clock.time() + pause))
                    self._failures[deletion.file_id] = failures = deletion.failures + 1
                    self._later(pause, partial(self._retry, Deletion(deletion.file_id, failures)))
            gone.update(deleted)
            # Should it not come to this, they are deleted once more, which does no harm.
            due = own.deleted(deleted, self._parts.clock.time(), later=later, limit=_NOTED_AT_ONCE)
            due = due or self._noted(gone)

    def _noted(self, gone: Collection[str]) -> list[Deletion]:
        """Return what is known to be due without a look at the record, which may have led to some of it already."""
        due: list[Deletion] = []
        while self._retried and len(due) < _NOTED_AT_ONCE:
            retried = self._retried.popleft()
            if self._failures.get(retried.file_id) == retried.failures:
                due.append(retried)
        while self._due and len(due) < _NOTED_AT_ONCE:
            if (file_id := self._due.popleft()) not in gone:
                due.append(Deletion(file_id, 0))
        self._due.clear()  # what did not fit is on record
        return due

    def _retry(self, deletion: Deletion) -> None:
        self._retried.append(deletion)
        self.run_soon()

    def _delete(self, deletion: Deletion) -> bool:
        """Delete a file; return whether it is gone, or given up."""
        try:
            self._parts.gateway.delete(deletion.file_id)
        except DriveError as error:
            if isinstance(error, PermissionDeniedError) and deletion.failures + 1 >= _REFUSALS:
                self._parts.streams.report(f"giving up the deletion of {deletion.file_id}", error)
                return True
            level = logging.INFO if isinstance(error, RateLimitedError) else logging.WARNING  # the gateway tells of it
            _log.log(level, "could not delete %s yet: %s", deletion.file_id, error)
            return False
        return True
