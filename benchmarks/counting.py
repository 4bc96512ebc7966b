"""What calls cost, by the emulator's own counters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from drive_emulator import DriveEmulator


@dataclass
class Cost:
    """Calls, units and the bytes of bodies, from the accounts to Drive and back."""

    calls: int = 0
    units: int = 0
    up: int = 0
    down: int = 0
    methods: dict[str, int] = field(default_factory=dict)
    """Calls by method."""


@contextmanager
def counted(drive: DriveEmulator, *accounts: str) -> Iterator[Cost]:
    """Count what the accounts, or all, call in the block."""
    drive.clear_log()
    cost = Cost()
    yield cost
    for account, methods in drive.stats().items():
        if not accounts or account in accounts:
            for method, usage in methods.items():
                cost.methods[method] = cost.methods.get(method, 0) + usage["calls"]
                cost.calls += usage["calls"]
                cost.units += usage["units"]
                cost.up += usage["bytes_in"]
                cost.down += usage["bytes_out"]
