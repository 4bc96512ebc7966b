"""The recordings that a runtime is making."""

from __future__ import annotations

from pathlib import Path

from syft_flwr.exchange.context import Exchange
from syft_flwr.feed.recording import GatewayTap, Recorder
from syft_flwr.runtime.cycle import FeedCycle


class Recorders:
    """Starts recordings, and ends them with the runtime.

    Args:
        exchange: The account's parts.
        cycle: Stands still while a recording begins, so that its start and its first poll fit together.
        tap: What passes between the account and Drive.
    """

    def __init__(self, exchange: Exchange, cycle: FeedCycle, tap: GatewayTap) -> None:
        self._x = exchange
        self._cycle = cycle
        self._tap = tap
        self._recorders: list[Recorder] = []

    def start(self, path: Path, *, bodies: bool, redact: bool) -> Recorder:
        """Begin a recording, or continue the one at ``path``."""
        with self._cycle.held() as token:
            start = {
                "token": token or self._x.ledger.cursor(),
                "folders": [folder.to_api() for folder in self._x.folders.known()],
                **self._x.ledger.snapshot(),
            }
            recorder = Recorder(
                path,
                self._tap,
                account=self._x.me,
                start=start,
                clock=self._x.clock,
                bodies=bodies,
                redact=redact,
                report=lambda error: self._x.streams.report("recording the feed", error),
            )
        self._recorders.append(recorder)
        return recorder

    def close(self) -> None:
        """End them all."""
        for recorder in self._recorders:
            recorder.close()
