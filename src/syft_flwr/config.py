"""Reads a Flower project's ``pyproject.toml``, as the ``main.py`` of existing P2P projects does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


def load_flwr_pyproject(path: str | os.PathLike[str], check_module: bool = True) -> dict[str, Any]:
    """Return the content of a Flower project's ``pyproject.toml``.

    Args:
        path: The project's directory, or the file itself.
        check_module: Whether the modules that hold the apps must exist; nothing is imported.

    Raises:
        FlowerError: Flower finds it invalid; the message says why.
    """
    from syft_flwr.flower.project import load_document

    place = Path(path).expanduser().absolute()
    return load_document(place.parent if place.name == "pyproject.toml" else place, check_module=check_module)
