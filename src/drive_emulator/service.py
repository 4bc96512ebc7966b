"""What the handlers work with: the Drive, its callers, the meter and the faults."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from drive_emulator.drive import Drive
from drive_emulator.faults import Faults
from drive_emulator.quota import Meter
from drive_emulator.tokens import Tokens


@dataclass(frozen=True, slots=True)
class Service:
    """One emulator's parts."""

    drive: Drive
    tokens: Tokens
    meter: Meter = field(default_factory=Meter)
    faults: Faults = field(default_factory=Faults)

    @classmethod
    def open(cls, data: Path | None = None, *, secret_tokens: bool = False) -> Service:
        """Open the Drive in a directory, or in memory; addresses are tokens unless those are to be secret.

        Raises:
            EmulatorError: The directory can't be used.
        """
        drive = Drive(data)
        return cls(drive, Tokens(drive.database, drive.accounts, drive.clock.time, are_secret=secret_tokens))

    def close(self) -> None:
        self.drive.close()
