"""What calls cost in Drive's quota units, who made them, and how many an account may make a minute."""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass
from typing import Any

# https://developers.google.com/workspace/drive/api/guides/limits: read 5, list 100, download 200, edit 50, other 5.
UNITS = {
    "about.get": 5,
    "changes.getStartPageToken": 5,
    "changes.list": 100,
    "drives.get": 5,
    "drives.list": 100,
    "files.copy": 50,
    "files.create": 50,
    "files.delete": 50,
    "files.emptyTrash": 50,
    "files.export": 200,
    "files.generateIds": 5,
    "files.get": 5,
    "files.get_media": 200,
    "files.list": 100,
    "files.update": 50,
    "permissions.create": 50,
    "permissions.delete": 50,
    "permissions.get": 5,
    "permissions.list": 100,
    "permissions.update": 50,
    "revisions.get": 5,
    "revisions.get_media": 200,
    "revisions.list": 100,
}
"""Quota units of each method; ``get_media`` is ``get`` with ``alt=media``. Pieces of an upload and the batch call
itself cost nothing: the session's first request and the calls within the batch are counted."""

_LOG_LENGTH = 100_000
_LOG_BYTES = 32 * 1024 * 1024
_ENTRY_BYTES = 400
"""What an entry takes beside its path and query."""


@dataclass(slots=True)
class Usage:
    """What one account used of one method; sizes are bytes of the bodies."""

    calls: int = 0
    units: int = 0
    errors: int = 0
    bytes_in: int = 0
    bytes_out: int = 0


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """One request. ``time`` is Unix time, ``status`` 0 when the connection was broken off instead of an answer."""

    time: float
    account: str
    method: str
    status: int
    units: int
    path: str
    query: str
    bytes_in: int
    bytes_out: int

    @property
    def weight(self) -> int:
        """Return about how many bytes of memory the entry takes."""
        return _ENTRY_BYTES + len(self.path) + len(self.query)


class Meter:
    """Counts calls and keeps the log of the newest: 100,000 at most, in 32 MiB at most."""

    def __init__(self) -> None:
        self._usage: dict[str, dict[str, Usage]] = {}
        self._log: deque[LoggedRequest] = deque()
        self._weight = 0

    def book(self, request: LoggedRequest) -> None:
        usage = self._usage.setdefault(request.account, {}).setdefault(request.method, Usage())
        usage.calls += 1
        usage.units += request.units
        usage.errors += not 200 <= request.status < 400
        usage.bytes_in += request.bytes_in
        usage.bytes_out += request.bytes_out
        self._log.append(request)
        self._weight += request.weight
        while self._weight > _LOG_BYTES or len(self._log) > _LOG_LENGTH:
            self._weight -= self._log.popleft().weight

    def stats(self) -> dict[str, dict[str, dict[str, int]]]:
        """Return the usage by account, then by method."""
        return {
            account: {method: asdict(usage) for method, usage in sorted(methods.items())}
            for account, methods in sorted(self._usage.items())
        }

    def requests(self) -> list[dict[str, Any]]:
        return [asdict(request) for request in self._log]

    def clear(self) -> None:
        self._usage.clear()
        self._log.clear()
        self._weight = 0


class RateLimiter:
    """A budget of units a minute for each account; a minute starts with the first request after the one before."""

    def __init__(self) -> None:
        self._spent: dict[str, tuple[float, int]] = {}

    def spend(self, account: str, units: int, limit: int, now: float) -> bool:
        """Take the units from the account's budget, or return ``False`` when they would exceed it."""
        since, spent = self._spent.get(account, (now, 0))
        if now >= since + 60:
            since, spent = now, 0
        if spent + units > limit:
            return False
        self._spent[account] = since, spent + units
        return True

    def clear(self) -> None:
        self._spent.clear()
