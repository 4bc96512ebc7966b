"""One account's feed and messages in this process."""

from typing import Any

from syft_flwr.runtime.handle import DriveRuntime

__all__ = ["DriveRuntime"]

_REPLAYS = ("Replay", "ReplayEvent", "replay")


def __getattr__(name: str) -> Any:
    """Find what moved to :mod:`syft_flwr.replay`, which stands above this package, under its old name."""
    if name in _REPLAYS:
        import importlib

        return getattr(importlib.import_module("syft_flwr.replay"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
