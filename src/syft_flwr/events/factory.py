"""Choose the events watcher for a client."""

from __future__ import annotations

from syft_flwr.client import SyftFlwrClient, SyftP2PClient, create_client
from syft_flwr.errors import ConfigurationError
from syft_flwr.events.base import SyftFlwrEvents
from syft_flwr.events.p2p import DEFAULT_POLL_INTERVAL, P2PFileEvents
from syft_flwr.senders import AllowedSenders
from syft_flwr.settings import parse_duration


def create_events_watcher(
    app_name: str,
    client: SyftFlwrClient | None = None,
    cleanup_expiry: str = "1d",
    cleanup_interval: str = "1d",
    poll_interval: float = DEFAULT_POLL_INTERVAL,
    *,
    allowed_senders: AllowedSenders = None,
) -> SyftFlwrEvents:
    """Create the events watcher that goes with a client.

    Args:
        app_name: Name of the application.
        client: The participant; by default the one that the environment names.
        cleanup_expiry: Age at which a reply, or a request that nobody takes, is given up: a number with a unit
            ``s``, ``m``, ``h``, ``d`` or ``w``.
        cleanup_interval: Pause between looks for expired files, in the same form.
        poll_interval: Seconds between polls; by default ``SYFT_FLWR_POLL_INTERVAL``, or else 2.
        allowed_senders: As for :class:`P2PFileEvents`.

    Raises:
        InvalidNameError: The app or a sender can't go on the wire.
        ConfigurationError: The client is none of this package's, or a duration can't be read.
    """
    client = create_client() if client is None else client
    if not isinstance(client, SyftP2PClient):
        raise ConfigurationError(f"no events watcher for {type(client).__name__}: only SyftP2PClient is served here")
    return P2PFileEvents(
        app_name,
        client.email,
        poll_interval,
        allowed_senders=allowed_senders,
        cleanup_expiry=parse_duration(cleanup_expiry, "cleanup_expiry"),
        cleanup_interval=parse_duration(cleanup_interval, "cleanup_interval"),
    )
