"""Who takes part: the documented client classes."""

from syft_flwr.client.base import SyftFlwrClient
from syft_flwr.client.factory import create_client
from syft_flwr.client.p2p import SyftP2PClient

__all__ = ["SyftFlwrClient", "SyftP2PClient", "create_client"]
