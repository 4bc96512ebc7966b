"""Drive's quota units: what each method costs, and a meter of what was spent.

Costs are those of https://developers.google.com/workspace/drive/api/guides/limits; where the page is silent
(``changes.list``, downloads) the dearer category is assumed.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

METHOD_UNITS: Mapping[str, int] = MappingProxyType(
    {
        "about.get": 5,
        "changes.getStartPageToken": 5,
        "changes.list": 100,
        "files.copy": 50,
        "files.create": 50,
        "files.delete": 50,
        "files.generateIds": 5,
        "files.get": 5,
        "files.get_media": 200,
        "files.list": 100,
        "files.update": 50,
        "permissions.create": 50,
        "uploads.put": 0,  # a piece of an upload, which its files.create has paid for
    }
)
"""Quota units of one call, by method; a method that is not listed costs :data:`OTHER_UNITS`."""

OTHER_UNITS = 5


def units_of(method: str) -> int:
    """Return the quota units that one call of the method costs."""
    return METHOD_UNITS.get(method, OTHER_UNITS)


@dataclass(frozen=True, slots=True)
class MethodUsage:
    """What the calls of one method came to. ``calls`` counts every attempt, ``retries`` those after the first."""

    calls: int
    units: int
    retries: int
    bytes_up: int
    bytes_down: int


@dataclass(frozen=True, slots=True)
class QuotaSnapshot:
    """What a process has spent up to one moment.

    Attributes:
        methods: The calls by method, as Drive names it.
        throttled: Calls that Drive refused, since the account or the project makes too many.
        waits: Seconds that calls and polls waited for the budget's ``minute`` or ``day``, or the share of ``polls``.
    """

    methods: Mapping[str, MethodUsage]
    throttled: int
    waits: Mapping[str, float] = field(default_factory=dict)

    @property
    def stretched(self) -> float:
        """Seconds that calls and polls waited to keep the budget, all together."""
        return sum(self.waits.values())

    @property
    def calls(self) -> int:
        """Attempts at calls, all together."""
        return sum(usage.calls for usage in self.methods.values())

    @property
    def units(self) -> int:
        """Quota units of them."""
        return sum(usage.units for usage in self.methods.values())

    def to_json(self) -> dict[str, Any]:
        """Return plain dicts and numbers, for ``json.dumps``."""
        return {
            "calls": self.calls,
            "units": self.units,
            "throttled": self.throttled,
            "stretched": self.stretched,
            "waits": dict(sorted(self.waits.items())),
            "methods": {method: asdict(usage) for method, usage in sorted(self.methods.items())},
        }


class QuotaMeter:
    """Counts the calls, units and body bytes of one account by method. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: Counter[str] = Counter()
        self._retries: Counter[str] = Counter()
        self._bytes_up: Counter[str] = Counter()
        self._bytes_down: Counter[str] = Counter()
        self._throttled = 0
        self._waits: defaultdict[str, float] = defaultdict(float)

    def book(self, method: str, *, retried: bool = False, bytes_up: int = 0, bytes_down: int = 0) -> None:
        """Count one attempt at a call; ``retried`` says that an earlier attempt of the same call failed."""
        with self._lock:
            self._calls[method] += 1
            self._retries[method] += retried
            self._bytes_up[method] += bytes_up
            self._bytes_down[method] += bytes_down

    def book_throttle(self) -> None:
        """Count one answer that asked this account to slow down."""
        with self._lock:
            self._throttled += 1

    def book_wait(self, seconds: float, reason: str) -> None:
        """Count seconds that a call or a poll waits to keep the budget."""
        with self._lock:
            self._waits[reason] += seconds

    @property
    def throttled(self) -> int:
        return self._throttled

    def calls(self) -> dict[str, int]:
        """Return the attempts by method."""
        with self._lock:
            return dict(self._calls)

    def units(self) -> dict[str, int]:
        """Return the quota units by method."""
        with self._lock:
            return {method: count * units_of(method) for method, count in self._calls.items()}

    def snapshot(self) -> QuotaSnapshot:
        with self._lock:
            return QuotaSnapshot(
                methods={
                    method: MethodUsage(
                        calls=count,
                        units=count * units_of(method),
                        retries=self._retries[method],
                        bytes_up=self._bytes_up[method],
                        bytes_down=self._bytes_down[method],
                    )
                    for method, count in self._calls.items()
                },
                throttled=self._throttled,
                waits=dict(self._waits),
            )
