"""The client abstraction that both transports share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any


class SyftFlwrClient(ABC):
    """A participant: its address and where its application data lives."""

    @property
    @abstractmethod
    def email(self) -> str:
        """The participant's e-mail address."""

    @property
    @abstractmethod
    def syftbox_folder(self) -> Path:
        """Root of all SyftBox data."""

    @property
    @abstractmethod
    def config_path(self) -> Path:
        """The client's configuration."""

    @property
    @abstractmethod
    def my_datasite(self) -> Path:
        """The participant's own datasite."""

    @property
    @abstractmethod
    def datasites(self) -> Path:
        """Directory of all datasites."""

    @abstractmethod
    def app_data(self, app_name: str | None = None, datasite: str | None = None) -> Path:
        """Return the application data directory of a datasite (default: one's own)."""

    @abstractmethod
    def get_client(self) -> Any:
        """Return the underlying native client."""
