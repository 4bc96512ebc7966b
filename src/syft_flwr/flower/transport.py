"""What the Flower side needs of the message transport; ``P2PFileRpc`` and ``P2PFileEvents`` provide it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Literal, Protocol

from syft_flwr.models import Message

ENDPOINT = "messages"

DISPOSABLE = "disposable"
"""Of a data owner: it keeps the small messages of a run together, in folders that are deleted whole."""


def run_endpoint(run_id: int) -> str:
    """Return the endpoint for the small messages of one run."""
    return f"{ENDPOINT}@{run_id}"


def wire_app_name(app_name: str) -> str:
    """Return an app's name on the wire, as existing participants write it."""
    return f"flwr/{app_name}"


class Rpc(Protocol):
    """Sends requests and brings replies, whose senders it has checked. Thread-safe."""

    def send(self, to_email: str, app_name: str, endpoint: str, body: bytes, encrypt: bool = False) -> str: ...

    def get_response(self, future_id: str) -> bytes | None: ...

    def answered(self, future_ids: Collection[str], timeout: float) -> set[str]:
        """Wait until any of the futures has a reply, at most ``timeout`` seconds; return those that have one."""

    def delete_future(self, future_id: str) -> None: ...

    def open_disposable(self, app_name: str, endpoint: str) -> None:
        """Keep the small messages of an endpoint together until they are disposed of."""

    def dispose(self, app_name: str, endpoint: str) -> None:
        """Delete what this account has written for a disposable endpoint."""


class Events(Protocol):
    """Receives requests."""

    def on_request(
        self,
        endpoint: str,
        handler: Callable[[bytes, Message], bytes | str | None],
        *,
        with_message: Literal[True],
        disposable: bool = False,
    ) -> None: ...

    def dispose(self, endpoint: str) -> None: ...

    def run_forever(self) -> None: ...

    def stop(self) -> None: ...
