"""The change feed as ReactiveX streams: operators for pipelines of your own, and recorded feeds."""

from syft_flwr.feed.aio import aio
from syft_flwr.feed.bodies import with_body
from syft_flwr.feed.gathering import dedupe_by, latest_per, quorum, windowed_bytes
from syft_flwr.feed.operators import at_endpoint, failed, from_sender, in_inbox, named, received, requests, responses
from syft_flwr.feed.replies import defer, reply_with
from syft_flwr.feed.retries import DeadLetter, dead_letters, retrying
from syft_flwr.recording import Recording, read_recording

__all__ = [
    "DeadLetter",
    "Recording",
    "aio",
    "at_endpoint",
    "dead_letters",
    "dedupe_by",
    "defer",
    "failed",
    "from_sender",
    "in_inbox",
    "latest_per",
    "named",
    "quorum",
    "read_recording",
    "received",
    "reply_with",
    "requests",
    "responses",
    "retrying",
    "windowed_bytes",
    "with_body",
]
