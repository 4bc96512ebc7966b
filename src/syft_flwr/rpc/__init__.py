"""Send requests and collect replies."""

from syft_flwr.rpc.base import SyftFlwrRpc
from syft_flwr.rpc.factory import create_rpc
from syft_flwr.rpc.p2p import P2PFileRpc

__all__ = ["P2PFileRpc", "SyftFlwrRpc", "create_rpc"]
