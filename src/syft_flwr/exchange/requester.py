"""Send requests; they survive a restart of the requester."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Future as PoolFuture
from contextvars import copy_context
from dataclasses import replace
from functools import partial
from pathlib import PurePath
from typing import NamedTuple, TypeVar

from syft_flwr import wire
from syft_flwr.addresses import same_address
from syft_flwr.drive.budget import WINDOW
from syft_flwr.drive.pacing import deadline
from syft_flwr.errors import (
    ConflictError,
    DriveUnavailableError,
    InvalidNameError,
    PartlySentError,
    RateLimitedError,
    RuntimeClosedError,
    StateError,
)
from syft_flwr.exchange.disposables import PROPERTY, check_name
from syft_flwr.exchange.parts import Parts
from syft_flwr.feed.schedule import pause_after
from syft_flwr.state.futures import Future

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Request(NamedTuple):
    """A request to send. ``endpoint`` may start with a slash; it is not part of the name.

    With a name in ``disposable``, it is thrown away with all else of that name (:meth:`DriveRuntime.disposable`).
    """

    recipient: str
    app: str
    endpoint: str
    body: bytes
    disposable: str = ""


class Requester:
    """The sending side of one account. Thread-safe.

    Args:
        parts: The account's parts.
        on_sent: Called with the futures whose requests are in Drive.
        closed: Set when the account's engine is closed.
        patience: Seconds that the pauses between attempts may take together, on the thread that sends.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        on_sent: Callable[[Sequence[Future]], None],
        closed: threading.Event,
        patience: float = 60.0,
    ) -> None:
        self._parts = parts
        self._on_sent = on_sent
        self._closed = closed
        self._patience = patience

    def send(self, requests: Sequence[Request]) -> list[str]:
        """Send requests, several at a time; return their future IDs in the same order.

        Each future is on disk before its upload begins. The call returns when all uploads are over.

        Raises:
            InvalidNameError: An address, app name or endpoint can't go on the wire; nothing was sent.
            TypeError: A body is not ``bytes``, ``bytearray`` or ``memoryview``; nothing was sent.
            ValueError: The name of what is disposable can't go on the wire; nothing was sent.
            PartlySentError: Some could not be sent; it tells which went.
            DriveError, TransferError, StateError: None could be sent.
        """
        checked = [self._check(request) for request in requests]
        routes = dict.fromkeys((r.recipient, r.app, r.endpoint) for r in checked)
        folders = self._run({route: partial(self._make_folders, route) for route in routes})
        reachable = [request for request in checked if folders[request[:3]].exception() is None]
        futures: list[Future] = []
        announcements: list[dict[str, str]] = []
        for request in reachable:
            recipient = self._parts.identities.canonical(request.recipient)
            disposable = request.disposable if self._parts.settings.cleanup else ""
            request_id, announcement = self._parts.announced.step("request", recipient, disposable)
            announcements.append(announcement)
            futures.append(
                Future(
                    future_id=wire.new_future_id(),
                    recipient=recipient,
                    app=request.app,
                    endpoint=request.endpoint,
                    request_id=request_id,
                    sent_at=self._parts.clock.time(),
                    disposable=disposable,
                )
            )
        self._parts.ledger.futures.add(futures)
        uploads = self._run(
            {
                future: partial(self._upload, future, request.body, announcement)
                for future, request, announcement in zip(futures, reachable, announcements, strict=True)
            }
        )
        failed = [future.future_id for future, upload in uploads.items() if upload.exception() is not None]
        self._on_sent([future for future, upload in uploads.items() if upload.exception() is None])
        if failed:
            try:
                self._parts.ledger.futures.forget(failed, deletes=lambda _: True, unsent=True)
            except (StateError, RuntimeClosedError) as error:  # a row each; the caller must hear what went
                self._parts.streams.report("forgetting what was not sent", error)
        return self._outcome(checked, folders, uploads)

    def _outcome(
        self,
        requests: Sequence[Request],
        folders: Mapping[tuple[str, str, str], PoolFuture[None]],
        uploads: Mapping[Future, PoolFuture[None]],
    ) -> list[str]:
        """Return the future IDs of all requests, or raise what went wrong."""
        attempted = iter(uploads.items())
        sent: list[str | None] = []
        errors: list[BaseException | None] = []
        for request in requests:
            error, future_id = folders[request[:3]].exception(), ""
            if error is None:
                future, upload = next(attempted)
                error, future_id = upload.exception(), future.future_id
            sent.append(future_id if error is None else None)
            errors.append(error)
        first = next((error for error in errors if error is not None), None)
        if first is None:
            return [future_id for future_id in sent if future_id is not None]
        if any(sent):
            raise PartlySentError(first, sent, errors) from first
        raise first

    def _run(self, tasks: Mapping[K, Callable[[], T]]) -> dict[K, PoolFuture[T]]:
        """Run tasks on the pool; those that failed for an outage again, after pauses on this thread, if it may wait."""
        may_wait = self._parts.clock.monotonic() < deadline()
        patience = self._patience if may_wait else 0.0
        done: dict[K, PoolFuture[T]] = {}
        due, waited, failures = list(tasks), 0.0, 0
        while True:
            done |= {key: self._parts.pool.submit(copy_context().run, tasks[key]) for key in due}
            errors = {key: done[key].exception() for key in due}
            due = [key for key, error in errors.items() if isinstance(error, DriveUnavailableError | RateLimitedError)]
            failures += 1
            pause = max((pause_after(failures, errors[key]) for key in due), default=0.0)
            waited += 0.0 if all(_comes_to_its_turn(errors[key]) for key in due) and may_wait else pause
            if not due or waited > patience or self._parts.clock.wait(self._closed, pause):
                return done

    def _check(self, request: Request) -> Request:
        recipient = wire.validate_address(request.recipient)
        if same_address(recipient, self._parts.me):
            raise InvalidNameError(f"{recipient} can't send a request to itself")
        app, endpoint = wire.validate_app(request.app), wire.validate_endpoint(request.endpoint)
        disposable = request.disposable and check_name(request.disposable)
        return Request(recipient, app, endpoint, _as_bytes(request.body), disposable)

    def _make_folders(self, route: tuple[str, str, str]) -> None:
        """Make the folder to write to, and the reply's inbox as well, since a folder of one's own is surest."""
        recipient, app, endpoint = route
        outbox = wire.inbox_path(self._parts.me, recipient, app, endpoint)
        inbox = wire.inbox_path(recipient, self._parts.me, app, endpoint)
        self._parts.inboxes.ensure([outbox, inbox], peer=recipient)

    def _upload(self, future: Future, body: bytes, announcement: Mapping[str, str]) -> None:
        name = wire.message_file_name("request", future.future_id)
        outbox = wire.inbox_path(self._parts.me, future.recipient, future.app, future.endpoint)

        name_of_all = future.disposable
        properties = {PROPERTY: name_of_all, **announcement} if name_of_all else None

        def deliver(file_id: str) -> str:
            def put(folder: str) -> None:
                self._parts.write(file_id, name, folder, body, properties=properties, spread=bool(name_of_all))

            return self._parts.inboxes.deliver(outbox, peer=future.recipient, put=put, disposable=name_of_all)

        try:
            folder = deliver(future.request_id)
        except ConflictError:  # the ID is another file's, or went with a folder into the trash
            again = self._parts.ledger.futures.get([future.future_id]).get(future.future_id, future)
            if again.request_id == future.request_id:  # else an earlier attempt has come here, and its answer was lost
                again = replace(future, request_id=self._parts.ids.take())
                self._parts.ledger.futures.add([again])
            folder = deliver(again.request_id)
        if name_of_all:
            self._parts.disposables.used(name_of_all, folder)


def _comes_to_its_turn(error: BaseException | None) -> bool:
    """Tell whether the budget of the minute is spent: there is room soon, for all in turn."""
    return isinstance(error, RateLimitedError) and error.reason == "budget" and (error.retry_after or 0.0) <= 2 * WINDOW


def _as_bytes(body: object) -> bytes:
    if isinstance(body, bytes):
        return body
    if isinstance(body, bytearray | memoryview):
        return bytes(body)
    advice = "; read it first, with .read_bytes()" if isinstance(body, PurePath) else ""
    advice = "; encode it first, with .encode()" if isinstance(body, str) else advice
    raise TypeError(f"a body is bytes, not {type(body).__name__}{advice}")
