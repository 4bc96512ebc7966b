"""Recorded feeds: what Drive showed one account, as JSON Lines, and the way back from there.

A recording is a header and then one line for each exchange with Drive, in the order in which they happened. Its format
is described in :mod:`syft_flwr.recording.entries`.
"""

from syft_flwr.recording.entries import Entry, Header
from syft_flwr.recording.reader import Recording, read_recording
from syft_flwr.recording.recorder import Recorder
from syft_flwr.recording.tap import GatewayTap

__all__ = ["Entry", "GatewayTap", "Header", "Recorder", "Recording", "read_recording"]
