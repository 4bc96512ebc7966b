"""Serves one emulator over HTTP, in this thread or in one of its own."""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack, suppress
from email.utils import formatdate
from pathlib import Path
from typing import Any

import uvicorn
from httptools import HttpParserUpgrade, HttpRequestParser
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from drive_emulator import snapshots
from drive_emulator.api.application import create_application
from drive_emulator.api.call import TRANSPORT
from drive_emulator.client_files import write_token_file
from drive_emulator.drive import Drive
from drive_emulator.errors import ApiError, EmulatorError, bad_body
from drive_emulator.hosts import address_of
from drive_emulator.scratch import ScratchDirectory
from drive_emulator.tokens import Grant
from drive_emulator.tunnel import Tunnel

_START_TIMEOUT = 30.0
_STOP_TIMEOUT = 10
_PATIENCE = 1.0
"""Seconds that calls under way have to end when the emulator stops."""


class EmulatorServer:
    """An emulator that listens from the moment it is made.

    Args:
        host: Address to bind; loopback unless there is a reason.
        port: Port to bind; 0 for a free one.
        data: Directory to keep everything in; ``None`` for memory.
        control: Whether to offer the control plane, to those who send :attr:`control_token`.
        hosts: Names that it is reached by, beside loopback's and ``host``.
        tls: Whether to speak TLS, with a certificate of a CA of its own (:attr:`ca_file`), and open a tunnel for
            clients that hard-code Google's hosts (:attr:`proxy`).
        token_files: The accounts that there are, and where to write a token file (0600) for each; nobody else may call
            then, and no address is a token.
        load: A snapshot to begin with.

    Raises:
        OSError: The address can't be bound, for one because the port is in use.
        EmulatorError: The directory or a file can't be used, or the snapshot can't be read.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        data: Path | None = None,
        control: bool = False,
        hosts: Collection[str] = (),
        tls: bool = False,
        token_files: Mapping[str, Path] | None = None,
        load: Path | None = None,
    ) -> None:
        self.control_token = secrets.token_urlsafe(24) if control else None
        self._socket = _listen(host, port)
        self.host, self.port = host, self._socket.getsockname()[1]
        self._scratch: ScratchDirectory | None = None
        self.ca_file: Path | None = None
        secured: dict[str, Any] = {}
        with ExitStack() as undo:
            undo.callback(self._socket.close)
            try:
                self.drive = Drive(data, secret_tokens=bool(token_files))
                undo.callback(self._close)
                if load is not None:
                    self._begin_with(load)
                if tls:
                    secured = self._secure(data, [host, *hosts])
                for email, path in (token_files or {}).items():
                    write_token_file(path, self.url, self.drive.tokens.issue_refresh_token(Grant(email)))
            except OSError as error:
                raise EmulatorError(f"can't use {error.filename or data}: {error.strerror or error}") from error
            undo.pop_all()
        self._tunnel = Tunnel(host, self.port) if tls else None
        config = uvicorn.Config(
            _until_stopped(create_application(self.drive, control=self.control_token, hosts=[host, *hosts])),
            http=_Protocol,
            ws="none",
            lifespan="off",
            loop="asyncio",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=120,
            timeout_graceful_shutdown=_STOP_TIMEOUT,
            **secured,
        )
        self._server = _Server(config, self._tunnel)
        self._thread: threading.Thread | None = None

    def _begin_with(self, snapshot: Path) -> None:
        try:
            snapshots.load(self.drive, snapshot)
        except ApiError as error:
            raise EmulatorError(error.message) from error

    def _secure(self, data: Path | None, hosts: Collection[str]) -> dict[str, Any]:
        from drive_emulator.tls import write_certificates  # needs a package of its own

        if data is None:
            self._scratch = ScratchDirectory()
            directory = self._scratch.path
        else:
            directory = data / "tls"
        self.ca_file, certificate = write_certificates(directory, hosts)
        return {"ssl_certfile": certificate}

    @property
    def url(self) -> str:
        return f"{'http' if self.ca_file is None else 'https'}://{address_of(self.host, self.port)}"

    @property
    def proxy(self) -> str | None:
        """What to set ``HTTPS_PROXY`` to, once it serves."""
        return None if self._tunnel is None else f"http://{address_of(self.host, self._tunnel.port)}"

    def run(self, announce: Callable[[], None] = lambda: None) -> None:
        """Serve in this thread until SIGINT, SIGTERM or :meth:`stop`; call ``announce`` once signals are heeded."""
        self._server.announce = announce
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._close()

    def start(self) -> None:
        """Serve in a thread of its own; return when it is ready.

        Raises:
            EmulatorError: It did not come up.
        """
        self._thread = threading.Thread(target=self.run, name=f"drive-emulator-{self.port}", daemon=True)
        self._thread.start()
        if not self._server.ready.wait(_START_TIMEOUT):
            raise EmulatorError("the emulator did not start")

    def stop(self) -> None:
        """Stop serving and close the store; idempotent. From any thread but the server's."""
        self._server.request_exit()
        if self._thread is None:
            self._close()
            return
        self._thread.join(_STOP_TIMEOUT)

    def _close(self) -> None:
        self.drive.close()
        self._socket.close()
        if self._scratch is not None:
            self._scratch.remove()
            self._scratch = None


def _listen(host: str, port: int) -> socket.socket:
    # Not by socket.create_server(): its sockets name no protocol, and asyncio keeps only those that name TCP from
    # waiting up to 40 ms between an answer's head and its body (Nagle's algorithm).
    family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, proto)
    try:
        # A port that a dead emulator left in TIME_WAIT is free; one that somebody listens on is not.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(1024)
    except OSError:
        listener.close()
        raise
    return listener


def _until_stopped(application: ASGIApp) -> ASGIApp:
    """Let calls that are cancelled end quietly: the emulator stops, and has broken their connections off."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        with suppress(asyncio.CancelledError):
            await application(scope, receive, send)

    return call


class _Server(uvicorn.Server):
    """A server that says when it is ready, and stops without being polled."""

    def __init__(self, config: uvicorn.Config, tunnel: Tunnel | None) -> None:
        super().__init__(config)
        self._tunnel = tunnel
        self.ready = threading.Event()
        self.announce: Callable[[], None] = lambda: None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._exit: asyncio.Event | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop, self._exit = asyncio.get_running_loop(), asyncio.Event()
        await super().startup(sockets)
        if self._tunnel is not None:
            await self._tunnel.start()
        self.ready.set()
        self.announce()

    async def main_loop(self) -> None:
        if self._exit is not None:
            await self._exit.wait()
        self.should_exit = True
        if self._tunnel is not None:
            self._tunnel.close()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # A connection that was just accepted as its server closes, asyncio forgets without closing it (Python 3.11).
        for listener in sockets or []:
            asyncio.get_running_loop().remove_reader(listener)
        for _ in range(2):  # what was accepted is made, and then known to the server
            await asyncio.sleep(0)
        ending = asyncio.get_running_loop().call_later(_PATIENCE, self._break_off)
        await super().shutdown(sockets)
        ending.cancel()

    def _break_off(self) -> None:
        """End what is still under way, such as an upload: its connection first, so that nobody misses an answer."""
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        for task in list(self.server_state.tasks):
            task.cancel()

    def request_exit(self) -> None:
        """End in good order.

        Not by ``should_exit`` once it serves: uvicorn leaves all open when it finds that set before its main loop.
        """
        if self._loop is None or self._exit is None:
            self.should_exit = True
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._exit.set)

    def handle_exit(self, sig: int, frame: Any) -> None:  # noqa: ARG002 - uvicorn's signature
        """End on a signal without raising it again, so that the store is closed; a second one does not wait."""
        self.force_exit = self.should_exit
        if self.force_exit and self._loop is not None:
            self._loop.call_soon_threadsafe(self._break_off)
        self.request_exit()


class _Parser(HttpRequestParser):
    """Goes on in HTTP/1.1 with a request that would rather have another protocol, as Java's clients would.

    httptools takes what follows the head for that protocol, so that the request would have no body.
    """

    def __init__(self, protocol: _Protocol) -> None:
        super().__init__(protocol)
        self._protocol = protocol
        with suppress(AttributeError):  # as uvicorn does, whose httptools may be older than 0.6.3
            self.set_dangerous_leniencies(lenient_data_after_close=True)

    def feed_data(self, data: Any) -> None:
        try:
            super().feed_data(data)
        except HttpParserUpgrade as upgrade:
            if not self._protocol.asks_for_more:
                raise
            self.feed_data(self._protocol.plain_head() + data[upgrade.args[0] :])


class _Protocol(HttpToolsProtocol):
    """Lets faults reach the connection, and answers what is no HTTP as Google does."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.parser = _Parser(self)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.asks_for_more = False
        self.scope["extensions"] = {TRANSPORT: self.transport}  # type: ignore[dict-item]

    def on_headers_complete(self) -> None:
        self.asks_for_more = self.parser.should_upgrade() and any(name == b"upgrade" for name, _ in self.headers)
        if not self.asks_for_more:
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        if not self.asks_for_more:
            super().on_message_complete()

    def plain_head(self) -> bytes:
        """Return the head of the request without its wish for another protocol."""
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        fields = [name + b": " + value for name, value in self.headers if name != b"upgrade"]
        return b"\r\n".join([b"%s %s HTTP/%s" % (method, self.url, version), *fields, b"", b""])

    def send_400_response(self, msg: str) -> None:
        body = json.dumps(bad_body(msg).body()).encode()
        head = (
            "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json; charset=UTF-8\r\nConnection: close\r\n"
            f"Date: {formatdate(usegmt=True)}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()
