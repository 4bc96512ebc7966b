"""The account that a command is about, as the environment and the option name it."""

from __future__ import annotations

from syft_flwr.cli.findings import Examination
from syft_flwr.errors import ConfigurationError
from syft_flwr.runtime.sharing import state_directory
from syft_flwr.settings import EMAIL_VARIABLE, load_email, load_endpoint, load_settings, state_root


def required_email(email: str | None) -> str:
    """Return the account's address.

    Raises:
        ConfigurationError: Neither the option nor the environment names one.
    """
    address = load_email(email)
    if address is None:
        raise ConfigurationError(f"no account: pass --email, or set {EMAIL_VARIABLE}")
    return address


def account_of(email: str | None) -> Examination:
    """Return the account with its Drive, its state directory and its settings.

    Raises:
        ConfigurationError: No account is named, or the environment is wrong.
    """
    address, endpoint = required_email(email), load_endpoint()
    return Examination(address, endpoint, state_directory(state_root(), address, endpoint.url), load_settings())
