"""The change feed as ReactiveX streams: operators for pipelines of your own, and recorded feeds."""

from syft_flwr.feed.bodies import with_body
from syft_flwr.feed.operators import at_endpoint, failed, from_sender, in_inbox, received, requests, responses
from syft_flwr.feed.replies import reply_with
from syft_flwr.recording import Recording, read_recording

__all__ = [
    "Recording",
    "at_endpoint",
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
