"""Every tunable, with its unit and default; the only reader of the environment.

The environment is read when something opens, never at import.
"""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, TypedDict, cast
from urllib.parse import urlsplit

import platformdirs

from syft_flwr.errors import ConfigurationError, InvalidNameError
from syft_flwr.suggestions import near_match
from syft_flwr.wire import validate_address

EMAIL_VARIABLE = "SYFTBOX_EMAIL"
"""This account's address."""
TOKEN_VARIABLE = "GDRIVE_TOKEN_PATH"  # noqa: S105 - the name of a variable, not a secret
"""An authorized-user token file, or a service account's key file; comes before a log-in."""
EMULATOR_VARIABLE = "DRIVE_EMULATOR_HOST"
"""``host:port`` of a local Drive to use instead of Google's.

Without a token file the account's address is its token, and a token of Google's is never sent there.
"""
REMOTE_VARIABLE = "DRIVE_EMULATOR_READABLE_BY_THE_NETWORK"
"""``yes`` lets ``DRIVE_EMULATOR_HOST`` name another machine, with which all is exchanged in the clear."""
STATE_VARIABLE = "SYFT_FLWR_STATE_DIR"
"""Where state is kept, one directory per account; by default the platform's directory for state."""
TIMEOUT_VARIABLE = "SYFT_FLWR_MSG_TIMEOUT"
INTERVAL_VARIABLE = "SYFT_FLWR_POLL_INTERVAL"
MINUTE_VARIABLE = "SYFT_FLWR_QUOTA_PER_MINUTE"
DAY_VARIABLE = "SYFT_FLWR_QUOTA_PER_DAY"
ALLOWED_VARIABLE = "SYFT_FLWR_ALLOWED_SENDERS"
"""Addresses that may send requests, with commas between them, where a handler or a pipeline is given none."""
RECORD_VARIABLE = "SYFT_FLWR_RECORD_DIR"
"""A directory in which every process records its feed, bodies included; one file for each account and process."""
LOG_FORMAT_VARIABLE = "SYFT_FLWR_LOG_FORMAT"
"""``text`` or ``json``: how log lines are written, Flower's too."""
DATA_VARIABLE = "DATA_DIR"
"""Where the data of a ``main.py``'s data owner lie, for apps of existing projects; readable in a sandbox."""
OUTPUT_VARIABLE = "OUTPUT_DIR"
"""Where the results of a ``main.py``'s aggregator go; ServerApps of existing projects read it, too."""

VARIABLES = {
    "poll_interval": INTERVAL_VARIABLE,
    "message_timeout": TIMEOUT_VARIABLE,
    "quota_units_per_minute": MINUTE_VARIABLE,
    "quota_units_per_day": DAY_VARIABLE,
}
"""The settings that have a variable in the environment."""

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}

GOOGLE_URL = "https://www.googleapis.com"

_LARGEST = 2.0**62
"""Above this a number is taken for a mistake, and system calls refuse it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a runtime behaves. Durations are seconds, sizes bytes."""

    poll_interval: float = 2.0
    """Pause between polls while messages flow or futures wait; less right after a request or a run's reply."""
    max_poll_interval: float | None = None
    """Longest pause when all is quiet; ``None`` keeps ``poll_interval`` always."""
    sweep_interval: float = 60.0
    """Pause between sweeps; adapts to how reliable the feed proves, from a quarter to twenty-four times this."""
    quota_units_per_minute: int | None = None
    """Hard budget of Drive quota units in any 60 seconds, for all processes of the account together."""
    quota_units_per_day: int | None = None
    """Likewise for a day, which ends at midnight Pacific time."""
    max_processed_requests: int = 10_000
    """Processed files to remember, a row each; older ones are covered by a watermark per inbox folder.

    Those of the two minutes before the last sweep, and those since, are kept beyond the limit.
    """
    max_message_size: int = 512 * 1024**2
    """Largest body to take; larger ones are rejected unread.

    A handler has one body in memory for each request that it works on; five more wait on disk for each endpoint.
    """
    message_timeout: float = 120.0
    """How long ``wait`` waits unless told otherwise."""
    inline_bodies: bool = True
    """Whether small bodies are written into the files' properties as well, which saves their readers the download."""
    cleanup: bool = True
    """Whether to delete message files of one's own when nobody needs them any more."""
    cleanup_expiry: float = 86_400.0
    """Age at which a reply, an answer that was not forgotten, or a request that no handler takes, is given up."""
    cleanup_interval: float = 86_400.0
    """Pause between looks for expired files."""
    max_connections: int = 8
    """Transfers (uploads, downloads) under way at once."""
    lane_capacity: int = 16
    """Requests of one endpoint that a process takes ahead; the others wait in the journal, for whoever is free."""
    max_attempts: int = 3
    """Times a request may crash the process before it gets an error reply."""


class MoreSettings(TypedDict, total=False):
    """Those settings that are parameters of no documented class; ``None`` stands for the default."""

    sweep_interval: float | None
    quota_units_per_minute: int | None
    quota_units_per_day: int | None
    max_message_size: int | None
    message_timeout: float | None
    inline_bodies: bool | None
    cleanup: bool | None
    cleanup_expiry: float | None
    cleanup_interval: float | None
    max_connections: int | None
    lane_capacity: int | None
    max_attempts: int | None


class SettingsDict(MoreSettings, total=False):
    """All of :class:`Settings` as keyword arguments, for type checkers; ``None`` stands for the default."""

    poll_interval: float | None
    max_poll_interval: float | None
    max_processed_requests: int | None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Which Drive to talk to, and as whom; what a runtime is bound to."""

    url: str
    token_path: Path | None
    is_emulator: bool


def load_settings(**overrides: Any) -> Settings:
    """Return the defaults, overlaid by the environment, overlaid by arguments that are not ``None``.

    Raises:
        ConfigurationError: A value is not what its setting takes (a positive number, a positive whole number, or
            for switches a boolean), or there is no such setting; the message names its source.
    """
    values: dict[str, Any] = {}
    defaults = Settings()
    for name, variable in VARIABLES.items():
        if text := os.environ.get(variable):
            is_float = isinstance(getattr(defaults, name), float)
            values[name] = _positive(_number(text), variable) if is_float else _whole(_whole_number(text), variable)
    names = {setting.name for setting in fields(Settings)}
    for name, value in overrides.items():
        if name not in names:
            raise ConfigurationError(f"there is no setting {name!r}{near_match(name, names)}")
        if value is not None:
            values[name] = _checked(value, name, like=getattr(defaults, name))
    return replace(defaults, **values)


def parse_duration(text: str, source: str) -> float:
    """Read a duration such as ``"90s"``, ``"30m"``, ``"12h"``, ``"1d"`` or ``"2w"``; return seconds.

    Raises:
        ConfigurationError: It is none; the message names its source.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhdw])\s*", text)
    if match is None:
        raise ConfigurationError(f"{source} must be a number with a unit s, m, h, d or w, such as '1d'; it is {text!r}")
    return _positive(float(match[1]), source) * _UNITS[match[2]]


def load_endpoint() -> Endpoint:
    """Read which Drive to use: the emulator that ``DRIVE_EMULATOR_HOST`` names, else Google's.

    Raises:
        ConfigurationError: ``DRIVE_EMULATOR_HOST`` is not ``host:port``, or the token's path names an unknown user.
    """
    token = os.environ.get(TOKEN_VARIABLE)
    token_path = _path(token, TOKEN_VARIABLE) if token else None
    host = os.environ.get(EMULATOR_VARIABLE)
    if not host:
        return Endpoint(GOOGLE_URL, token_path, is_emulator=False)
    if not _is_host_and_port(host):
        raise ConfigurationError(f"{EMULATOR_VARIABLE} must be host:port, for example 127.0.0.1:8085; it is {host!r}")
    if not is_loopback(f"http://{host}") and os.environ.get(REMOTE_VARIABLE) != "yes":
        raise ConfigurationError(
            f"{EMULATOR_VARIABLE} names {host}, which is not this machine: everything would go there readable and "
            f"alterable by the network. For an emulator in a network of your own, set {REMOTE_VARIABLE}=yes"
        )
    return Endpoint(f"http://{host}", token_path, is_emulator=True)


def is_loopback(url: str) -> bool:
    """Tell whether an address is this machine's own, by its name alone."""
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def load_email(email: str | None = None) -> str | None:
    """Return the account's address: the argument, else ``SYFTBOX_EMAIL``, else ``None``.

    Raises:
        InvalidNameError: It is no e-mail address.
    """
    if email:
        return validate_address(email)
    address = os.environ.get(EMAIL_VARIABLE)
    try:
        return validate_address(address) if address else None
    except InvalidNameError as error:
        raise InvalidNameError(f"{EMAIL_VARIABLE}: {error}") from error


def load_allowed_senders() -> list[str]:
    """Return the addresses in ``SYFT_FLWR_ALLOWED_SENDERS``, which commas separate; empty when it is not set.

    Raises:
        InvalidNameError: One of them is no e-mail address.
    """
    texts = os.environ.get(ALLOWED_VARIABLE, "").split(",")
    return [validate_address(text) for text in texts if text.strip()]


def state_root() -> Path:
    """Return the directory that holds one state directory per account; absolute.

    Raises:
        ConfigurationError: ``SYFT_FLWR_STATE_DIR`` starts with the home of an unknown user, or names a file.
    """
    if text := os.environ.get(STATE_VARIABLE):
        path = _path(text, STATE_VARIABLE)
        if (in_the_way := next((each for each in (path, *path.parents) if each.exists()), path)).is_file():
            raise ConfigurationError(f"{STATE_VARIABLE} names a file, {in_the_way}; name a directory")
        return path
    return platformdirs.user_state_path("syft-flwr")


def login_root() -> Path:
    """Return the directory that holds the tokens of the accounts logged in on this machine."""
    return platformdirs.user_config_path("syft-flwr") / "tokens"


def record_directory() -> Path | None:
    """Return the directory in which every runtime is to record its feed (``SYFT_FLWR_RECORD_DIR``), if there is one.

    Raises:
        ConfigurationError: It starts with the home of an unknown user.
    """
    path = os.environ.get(RECORD_VARIABLE)
    return _path(path, RECORD_VARIABLE) if path else None


def log_format() -> Literal["text", "json"]:
    """Return how log lines are written.

    Raises:
        ConfigurationError: ``SYFT_FLWR_LOG_FORMAT`` is neither ``text`` nor ``json``.
    """
    text = os.environ.get(LOG_FORMAT_VARIABLE) or "text"
    if text not in ("text", "json"):
        raise ConfigurationError(f"{LOG_FORMAT_VARIABLE} must be text or json; it is {text!r}")
    return cast(Literal["text", "json"], text)


def output_directory() -> Path | None:
    """Return the directory that an aggregator's results are to go to (``OUTPUT_DIR``), if there is one.

    Raises:
        ConfigurationError: It starts with the home of an unknown user.
    """
    path = os.environ.get(OUTPUT_VARIABLE)
    return _path(path, OUTPUT_VARIABLE) if path else None


def _checked(value: Any, source: str, *, like: object) -> Any:
    """Return the value if it is of its default's kind; the two without a default are a duration and a count."""
    if isinstance(like, bool):
        if not isinstance(value, bool):
            raise ConfigurationError(f"{source} must be true or false; it is {value!r}")
        return value
    if isinstance(like, float) or source == "max_poll_interval":
        return float(_positive(value, source))
    return _whole(value, source)


def _whole(value: Any, source: str) -> int:
    number = _positive(value, source)
    if not isinstance(number, int):
        raise ConfigurationError(f"{source} must be a whole number; it is {value!r}")
    return number


def _positive(value: Any, source: str) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 < value <= _LARGEST:
        raise ConfigurationError(f"{source} must be a positive number; it is {value!r}")
    return value  # type: ignore[no-any-return]  # checked above


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


def _whole_number(text: str) -> Any:
    try:
        return int(text)
    except ValueError:
        return text


def _path(text: str, variable: str) -> Path:
    try:
        return Path(text).expanduser().absolute()
    except (RuntimeError, ValueError) as error:  # no such home
        raise ConfigurationError(f"{variable} is no path: {error}") from error


def _is_host_and_port(text: str) -> bool:
    try:
        parts = urlsplit(f"http://{text}")
        port = parts.port
    except ValueError:
        return False
    plain = text.isascii() and not any(c.isspace() for c in text) and parts.netloc == text
    return plain and bool(parts.hostname) and bool(port) and "@" not in text
