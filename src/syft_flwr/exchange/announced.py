"""The message that a peer writes next, looked for by its ID: that costs a twentieth of a list of the feed."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass

from syft_flwr import wire
from syft_flwr.addresses import fold_address
from syft_flwr.errors import DriveError
from syft_flwr.feed.schedule import growing_pause
from syft_flwr.models import Message
from syft_flwr.recording import GatewayTap
from syft_flwr.resources import DriveFile

_ID = re.compile(r"[A-Za-z0-9_-]{10,80}")
_MOST = 10
"""Announcements up to which to look for each costs less than to list the feed."""
_KEPT = 1_000
"""Conversations in which the next message is announced."""
_PATIENCE = 20
"""Looks in vain after which an announcement is not believed any more: they cost as much as a list of the feed."""


@dataclass(slots=True)
class _Expected:
    file_id: str
    missed: int = 0


class Announced:
    """What this account announces, and what its peers have announced to it. Thread-safe.

    Parties of a conversation that is thrown away whole (:class:`Disposables`) tell each other with every message under
    which ID the next one comes. Nothing depends on it: what was found is journaled as what a sweep finds, and where the
    start token moves for any other reason, the feed is listed; at the latest ten seconds later. To look for one costs
    so little that polls come sooner after a reply, since the next request is likely to follow.

    Args:
        gateway: The account's Drive.
        reserve: Returns a fresh reserved file ID.
        now: Returns the monotonic time in seconds.

    Attributes:
        on_replied: Called when a reply is in Drive.
    """

    def __init__(self, gateway: GatewayTap, reserve: Callable[[], str], now: Callable[[], float]) -> None:
        self._gateway = gateway
        self._reserve = reserve
        self._now = now
        self.on_replied: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._replied_at = float("-inf")
        self._own: dict[tuple[str, str, str], str] = {}
        self._expected: dict[tuple[str, str, str, str], _Expected] = {}
        self._given_up: set[tuple[str, str, str, str]] = set()
        """Conversations whose next message only a list will show."""

    def step(self, kind: str, peer: str, disposable: str) -> tuple[str, dict[str, str]]:
        """Return the ID for the next message of a conversation, and the properties that announce the one after it.

        Without a name in ``disposable`` there is no such conversation: nothing is announced.
        """
        if not disposable:
            return self._reserve(), {}
        key = (kind, fold_address(peer), disposable)
        following = self._reserve()
        with self._lock:
            own = self._own.pop(key, None)
            self._own[key] = following
            if len(self._own) > _KEPT:  # of conversations that ended elsewhere
                del self._own[next(iter(self._own))]
        return own or self._reserve(), {wire.ANNOUNCEMENT: following}

    def end(self, disposable: str) -> None:
        """Announce nothing more in a conversation."""
        with self._lock:
            self._own = {key: file_id for key, file_id in self._own.items() if key[2] != disposable}

    def expect(self, message: Message) -> None:
        """Take note of what an admitted message announces."""
        following = message.properties.get(wire.ANNOUNCEMENT, "")
        if _ID.fullmatch(following):
            key = (message.kind, fold_address(message.sender), message.app, message.endpoint)
            with self._lock:
                if key in self._expected or len(self._expected) + len(self._given_up) < _KEPT:
                    self._expected[key] = _Expected(following)
                    self._given_up.discard(key)

    def replied(self) -> None:
        """Note that a reply is in Drive: the next request of its conversation is likely to follow soon."""
        with self._lock:
            self._replied_at = self._now()
        self.on_replied()

    def pause(self) -> float:
        """Return the seconds after which to look for the next request; without end where none is awaited."""
        with self._lock:
            return growing_pause(self._now() - self._replied_at) if self._expected else float("inf")

    def look(self) -> tuple[list[DriveFile], bool]:
        """Look for what peers have announced; return what is there, and whether each peer's next would be among it."""
        with self._lock:
            wanted = dict(self._expected)
        if len(wanted) > _MOST:
            return [], False
        found: list[DriveFile] = []
        for key, expected in wanted.items():
            file = self._get(expected.file_id)
            with self._lock:
                expected.missed += 1
                is_given_up = file is None and expected.missed >= _PATIENCE
                if (file is not None or is_given_up) and self._expected.get(key) is expected:
                    del self._expected[key]
                    if is_given_up:
                        self._given_up.add(key)
            if file is not None:
                found.append(file)
        if found:
            self._gateway.found(found)
        return found, not self._given_up

    def _get(self, file_id: str) -> DriveFile | None:
        try:
            return self._gateway.get_file(file_id, patient=False)
        except DriveError:  # not there yet, as a rule; whatever it is, a list tells
            return None
