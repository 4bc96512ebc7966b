"""What serving requests looks like, whatever carries them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

MessageHandler: TypeAlias = Callable[[bytes], bytes | str | None]
"""Takes a request's body and returns the reply: ``bytes``, ``str`` (sent as UTF-8), or ``None`` for no reply."""


class SyftFlwrEvents(ABC):
    """Serves requests with handlers."""

    @property
    @abstractmethod
    def client_email(self) -> str:
        """The account's address."""

    @property
    @abstractmethod
    def app_dir(self) -> Path:
        """The application's data directory."""

    @property
    @abstractmethod
    def is_running(self) -> bool:
        """Whether :meth:`run_forever` is running."""

    @abstractmethod
    def on_request(
        self, endpoint: str, handler: MessageHandler, auto_decrypt: bool = True, encrypt_reply: bool = False
    ) -> None:
        """Register a handler for an endpoint."""

    @abstractmethod
    def run_forever(self) -> None:
        """Serve until stopped."""

    @abstractmethod
    def stop(self) -> None:
        """Make :meth:`run_forever` return."""
