"""Serve requests with handlers."""

from syft_flwr.events.base import MessageHandler, SyftFlwrEvents
from syft_flwr.events.factory import create_events_watcher
from syft_flwr.events.p2p import P2PFileEvents

__all__ = ["MessageHandler", "P2PFileEvents", "SyftFlwrEvents", "create_events_watcher"]
