"""What the doctor's steps share: the account under examination, and what a step finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from syft_flwr.settings import Endpoint, Settings

Standing = Literal["ok", "warning", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a step found, and unless all is well, what to do next."""

    standing: Standing
    found: str
    advice: str = ""


def ok(found: str) -> Finding:
    return Finding("ok", found)


def warning(found: str, advice: str) -> Finding:
    return Finding("warning", found, advice)


def failed(found: str, advice: str) -> Finding:
    return Finding("failed", found, advice)


@dataclass(slots=True)
class Examination:
    """An account under examination: what is known of it from the start, and what steps found out for later ones.

    Attributes:
        email: The account's address.
        endpoint: Which Drive.
        directory: The account's state directory.
        settings: As the environment has them.
        credentials: google-auth credentials, once they are loaded.
        gateway: The account's Drive, once it has answered.
        address: Whose account Drive says that it is, once it has.
    """

    email: str
    endpoint: Endpoint
    directory: Path
    settings: Settings
    credentials: Any = None
    gateway: Any = None
    address: str = ""
    close: list[Callable[[], None]] = field(default_factory=list)
