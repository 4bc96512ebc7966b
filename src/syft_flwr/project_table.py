"""The table ``[tool.syft_flwr]`` of a Flower project's ``pyproject.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from syft_flwr.errors import ConfigurationError
from syft_flwr.suggestions import near_match

PROJECT_KEYS = {
    "app_name": "The app's name on the wire.",
    "aggregator": "The aggregator's address.",
    "datasites": "The data owners' addresses.",
    "transport": "``p2p``, the one that this package serves.",
    "written": "Directories in the project that its app writes into; a consent covers only the code in them.",
    "quota_units_per_minute": "",
    "quota_units_per_day": "",
}
"""What ``[tool.syft_flwr]`` of a project may hold, and what it means where no setting tells it."""


def load_project(project_dir: Path) -> Mapping[str, Any]:
    """Return the ``[tool.syft_flwr]`` table of a project's ``pyproject.toml``; empty when there is none.

    Raises:
        ConfigurationError: The file is not valid TOML, or the table is not a table.
    """
    path = project_dir / "pyproject.toml"
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"can't read {path}: {error}") from error
    tools = document.get("tool", {})
    table = tools.get("syft_flwr", {}) if isinstance(tools, dict) else tools
    if not isinstance(table, dict):
        raise ConfigurationError(f"[tool.syft_flwr] in {path} must be a table")
    for key in table:
        # What is like none of ours is another program's.
        if key not in PROJECT_KEYS and (meant := near_match(key, PROJECT_KEYS, likeness=0.8)):
            raise ConfigurationError(f"[tool.syft_flwr] in {path} has no key {key}{meant}")
    return table
