"""The account that a command is about, as the environment and the option name it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from syft_flwr.cli.bill import tell_spending
from syft_flwr.cli.findings import Examination
from syft_flwr.drive.auth import load_credentials
from syft_flwr.drive.gateway import HttpDriveGateway
from syft_flwr.errors import ConfigurationError
from syft_flwr.runtime.sharing import account_budget, state_directory
from syft_flwr.settings import EMAIL_VARIABLE, load_email, load_endpoint, load_settings, state_root

_PATIENCE = 3.0
"""Seconds that the pauses within one call may take, with somebody before the screen."""


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


@contextmanager
def connected(exam: Examination) -> Iterator[HttpDriveGateway]:
    """Lend the account's Drive, within the account's budget, and say at the end what was spent.

    Raises:
        CredentialsError: There are none, or they can't be used.
    """
    exam.credentials = load_credentials(exam.endpoint, exam.email)
    gateway = gateway_of(exam)
    try:
        yield gateway
    finally:
        gateway.close()
        tell_spending(exam.email, gateway.meter.snapshot().to_json())


def gateway_of(exam: Examination) -> HttpDriveGateway:
    """Return the account's Drive, made with its credentials; to be closed."""
    budget = account_budget(exam.directory, exam.settings)
    return HttpDriveGateway(exam.endpoint, exam.credentials, patience=_PATIENCE, budget=budget)
