"""Choose the RPC for a client."""

from __future__ import annotations

from syft_flwr.client import SyftFlwrClient, SyftP2PClient
from syft_flwr.errors import ConfigurationError
from syft_flwr.rpc.p2p import P2PFileRpc


def create_rpc(client: SyftFlwrClient, app_name: str) -> P2PFileRpc:
    """Create the RPC that goes with a client.

    Raises:
        ConfigurationError: The client is none of this package's.
    """
    if not isinstance(client, SyftP2PClient):
        raise ConfigurationError(f"no RPC for {type(client).__name__}: only SyftP2PClient is served here")
    return P2PFileRpc(sender_email=client.email, app_name=app_name)
