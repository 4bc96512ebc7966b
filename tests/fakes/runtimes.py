"""Handlers on runtimes that a test puts together."""

from __future__ import annotations

from syft_flwr.exchange.routes import Route
from syft_flwr.runtime import DriveRuntime
from syft_flwr.runtime.handle import engine_of
from syft_flwr.testing import MemoryState as State
from syft_flwr.testing import runtime_on


def serve(runtime: DriveRuntime, *routes: Route, known_senders: tuple[str, ...] = ()) -> None:
    """Let handlers answer on a runtime, as ``P2PFileEvents`` does."""
    for route in routes:
        engine_of(runtime).serve(route, known_senders=known_senders)


__all__ = ["State", "runtime_on", "serve"]
