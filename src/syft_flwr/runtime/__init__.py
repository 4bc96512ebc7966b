"""One account's feed and messages in this process, live or replayed."""

from syft_flwr.runtime.recorded import Replay, ReplayEvent, replay
from syft_flwr.runtime.runtime import DriveRuntime

__all__ = ["DriveRuntime", "Replay", "ReplayEvent", "replay"]
