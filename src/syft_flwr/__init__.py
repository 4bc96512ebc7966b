"""Federated learning with Flower over Google Drive.

Importing this package imports neither Flower nor the Google client; names are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from syft_flwr.flower.bootstrap import bootstrap
    from syft_flwr.run import run

__all__ = ["bootstrap", "run"]


def __getattr__(name: str) -> Any:
    if name == "bootstrap":
        from syft_flwr.flower.bootstrap import bootstrap

        return bootstrap
    if name == "run":
        from importlib import import_module

        return import_module("syft_flwr.run")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
