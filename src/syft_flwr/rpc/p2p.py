"""Requests as files in shared folders."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Literal, Self, Unpack

from reactivex import Observable

from syft_flwr.errors import UnansweredError
from syft_flwr.exchange.requester import Request
from syft_flwr.models import Message
from syft_flwr.rpc.base import SyftFlwrRpc
from syft_flwr.runtime import DriveRuntime
from syft_flwr.settings import SettingsDict
from syft_flwr.wire import validate_address, validate_app

_log = logging.getLogger(__name__)

_PORTION = 1.0
"""Seconds that a thread waits for asyncio at a time."""


class P2PFileRpc(SyftFlwrRpc):
    """Sends requests to other participants and collects their replies, over Google Drive.

    Nothing touches Drive before the first call that needs it. Thread-safe. Futures are durable: another process of
    the same account and state directory can ask for the same future ID.

    Args:
        sender_email: This account's address.
        app_name: Name of the application, for example ``"flwr/diabetes"``.
        **settings: Fields of :class:`~syft_flwr.settings.Settings`, as :meth:`DriveRuntime.open` takes them.

    Raises:
        InvalidNameError: One of them can't go on the wire (it is a ``ValueError``, too).
    """

    def __init__(self, sender_email: str, app_name: str, **settings: Unpack[SettingsDict]) -> None:
        self._email = validate_address(sender_email)
        self._app = validate_app(app_name)
        self._settings = settings
        self._lock = threading.Lock()
        self._opened: DriveRuntime | None = None
        self._warned: set[str] = set()

    @property
    def sender_email(self) -> str:
        """This account's address."""
        return self._email

    @property
    def app_name(self) -> str:
        """Name of the application."""
        return self._app

    @property
    def runtime(self) -> DriveRuntime:
        """The account's runtime; opened by the first use."""
        with self._lock:
            if self._opened is None:
                self._opened = DriveRuntime.open(self._email, **self._settings)
            return self._opened

    @property
    def responses(self) -> Observable[Message]:
        """Every response that answers a request of this account, in this app or another. Hot."""
        return self.runtime.responses

    def send(
        self,
        to_email: str,
        app_name: str | None,
        endpoint: str,
        body: bytes,
        encrypt: bool = False,
        *,
        disposable: str = "",
        block: bool = True,
    ) -> str:
        """Send a request: write a ``.request`` file into the recipient's inbox.

        Returns when the file is in Drive. A crash or a lost answer in between never makes a second file.

        Args:
            to_email: The recipient's address.
            app_name: Name of the application; ``None`` for that of the constructor.
            endpoint: The endpoint, with or without a leading slash.
            body: What the handler will get.
            encrypt: Not supported: warns once for each recipient, and sends unencrypted.
            disposable: The name of what it is thrown away with (:meth:`DriveRuntime.disposable`).
            block: Whether to wait at a limit (:meth:`DriveRuntime.send`); else the error comes at once.

        Returns:
            The future ID (a UUID4), to ask for the reply with.

        Raises:
            InvalidNameError: An argument can't go on the wire (it is a ``ValueError``, too).
            RateLimitedError: The account's budget is spent, or Drive throttles it; ``retry_after`` tells for how long.
            DriveError: Drive refused, or could not be reached in spite of retries.
        """
        request = Request(to_email, self._app if app_name is None else app_name, endpoint, body, disposable)
        return self._send([request], encrypt=encrypt, block=block)[0]

    def send_many(
        self, requests: Iterable[tuple[str, str, str, bytes]], *, encrypt: bool = False, block: bool = True
    ) -> list[str]:
        """Send several requests at once, each (to_email, app_name, endpoint, body); return their future IDs in order.

        See :meth:`send` for ``block``.

        Raises:
            InvalidNameError: An argument can't go on the wire; nothing was sent.
            PartlySentError: Some could not be sent; it tells which went.
            DriveError: None could be sent.
        """
        return self._send([Request(*request) for request in requests], encrypt=encrypt, block=block)

    async def ask(
        self,
        to_email: str,
        endpoint: str,
        body: bytes,
        timeout: float | None = None,  # noqa: ASYNC109 - as wait() has it, with its default
        *,
        app_name: str | None = None,
    ) -> bytes:
        """Send a request, and wait for its reply in asyncio; the future is forgotten then.

        A task that is cancelled leaves the request in Drive; its reply ages out.

        Args:
            to_email: The recipient's address.
            endpoint: The endpoint.
            body: What the handler will get.
            timeout: Seconds to wait at most; as for :meth:`wait`.
            app_name: Name of the application; by default that of the constructor.

        Raises:
            UnansweredError: There was none in time; its ``future_ids`` tell by which it can still be had.
            RemoteHandlerError: The peer's handler failed.
            DriveError: Drive refused, or could not be reached in spite of retries.
        """
        future_id = await asyncio.to_thread(self.send, to_email, app_name, endpoint, body)
        end = time.monotonic() + (self.runtime.message_timeout if timeout is None else timeout)
        while (left := end - time.monotonic()) > 0:
            # In portions, so that the thread of a task that was cancelled ends soon.
            replies = await asyncio.to_thread(self.wait, [future_id], min(left, _PORTION))
            if future_id in replies:
                await asyncio.to_thread(self.delete_future, future_id)
                return replies[future_id]
        raise UnansweredError([future_id])

    def get_response(self, future_id: str) -> bytes | None:
        """Return the reply's body, or ``None`` when there is none yet.

        Never waits for the peer. Polls the feed itself when no loop does and the last poll is old enough, so asking
        for many futures costs no more calls than asking for one. A handler's error reply is returned like any other
        body: the JSON object ``{"error": …, "timestamp": …}``.

        Raises:
            DriveError: Drive refused, or could not be reached in spite of retries.
        """
        return self.runtime.get_response(future_id)

    def wait(
        self,
        future_ids: Sequence[str],
        timeout: float | None = None,
        *,
        return_when: Literal["all", "first"] = "all",
        raise_errors: bool = True,
    ) -> dict[str, bytes]:
        """Wait for replies, and return the bodies of those that have come.

        Args:
            future_ids: What to wait for. Unknown ones, which nobody can answer, are passed over.
            timeout: Seconds to wait at most, outages included; by default ``message_timeout`` of the settings, else
                ``SYFT_FLWR_MSG_TIMEOUT``, or else 120.
            return_when: ``"first"`` returns as soon as there is any reply.
            raise_errors: Whether an error reply is raised, or returned like any other body.

        Returns:
            Future ID to body, in the order of ``future_ids``; incomplete when time is up, and to ask for one that is
            missing raises ``UnansweredError``.

        Raises:
            RemoteHandlerError: A peer's handler failed, and ``raise_errors`` is set.
            DriveError: Drive refused, or could not be reached in spite of retries.
        """
        return self.runtime.wait(future_ids, timeout, return_when=return_when, raise_errors=raise_errors)

    def as_completed(
        self, future_ids: Collection[str], timeout: float | None = None, *, raise_errors: bool = True
    ) -> Iterator[tuple[str, bytes]]:
        """Yield future ID and body of each reply as it comes, one body in memory at a time; see :meth:`wait`."""
        return self.runtime.as_completed(future_ids, timeout, raise_errors=raise_errors)

    def delete_future(self, future_id: str) -> None:
        """Forget a future, and delete its request's file, which lets the responder delete the reply.

        Unknown futures are no error. A reply that comes later is rejected as unknown.
        """
        self.runtime.delete_future(future_id)

    def close(self) -> None:
        """Give up the runtime; idempotent. Futures are kept, and a later use opens it again."""
        with self._lock:
            runtime, self._opened = self._opened, None
        if runtime is not None:
            runtime.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, requests: Sequence[Request], *, encrypt: bool, block: bool) -> list[str]:
        if encrypt:
            self._warn_unencrypted(request.recipient for request in requests)
        return self.runtime.send(requests, block=block)

    def _warn_unencrypted(self, recipients: Iterable[str]) -> None:
        for recipient in recipients:
            if recipient.lower() not in self._warned:
                self._warned.add(recipient.lower())
                _log.warning("encryption is not supported over Drive: what goes to %s is not encrypted", recipient)
