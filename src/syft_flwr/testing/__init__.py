"""Public helpers for tests: a local Google Drive, one in memory, a relay of faults, clocks and recorded feeds.

The pytest plugin lives here, so nothing is imported before it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from drive_emulator import DriveEmulator, StoredFile
    from syft_flwr.recording import Recording
    from syft_flwr.recording.shrinking import shrink
    from syft_flwr.replay import Replay, ReplayEvent, replay
    from syft_flwr.testing.clock import ManualClock
    from syft_flwr.testing.memory_drive import MemoryDrive
    from syft_flwr.testing.regression import compare
    from syft_flwr.testing.relay import FaultRelay
    from syft_flwr.testing.runtimes import MemoryState, runtime_on
    from syft_flwr.testing.strategies import feeds

__all__ = [
    "DriveEmulator",
    "FaultRelay",
    "ManualClock",
    "MemoryDrive",
    "MemoryState",
    "Recording",
    "Replay",
    "ReplayEvent",
    "StoredFile",
    "compare",
    "feeds",
    "replay",
    "runtime_on",
    "shrink",
]

_HOMES = {
    "DriveEmulator": "drive_emulator",
    "FaultRelay": "syft_flwr.testing.relay",
    "ManualClock": "syft_flwr.testing.clock",
    "MemoryDrive": "syft_flwr.testing.memory_drive",
    "MemoryState": "syft_flwr.testing.runtimes",
    "Recording": "syft_flwr.recording",
    "Replay": "syft_flwr.replay",
    "ReplayEvent": "syft_flwr.replay",
    "StoredFile": "drive_emulator",
    "compare": "syft_flwr.testing.regression",
    "feeds": "syft_flwr.testing.strategies",
    "replay": "syft_flwr.replay",
    "runtime_on": "syft_flwr.testing.runtimes",
    "shrink": "syft_flwr.recording.shrinking",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
