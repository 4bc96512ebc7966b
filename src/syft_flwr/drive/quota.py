"""Drive's quota units: what each method costs, and a meter of what was spent.

Costs are those of https://developers.google.com/workspace/drive/api/guides/limits; where the page is silent
(``changes.list``, downloads) the dearer category is assumed.
"""

from __future__ import annotations

import threading
import time
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
class Saving:
    """What was not needed: how often, and the quota units and bytes that it would have cost."""

    times: int = 0
    units: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class QuotaSnapshot:
    """What a process has spent up to one moment.

    Attributes:
        methods: The calls by method, as Drive names it.
        throttled: Calls that Drive refused, since the account or the project makes too many.
        waits: Seconds that calls and polls waited for the budget's ``minute`` or ``day``, or the share of ``polls``.
        savings: What ``peeks`` saved in lists, ``inlined bodies`` in downloads, ``shared objects`` in uploads,
            and ``kept objects``, which owners need not fetch again, in downloads.
        seconds: How long the process has counted.
    """

    methods: Mapping[str, MethodUsage]
    throttled: int
    waits: Mapping[str, float] = field(default_factory=dict)
    savings: Mapping[str, Saving] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def saved(self) -> int:
        """Quota units that were not needed."""
        return sum(saving.units for saving in self.savings.values())

    @property
    def a_day(self) -> int:
        """Quota units that a day comes to at this pace."""
        return round(self.units * 86_400 / max(self.seconds, 1.0))

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
            "saved": self.saved,
            "savings": {name: asdict(saving) for name, saving in sorted(self.savings.items())},
            "seconds": round(self.seconds, 3),
            "a_day": self.a_day,
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
        self._savings: defaultdict[str, Saving] = defaultdict(Saving)
        self._began = time.monotonic()
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

    def book_saving(self, saving: str, units: int, size: int) -> None:
        """Count what was not needed."""
        with self._lock:
            before = self._savings[saving]
            self._savings[saving] = Saving(before.times + 1, before.units + units, before.bytes + size)

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
                savings=dict(self._savings),
                seconds=time.monotonic() - self._began,
            )
