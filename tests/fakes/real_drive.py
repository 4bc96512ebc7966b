"""Google Drive itself as one of the Drives that tests ask, where two accounts' logins are given.

SYFT_FLWR_TEST_REAL_DRIVE names two authorized-user token files, separated by a colon.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from drive_emulator import DriveEmulator

TOKENS = [path for path in os.environ.get("SYFT_FLWR_TEST_REAL_DRIVE", "").split(":") if path]


@dataclass(frozen=True)
class Cost:
    """What a suite costs at most; on the emulator it is counted."""

    calls: int
    units: int
    megabytes: int

    def __str__(self) -> str:
        return f"{self.calls:,} calls, {self.units:,} quota units, {self.megabytes} MB"

    def check(self, emulator: DriveEmulator) -> None:
        used = [usage for methods in emulator.stats().values() for usage in methods.values()]
        assert sum(usage["calls"] for usage in used) <= self.calls
        assert sum(usage["units"] for usage in used) <= self.units
        assert sum(usage["bytes_in"] + usage["bytes_out"] for usage in used) <= self.megabytes * 1_000_000


COSTS = {"facts": Cost(200, 10_000, 1), "gateway contract": Cost(300, 13_000, 85)}
