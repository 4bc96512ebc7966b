"""Send requests; they survive a restart of the requester."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future as PoolFuture
from typing import NamedTuple

from syft_flwr import wire
from syft_flwr.errors import InvalidNameError
from syft_flwr.exchange.parts import Parts
from syft_flwr.state.futures import Future


class Request(NamedTuple):
    """A request to send. ``endpoint`` may start with a slash; it is not part of the name."""

    recipient: str
    app: str
    endpoint: str
    body: bytes


class Requester:
    """The sending side of one account. Thread-safe.

    Args:
        parts: The account's parts.
        on_sent: Called with the futures whose requests are in Drive.
    """

    def __init__(self, parts: Parts, *, on_sent: Callable[[Sequence[Future]], None]) -> None:
        self._parts = parts
        self._on_sent = on_sent

    def send(self, requests: Sequence[Request]) -> list[str]:
        """Send requests, several at a time; return their future IDs in the same order.

        Each future is on disk before its upload begins. The call returns when all uploads are over.

        Raises:
            InvalidNameError: An address, app name or endpoint can't go on the wire; nothing was sent.
            DriveError: At least one upload failed for good; the futures of those that failed are forgotten.
        """
        checked = [self._check(request) for request in requests]
        routes = list(dict.fromkeys((r.recipient, r.app, r.endpoint) for r in checked))
        folders = dict(zip(routes, self._parts.pool.map(self._folder, routes), strict=True))
        futures = [
            Future(
                future_id=wire.new_future_id(),
                recipient=request.recipient,
                app=request.app,
                endpoint=request.endpoint,
                request_id=self._parts.ids.take(),
                sent_at=self._parts.clock.time(),
            )
            for request in checked
        ]
        self._parts.ledger.futures.add(futures)
        uploads: list[PoolFuture[None]] = [
            self._parts.pool.submit(self._upload, future, folders[request[:3]], request.body)
            for future, request in zip(futures, checked, strict=True)
        ]
        errors = [upload.exception() for upload in uploads]
        self._on_sent([future for future, error in zip(futures, errors, strict=True) if error is None])
        failed = [future.future_id for future, error in zip(futures, errors, strict=True) if error is not None]
        if failed:
            self._parts.ledger.futures.forget(failed, delete_requests=True)
            raise next(error for error in errors if error is not None)
        return [future.future_id for future in futures]

    def _check(self, request: Request) -> Request:
        recipient = wire.validate_address(request.recipient)
        if wire.same_address(recipient, self._parts.me):
            raise InvalidNameError(f"{recipient} can't send a request to itself")
        return Request(
            recipient, wire.validate_app(request.app), wire.validate_endpoint(request.endpoint), request.body
        )

    def _folder(self, route: tuple[str, str, str]) -> str:
        """Return the folder to write to; the reply's inbox is made as well, since a folder of one's own is surest."""
        recipient, app, endpoint = route
        outbox = wire.inbox_path(self._parts.me, recipient, app, endpoint)
        inbox = wire.inbox_path(recipient, self._parts.me, app, endpoint)
        return self._parts.inboxes.ensure([outbox, inbox], peer=recipient)[0]

    def _upload(self, future: Future, folder: str, body: bytes) -> None:
        name = wire.message_file_name("request", future.future_id)
        self._parts.gateway.upload(future.request_id, name, folder, body)
