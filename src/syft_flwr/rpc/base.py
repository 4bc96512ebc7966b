"""What sending requests looks like, whatever carries them."""

from __future__ import annotations

from abc import ABC, abstractmethod


class SyftFlwrRpc(ABC):
    """Sends requests and collects their replies."""

    @abstractmethod
    def send(self, to_email: str, app_name: str, endpoint: str, body: bytes, encrypt: bool = False) -> str:
        """Send a request and return its future ID."""

    @abstractmethod
    def get_response(self, future_id: str) -> bytes | None:
        """Return the reply's body, or ``None`` while there is none."""

    @abstractmethod
    def delete_future(self, future_id: str) -> None:
        """Forget a future."""
