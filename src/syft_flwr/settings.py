"""Every tunable, with its unit and default; the only reader of the environment and of ``[tool.syft_flwr]``.

The environment is read when something opens, never at import.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import platformdirs

from syft_flwr.errors import ConfigurationError
from syft_flwr.wire import validate_address

EMAIL_VARIABLE = "SYFTBOX_EMAIL"
TOKEN_VARIABLE = "GDRIVE_TOKEN_PATH"  # noqa: S105 - the name of a variable, not a secret
EMULATOR_VARIABLE = "DRIVE_EMULATOR_HOST"
STATE_VARIABLE = "SYFT_FLWR_STATE_DIR"
TIMEOUT_VARIABLE = "SYFT_FLWR_MSG_TIMEOUT"
INTERVAL_VARIABLE = "SYFT_FLWR_POLL_INTERVAL"

GOOGLE_URL = "https://www.googleapis.com"


@dataclass(frozen=True, slots=True)
class Settings:
    """How a runtime behaves. Durations are seconds, sizes bytes."""

    poll_interval: float = 2.0
    """Pause between polls while messages flow or futures wait."""
    max_poll_interval: float | None = None
    """Longest pause when all is quiet; ``None`` keeps ``poll_interval`` always."""
    sweep_interval: float = 60.0
    """Pause between sweeps; adapts to how reliable the feed proves, from a quarter to eight times this."""
    quota_units_per_minute: int | None = None
    """Hard budget of Drive quota units in any 60 seconds; ``None`` for no budget."""
    max_processed_requests: int = 10_000
    """Processed request IDs to remember; older ones are covered by a watermark per inbox folder."""
    max_message_size: int = 2 * 1024**3
    """Largest body to take; larger ones are rejected unread."""
    message_timeout: float = 120.0
    """How long ``wait`` waits unless told otherwise."""
    cleanup: bool = True
    """Whether to delete message files of one's own when nobody needs them any more."""
    cleanup_expiry: float = 86_400.0
    """Age at which a reply, or a request for an unknown endpoint, is given up."""
    cleanup_interval: float = 86_400.0
    """Pause between looks for expired files."""
    max_connections: int = 8
    """Transfers (uploads, downloads) under way at once."""
    lane_capacity: int = 1_000
    """Messages kept in memory for one endpoint; further ones wait in the ledger."""
    max_attempts: int = 3
    """Times a request may crash the process before it gets an error reply."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Which Drive to talk to, and as whom; what a runtime is bound to."""

    url: str
    token_path: Path | None
    is_emulator: bool


def load_settings(**overrides: Any) -> Settings:
    """Return the defaults, overlaid by the environment, overlaid by arguments that are not ``None``.

    Raises:
        ConfigurationError: A value is no positive number; the message names its source.
    """
    values: dict[str, Any] = {}
    for name, variable in (("poll_interval", INTERVAL_VARIABLE), ("message_timeout", TIMEOUT_VARIABLE)):
        if text := os.environ.get(variable):
            values[name] = _positive(text, variable)
    values |= {name: value for name, value in overrides.items() if value is not None}
    for name, value in values.items():
        if name != "cleanup":
            _positive(value, name)
    return replace(Settings(), **values)


def load_endpoint() -> Endpoint:
    """Read which Drive to use: the emulator that ``DRIVE_EMULATOR_HOST`` names, else Google's.

    Raises:
        ConfigurationError: ``DRIVE_EMULATOR_HOST`` is not ``host:port``.
    """
    token = os.environ.get(TOKEN_VARIABLE)
    token_path = Path(token).expanduser() if token else None
    host = os.environ.get(EMULATOR_VARIABLE)
    if not host:
        return Endpoint(GOOGLE_URL, token_path, is_emulator=False)
    name, _, port = host.rpartition(":")
    if not name or not port.isdecimal() or "/" in host:
        raise ConfigurationError(f"{EMULATOR_VARIABLE} must be host:port, for example 127.0.0.1:8085; it is {host!r}")
    return Endpoint(f"http://{host}", token_path, is_emulator=True)


def load_email(email: str | None = None) -> str | None:
    """Return the account's address: the argument, else ``SYFTBOX_EMAIL``, else ``None``."""
    address = email or os.environ.get(EMAIL_VARIABLE)
    return validate_address(address) if address else None


def state_root() -> Path:
    """Return the directory that holds one state directory per account."""
    if path := os.environ.get(STATE_VARIABLE):
        return Path(path).expanduser()
    return platformdirs.user_state_path("syft-flwr")


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
    table = document.get("tool", {}).get("syft_flwr", {})
    if not isinstance(table, dict):
        raise ConfigurationError(f"[tool.syft_flwr] in {path} must be a table")
    return table


def _positive(value: Any, source: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = -1.0
    if not 0 < number < float("inf"):
        raise ConfigurationError(f"{source} must be a positive number; it is {value!r}")
    return number
