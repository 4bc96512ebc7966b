"""Delete message files of our own that nobody needs any more, and give up what nobody takes."""

from __future__ import annotations

import logging
import random
from collections.abc import Collection

from syft_flwr.errors import DriveError, NotFoundError
from syft_flwr.ports import Clock, DriveGateway
from syft_flwr.state.ledger import Ledger

_log = logging.getLogger(__name__)

_NOTED_AT_ONCE = 20

_CONFIRMATIONS = 10


class Janitor:
    """Cleans up for one account. One caller at a time.

    Args:
        expiry: Age in seconds at which an unfinished message is given up.
        rng: Chooses whom to ask about when there are many.
    """

    def __init__(
        self, gateway: DriveGateway, ledger: Ledger, clock: Clock, *, expiry: float, rng: random.Random
    ) -> None:
        self._gateway = gateway
        self._ledger = ledger
        self._clock = clock
        self._expiry = expiry
        self._rng = rng

    def delete_due(self) -> int:
        """Delete the files whose time has come; return how many. What fails is tried again the next time."""
        failed: set[str] = set()
        count = 0
        while due := [file_id for file_id in self._ledger.own.due(self._clock.time()) if file_id not in failed]:
            for start in range(0, len(due), _NOTED_AT_ONCE):
                deleted = [file_id for file_id in due[start : start + _NOTED_AT_ONCE] if self._delete(file_id)]
                failed.update(set(due[start : start + _NOTED_AT_ONCE]).difference(deleted))
                # Should it not come to this, they are deleted once more, which does no harm.
                self._ledger.own.deleted(deleted)
                count += len(deleted)
        return count

    def _delete(self, file_id: str) -> bool:
        try:
            self._gateway.delete(file_id)
        except DriveError as error:
            _log.warning("could not delete %s yet: %s", file_id, error)
            return False
        return True

    def confirm_gone(self, listed: Collection[str]) -> bool:
        """Ask about the requests that a full sweep did not list; return whether any of them is gone.

        A list's silence alone proves nothing, ``files.get`` does.

        Args:
            listed: File IDs that the sweep saw.
        """
        missing = [file_id for file_id in self._ledger.own.watched() if file_id not in listed]
        gone = False
        for file_id in self._rng.sample(missing, min(len(missing), _CONFIRMATIONS)):
            try:
                self._gateway.get_file(file_id)
            except NotFoundError:
                self._ledger.request_gone(file_id)
                gone = True
        return gone

    def give_up_expired(self, in_flight: Collection[str]) -> None:
        """Set aside what has waited longer than the expiry, for a handler or for its folder to show."""
        limit = self._clock.time() - self._expiry
        for pending in self._ledger.pending():
            if pending.seen_at < limit and pending.file.id not in in_flight:
                _log.warning("gave up %s (%s): nobody took it in time", pending.file.id, pending.file.name)
                self._ledger.reject(pending.file.id, next(iter(pending.file.parents), ""), pending.file.created_time)
