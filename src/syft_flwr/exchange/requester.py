"""Send requests and collect their replies; both survive a restart of the requester."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future as PoolFuture
from pathlib import Path
from typing import NamedTuple

from syft_flwr import wire
from syft_flwr.errors import InvalidNameError
from syft_flwr.exchange.context import Exchange
from syft_flwr.state.futures import Future, Response


class Request(NamedTuple):
    """A request to send. ``endpoint`` may start with a slash; it is not part of the name."""

    recipient: str
    app: str
    endpoint: str
    body: bytes


class Requester:
    """The requesting side of one account. Thread-safe.

    Args:
        exchange: The account's parts.
        on_deletion: Called when a file of our own became due for deletion.
    """

    def __init__(self, exchange: Exchange, *, on_deletion: Callable[[], None]) -> None:
        self._x = exchange
        self._on_deletion = on_deletion
        self._lock = threading.Lock()
        self._waiting: dict[str, float] = {}
        self._heard_of: set[str] = set()

    def send(self, requests: Sequence[Request]) -> list[str]:
        """Send requests, several at a time; return their future IDs in the same order.

        Each future is on disk before its upload begins. The call returns when all uploads are over.

        Raises:
            InvalidNameError: An address, app name or endpoint can't go on the wire; nothing was sent.
            DriveError: At least one upload failed for good; the futures of those that failed are forgotten.
        """
        checked = [self._check(request) for request in requests]
        routes = list(dict.fromkeys((r.recipient, r.app, r.endpoint) for r in checked))
        folders = dict(zip(routes, self._x.pool.map(self._folder, routes), strict=True))
        futures = [
            Future(
                future_id=wire.new_future_id(),
                recipient=request.recipient,
                app=request.app,
                endpoint=request.endpoint,
                request_id=self._x.ids.take(),
                sent_at=self._x.clock.time(),
            )
            for request in checked
        ]
        self._x.ledger.futures.add(futures)
        uploads: list[PoolFuture[None]] = [
            self._x.pool.submit(self._upload, future, folders[request[:3]], request.body)
            for future, request in zip(futures, checked, strict=True)
        ]
        errors: list[BaseException] = []
        for future, upload in zip(futures, uploads, strict=True):
            error = upload.exception()
            if error is None:
                self._wait_for(future)
            else:
                errors.append(error)
                self._x.ledger.futures.forget(future.future_id, delete_request=True)
        if errors:
            raise errors[0]
        return [future.future_id for future in futures]

    def collect(self, future_ids: Iterable[str]) -> dict[str, tuple[bytes, bool]]:
        """Return (body, is it an error reply) of the futures that are answered; asks no Drive about the others.

        A body is downloaded once and kept until the future is forgotten.

        Raises:
            NotFoundError: A reply was deleted before it was fetched: it was older than its sender's clean-up expiry.
            DriveError: A reply can't be downloaded.
            TransferError: A reply arrived damaged.
        """
        answered = [f for f in self._x.ledger.futures.get(future_ids).values() if f.response is not None]
        bodies = self._x.pool.map(self._body, answered)
        return {
            f.future_id: (body, f.response is not None and f.response.is_error)
            for f, body in zip(answered, bodies, strict=True)
        }

    def answered(self, future_ids: Iterable[str]) -> set[str]:
        """Return those of the futures that have a reply, without loading it.

        The others count as waited for from now on, whichever process sent them; those that nobody knows do not.
        """
        wanted = list(future_ids)
        futures = self._x.ledger.futures.get(wanted)
        for future_id in wanted:
            future = futures.get(future_id)
            if future is None:
                self.settle(future_id)
            elif future.response is None:
                self._wait_for(future)
            else:
                self.note_answer(future_id)
        return {future_id for future_id, future in futures.items() if future.response is not None}

    def heard_of(self, future_ids: Iterable[str]) -> set[str]:
        """Return those of the futures whose reply this process has taken itself; cheaper than :meth:`answered`."""
        with self._lock:
            return self._heard_of.intersection(future_ids)

    def note_answer(self, future_id: str) -> None:
        """Note that this process has taken the reply to a future."""
        with self._lock:
            self._waiting.pop(future_id, None)
            self._heard_of.add(future_id)

    def is_waiting(self, future_id: str) -> bool:
        """Tell whether the future was known and unanswered when :meth:`answered` last looked."""
        with self._lock:
            return future_id in self._waiting

    def forget(self, future_id: str, *, delete_request: bool) -> None:
        """Drop a future and its reply's local copy; with ``delete_request`` its request file is deleted soon."""
        future = self._x.ledger.futures.forget(future_id, delete_request=delete_request)
        self.settle(future_id)
        if future is not None and future.response is not None:
            self._x.bodies.delete(_response_body(future.response.file_id))
        if future is not None and delete_request:
            self._on_deletion()

    def resume(self) -> None:
        """Take up the futures of earlier runs: their ages count, see :meth:`youngest`."""
        for future in self._x.ledger.futures.all():
            if future.response is None:
                self._wait_for(future)

    def kept_bodies(self) -> set[str]:
        """Return the names of the bodies that are still needed."""
        answered = (future.response for future in self._x.ledger.futures.all())
        return {_response_body(response.file_id) for response in answered if response is not None}

    def settle(self, future_id: str) -> None:
        """Note that nobody waits for this future any more."""
        with self._lock:
            self._waiting.pop(future_id, None)
            self._heard_of.discard(future_id)

    def is_awaited(self) -> bool:
        """Tell whether somebody may be waiting: for a reply to a request that is younger than the clean-up expiry."""
        youngest = self.youngest()
        return youngest is not None and self._x.clock.time() - youngest < self._x.settings.cleanup_expiry

    def youngest(self) -> float | None:
        """Return when (Unix seconds) the youngest unanswered request was sent; ``None`` when there is none."""
        with self._lock:
            return max(self._waiting.values(), default=None)

    def _check(self, request: Request) -> Request:
        recipient = wire.validate_address(request.recipient)
        if wire.same_address(recipient, self._x.me):
            raise InvalidNameError(f"{recipient} can't send a request to itself")
        return Request(
            recipient, wire.validate_app(request.app), wire.validate_endpoint(request.endpoint), request.body
        )

    def _folder(self, route: tuple[str, str, str]) -> str:
        """Return the folder to write to; the reply's inbox is made as well, since a folder of one's own is surest."""
        recipient, app, endpoint = route
        outbox = wire.inbox_path(self._x.me, recipient, app, endpoint)
        inbox = wire.inbox_path(recipient, self._x.me, app, endpoint)
        return self._x.inboxes.ensure([outbox, inbox], peer=recipient)[0]

    def _upload(self, future: Future, folder: str, body: bytes) -> None:
        self._x.gateway.upload(future.request_id, wire.message_file_name("request", future.future_id), folder, body)

    def _body(self, future: Future) -> bytes:
        response = future.response
        assert response is not None  # noqa: S101 - collect asks for answered futures only
        kept = self._x.bodies.path(_response_body(response.file_id))
        if (body := _intact(kept, response)) is not None:
            return body
        partial = self._x.bodies.partial(kept.name)
        try:
            self._x.gateway.download(response.file_id, partial, size=response.size, sha256=response.sha256)
            partial.replace(kept)
        finally:
            partial.unlink(missing_ok=True)
        return kept.read_bytes()

    def _wait_for(self, future: Future) -> None:
        with self._lock:
            self._waiting[future.future_id] = future.sent_at


def _response_body(file_id: str) -> str:
    return f"response-{file_id}"


def _intact(kept: Path, response: Response) -> bytes | None:
    """Return a body that was downloaded before, or ``None``: it is not synced, so a power cut may have damaged it."""
    try:
        body = kept.read_bytes()
    except FileNotFoundError:
        return None
    damaged = response.sha256 is not None and hashlib.sha256(body).hexdigest() != response.sha256
    return None if damaged or len(body) != response.size else body
