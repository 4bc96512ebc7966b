"""Handlers for requests that come as files in shared folders."""

from __future__ import annotations

import logging
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal, Unpack, overload

from syft_flwr.client import SyftP2PClient
from syft_flwr.events.base import MessageHandler, SyftFlwrEvents
from syft_flwr.exchange.routes import Handler, Route
from syft_flwr.feed.aio import as_function
from syft_flwr.models import Message
from syft_flwr.runtime import DriveRuntime
from syft_flwr.runtime.handle import engine_of
from syft_flwr.senders import AllowedSenders, Senders
from syft_flwr.settings import MoreSettings, SettingsDict
from syft_flwr.wire import validate_address, validate_app, validate_endpoint

_log = logging.getLogger(__name__)

DEFAULT_POLL_INTERVAL = 2.0
"""Seconds. With it, ``SYFT_FLWR_POLL_INTERVAL`` decides where it is set."""


class P2PFileEvents(SyftFlwrEvents):
    """Serves the requests that other participants send to an app, over Google Drive.

    Constructing it does no I/O; :meth:`run_forever` opens the account's runtime and closes it again. Each endpoint
    has a queue and threads of its own: a slow handler delays neither other endpoints nor the feed. Requests of one
    sender are handled in the order in which they came.

    Args:
        app_name: Name of the application.
        client_email: This account's address.
        poll_interval: Seconds between polls; by default ``SYFT_FLWR_POLL_INTERVAL``, or else 2.
        max_processed_requests: How many processed request IDs to remember one by one.
        allowed_senders: Addresses that may send requests, or a predicate that tells of an address in lower case; by
            default those in ``SYFT_FLWR_ALLOWED_SENDERS``, or else all, which the log says. For a collection, the
            inboxes are created and shared by this account. What others send is rejected, and kept for
            ``cleanup_expiry``, should they be allowed by then.
        share_errors: Whether senders get the traceback of what a handler raised; by default they get the exception's
            type and 200 characters of its text.
        max_poll_interval: Longest pause (seconds) when all is quiet; by default the pause stays ``poll_interval``.
        **settings: More fields of :class:`~syft_flwr.settings.Settings`.

    Raises:
        InvalidNameError: A name or address can't go on the wire (it is a ``ValueError``, too).
    """

    def __init__(
        self,
        app_name: str,
        client_email: str,
        poll_interval: float = DEFAULT_POLL_INTERVAL,
        max_processed_requests: int = 10_000,
        *,
        allowed_senders: AllowedSenders = None,
        share_errors: bool = False,
        max_poll_interval: float | None = None,
        **settings: Unpack[MoreSettings],
    ) -> None:
        self._app = validate_app(app_name)
        self._email = validate_address(client_email)
        self._settings: SettingsDict = {
            "poll_interval": None if poll_interval == DEFAULT_POLL_INTERVAL else poll_interval,
            "max_processed_requests": max_processed_requests,
            "max_poll_interval": max_poll_interval,
            **settings,
        }
        self._senders = Senders(allowed_senders, f"{self._app} of {self._email}")
        self._share_errors = share_errors
        self._lock = threading.Lock()
        self._routes: dict[str, Route] = {}
        self._runtime: DriveRuntime | None = None
        self._ended = threading.Event()
        self._running = False

    @property
    def client_email(self) -> str:
        """The account's address."""
        return self._email

    @property
    def app_name(self) -> str:
        """The app whose requests are answered."""
        return self._app

    @property
    def app_dir(self) -> Path:
        """Logical path of the app's data: ``SyftBox/{email}/app_data/{app_name}``."""
        return SyftP2PClient(self._email).app_data(self._app)

    @property
    def is_running(self) -> bool:
        """Whether :meth:`run_forever` is running."""
        return self._running

    @overload
    def on_request(
        self,
        endpoint: str,
        handler: MessageHandler | Callable[[bytes], Awaitable[bytes | str | None]],
        auto_decrypt: bool = True,
        encrypt_reply: bool = False,
        *,
        concurrency: int = 1,
        with_message: Literal[False] = False,
    ) -> None: ...

    @overload
    def on_request(
        self,
        endpoint: str,
        handler: Handler | Callable[[bytes, Message], Awaitable[bytes | str | None]],
        auto_decrypt: bool = True,
        encrypt_reply: bool = False,
        *,
        concurrency: int = 1,
        with_message: Literal[True],
    ) -> None: ...

    def on_request(
        self,
        endpoint: str,
        handler: Callable[..., Any],
        auto_decrypt: bool = True,
        encrypt_reply: bool = False,
        *,
        concurrency: int = 1,
        with_message: bool = False,
    ) -> None:
        """Register the handler of an endpoint; may be called while running.

        An exception of the handler becomes a reply with the JSON object ``{"error": …, "timestamp": …}``, which tells
        its type and 200 printable characters of its text unless ``share_errors`` is set, and the request counts as
        handled. Registering an endpoint again replaces its handler, at once when running.

        Args:
            endpoint: The endpoint, with or without a leading slash.
            handler: Takes the body; returns ``bytes``, ``str`` (sent as UTF-8), or ``None`` for no reply. It may be an
                ``async def`` function, which gets an event loop of its own for each request.
            auto_decrypt: Ignored: Drive's access control stands in for encryption.
            encrypt_reply: Ignored, likewise.
            concurrency: Requests of different senders handled at once.
            with_message: Whether the handler takes a second argument, the
                :class:`~syft_flwr.models.Message`, whose sender Drive attests.

        Raises:
            InvalidNameError: The endpoint can't go on the wire (it is a ``ValueError``, too).
            ValueError: ``concurrency`` is less than 1.
        """
        del auto_decrypt, encrypt_reply
        if concurrency < 1:
            raise ValueError(f"concurrency must be at least 1; it is {concurrency}")
        name = validate_endpoint(endpoint)
        function = as_function(handler)
        takes_message: Handler = function if with_message else _without_message(function)
        route = Route(self._app, name, takes_message, self._senders.allow, concurrency, self._share_errors)
        with self._lock:
            before, self._routes[name] = self._routes.get(name), route
            if self._runtime is not None:
                if before is not None:
                    engine_of(self._runtime).withdraw([before])
                self._serve(self._runtime, route)

    def run_forever(self) -> None:
        """Serve until :meth:`stop`; a stop that came before makes this call return at once.

        Raises:
            KeyboardInterrupt: On Ctrl-C, after everything was stopped.
            ConfigurationError: The account, its credentials or a setting are wrong.
            StateError: The state directory can't be used.
            RuntimeError: It runs already.
        """
        with self._lock:
            if self._running:
                raise RuntimeError("run_forever is running already")
            self._running = True
        try:
            if not self._ended.is_set():
                self._run()
        finally:
            self._ended.clear()
            self._running = False

    def stop(self) -> None:
        """Make :meth:`run_forever` return; callable from any thread and from a handler, returns at once.

        A handler that is running gets a second to end, and its reply is still sent; what has not begun stays
        unfinished and is handled by the next run.
        """
        self._ended.set()

    def drain(self, timeout: float | None = None) -> bool:
        """Answer all that waits, and return: what a cron job or a batch job calls in place of :meth:`run_forever`.

        Args:
            timeout: Seconds to wait for the handlers at most; what is left then is the next run's.

        Returns:
            Whether all is done.

        Raises:
            DriveError: Drive can't be reached or refuses.
            RuntimeError: It serves already.
        """
        with DriveRuntime.open(self._email, **self._settings) as runtime:
            detach = self.attach(runtime)
            try:
                return runtime.drain(timeout)
            finally:
                detach()

    def attach(self, runtime: DriveRuntime) -> Callable[[], None]:
        """Serve on a runtime that somebody else keeps going, such as that of a replay; return what ends it.

        Raises:
            RuntimeError: It serves already.
        """
        with self._lock:
            if self._runtime is not None:
                raise RuntimeError("it serves on another runtime already")
            self._senders.look_up()
            for route in self._routes.values():
                self._serve(runtime, route)
            self._runtime = runtime
        return partial(self._detach, runtime)

    def _detach(self, runtime: DriveRuntime) -> None:
        with self._lock:
            if self._runtime is not runtime:
                return
            self._runtime = None
            routes = list(self._routes.values())
        engine_of(runtime).withdraw(routes)

    def _run(self) -> None:
        runtime = DriveRuntime.open(self._email, **self._settings)
        try:
            self._senders.look_up()
            with self._lock:
                self._runtime = runtime
                for route in self._routes.values():
                    self._serve(runtime, route)
            runtime.run_forever(self._ended)
        finally:
            with self._lock:
                self._runtime = None
                routes = list(self._routes.values())
            engine_of(runtime).withdraw(routes)
            runtime.close()

    def _serve(self, runtime: DriveRuntime, route: Route) -> None:
        engine_of(runtime).serve(route, known_senders=self._senders.addresses)


def _without_message(handler: MessageHandler) -> Handler:
    def handle(body: bytes, _: Message) -> bytes | str | None:
        return handler(body)

    return handle
