"""Begin a recording of what passes between an account and Drive."""

from __future__ import annotations

from pathlib import Path

from syft_flwr.recording import Recorder
from syft_flwr.runtime.engine import Engine

RECORDING = "recording the feed"
"""Where an error happened that ended a recording."""


def start_recording(engine: Engine, path: Path, *, bodies: bool, redact: bool) -> Recorder:
    """Begin a recording, or continue the one at ``path``; it ends with the engine at the latest.

    No poll happens meanwhile, so that its start and its first poll fit together.

    Raises:
        RecordingError: The file can't be written, or is no recording that can be continued.
        ConfigurationError: Both ``bodies`` and ``redact``.
    """
    parts = engine.parts
    with engine.follower.held() as token:
        start = {
            "token": token or parts.ledger.position.token(),
            "folders": [folder.to_api() for folder in parts.folders.known()],
            **parts.ledger.snapshot(),
        }
        recorder = Recorder(
            path,
            parts.gateway,
            account=parts.me,
            start=start,
            clock=parts.clock,
            bodies=bodies,
            redact=redact,
            report=lambda error: parts.streams.report(RECORDING, error),
        )
    engine.resources.callback(recorder.close)
    return recorder
