"""The account that a command is about, as the environment and the option name it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from syft_flwr.cli.bill import tell_spending
from syft_flwr.drive.auth import load_credentials
from syft_flwr.drive.gateway import HttpDriveGateway
from syft_flwr.errors import ConfigurationError
from syft_flwr.runtime.sharing import account_budget, state_directory
from syft_flwr.settings import EMAIL_VARIABLE, Endpoint, Settings, load_email, load_endpoint, load_settings, state_root

_PATIENCE = 3.0
"""Seconds that the pauses within one call may take, with somebody before the screen."""


@dataclass(slots=True)
class Account:
    """An account: what is known of it from the start, and what the doctor's steps found out for later ones.

    Attributes:
        email: The account's address.
        endpoint: Which Drive.
        directory: The account's state directory.
        settings: As the environment has them.
        credentials: google-auth credentials, once they are loaded.
        gateway: The account's Drive, once it has answered.
        address: Whose account Drive says that it is, once it has.
        close: What ends what steps have opened.
    """

    email: str
    endpoint: Endpoint
    directory: Path
    settings: Settings
    credentials: Any = None
    gateway: Any = None
    address: str = ""
    close: list[Callable[[], None]] = field(default_factory=list)


def required_email(email: str | None) -> str:
    """Return the account's address.

    Raises:
        ConfigurationError: Neither the option nor the environment names one.
    """
    address = load_email(email)
    if address is None:
        raise ConfigurationError(f"no account: pass --email, or set {EMAIL_VARIABLE}")
    return address


def account_of(email: str | None) -> Account:
    """Return the account with its Drive, its state directory and its settings.

    Raises:
        ConfigurationError: No account is named, or the environment is wrong.
    """
    address, endpoint = required_email(email), load_endpoint()
    return Account(address, endpoint, state_directory(state_root(), address, endpoint.url), load_settings())


@contextmanager
def connected(account: Account) -> Iterator[HttpDriveGateway]:
    """Lend the account's Drive, within the account's budget, and say at the end what was spent.

    Raises:
        CredentialsError: There are none, or they can't be used.
    """
    account.credentials = load_credentials(account.endpoint, account.email)
    gateway = gateway_of(account)
    try:
        yield gateway
    finally:
        gateway.close()
        tell_spending(account.email, gateway.meter.snapshot().to_json())


def gateway_of(account: Account) -> HttpDriveGateway:
    """Return the account's Drive, made with its credentials; to be closed."""
    budget = account_budget(account.directory, account.settings)
    return HttpDriveGateway(account.endpoint, account.credentials, patience=_PATIENCE, budget=budget)
