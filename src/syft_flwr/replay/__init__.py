"""Recorded feeds played again: the same streams and handlers, no network, on any scheduler."""

from syft_flwr.replay.happenings import ReplayEvent
from syft_flwr.replay.recorded_drive import Upload
from syft_flwr.replay.replay import Replay, replay

__all__ = ["Replay", "ReplayEvent", "Upload", "replay"]
