"""The change feed as ReactiveX streams: operators for pipelines of your own, and recorded feeds."""

from syft_flwr.feed.aio import aio
from syft_flwr.feed.bodies import with_body
from syft_flwr.feed.operators import at_endpoint, failed, from_sender, in_inbox, received, requests, responses
from syft_flwr.feed.replies import defer, reply_with
from syft_flwr.recording import Recording, read_recording

__all__ = [
    "Recording",
    "aio",
    "at_endpoint",
    "defer",
    "failed",
    "from_sender",
    "in_inbox",
    "read_recording",
    "received",
    "reply_with",
    "requests",
    "responses",
    "with_body",
]
