"""The client of the peer-to-peer transport: an address; everything else lives in Drive."""

from __future__ import annotations

from pathlib import Path

from syft_flwr.client.base import SyftFlwrClient
from syft_flwr.settings import EMAIL_VARIABLE, load_email
from syft_flwr.wire import SYFTBOX_FOLDER, validate_address


class SyftP2PClient(SyftFlwrClient):
    """A participant known by its Google account alone.

    All paths are logical: they name places in Drive, and no such file need exist on this machine.

    Args:
        email: The account's address.

    Raises:
        InvalidNameError: ``email`` is no e-mail address.
    """

    def __init__(self, email: str) -> None:
        self._email = validate_address(email)

    @classmethod
    def from_env(cls) -> SyftP2PClient:
        """Create a client for the account that ``SYFTBOX_EMAIL`` names.

        Raises:
            ValueError: ``SYFTBOX_EMAIL`` is not set.
        """
        email = load_email()
        if email is None:
            raise ValueError(f"{EMAIL_VARIABLE} is not set: set it to the account's e-mail address")
        return cls(email)

    @property
    def email(self) -> str:
        return self._email

    @property
    def syftbox_folder(self) -> Path:
        return Path(SYFTBOX_FOLDER)

    @property
    def config_path(self) -> Path:
        return self.syftbox_folder / ".config"

    @property
    def my_datasite(self) -> Path:
        return self.syftbox_folder / self._email

    @property
    def datasites(self) -> Path:
        return self.syftbox_folder

    def app_data(self, app_name: str | None = None, datasite: str | None = None) -> Path:
        path = self.syftbox_folder / (datasite or self._email) / "app_data"
        return path / app_name if app_name else path

    def get_client(self) -> SyftP2PClient:
        return self
