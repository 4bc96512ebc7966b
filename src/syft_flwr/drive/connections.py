"""Kept HTTP connections that stream, and that another thread can break off."""

from __future__ import annotations

import http.client
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from email.message import Message
from typing import Any, Protocol

import httplib2

from syft_flwr.errors import RuntimeClosedError

_BLOCK = 256 * 1024


class Sink(Protocol):
    """Where the body of a successful answer goes, in place of memory."""

    def begin(self, status: int, headers: Message) -> None:
        """Take note of the answer that is about to arrive."""

    def write(self, block: bytes) -> None: ...


class _Exchange:
    __slots__ = ("sent", "sink", "stopped")

    def __init__(self, stopped: threading.Event, sink: Sink | None) -> None:
        self.stopped = stopped
        self.sink = sink
        self.sent = False


_exchange: ContextVar[_Exchange] = ContextVar("_exchange")


class _Connection(http.client.HTTPConnection):
    """What httplib2's connections lack: a body that streams, no silent second try, an end when all is being stopped."""

    def connect(self) -> None:
        _raise_if_stopped()
        if _exchange.get().sent:
            # httplib2 would send the request, POST included, once more. Sending again is the caller's to decide.
            raise ConnectionResetError("the connection was closed before an answer came")
        super().connect()

    def request(self, *args: Any, **options: Any) -> None:
        _exchange.get().sent = True
        super().request(*args, **options)

    def getresponse(self) -> http.client.HTTPResponse:
        _raise_if_stopped()
        response = super().getresponse()
        sink = _exchange.get().sink
        if sink is not None and response.status in (200, 206):
            sink.begin(response.status, response.headers)
            _pump(response, sink)
        return response


# Made with type(), since httplib2 has no types of its own that a subclass could be checked against.
_Plain: Any = type("_Plain", (_Connection, httplib2.HTTPConnectionWithTimeout), {})
_Secure: Any = type("_Secure", (_Connection, httplib2.HTTPSConnectionWithTimeout), {})


def _request(self: Any, uri: str, *args: Any, **options: Any) -> Any:
    # Here and not at the calls: redirects and token refreshes must use these connections as well.
    _exchange.get().sent = False
    options["connection_type"] = _Secure if uri.startswith("https:") else _Plain
    return httplib2.Http.request(self, uri, *args, **options)


_Client: Any = type("_Client", (httplib2.Http,), {"request": _request})


class HttpPool:
    """Lends :class:`httplib2.Http` objects, which are not thread-safe, to one exchange at a time.

    A returned one is lent again, last in first out, so connections stay alive and are as many as there are
    exchanges at once. One whose exchange failed is closed. Thread-safe.

    Args:
        stopped: Set when everything is to end; from then on nothing is lent and nothing connects.
        timeout: Seconds that any one socket operation may take.
        use_proxy: Whether to go through the proxy that the environment names.
    """

    def __init__(self, stopped: threading.Event, *, timeout: float, use_proxy: bool) -> None:
        self._stopped = stopped
        self._timeout = timeout
        self._use_proxy = use_proxy
        self._lock = threading.Lock()
        self._idle: list[httplib2.Http] = []
        self._busy: set[httplib2.Http] = set()

    @contextmanager
    def lend(self, sink: Sink | None = None) -> Iterator[httplib2.Http]:
        """Lend an ``Http`` for one exchange; the body of a 200 or 206 answer goes to ``sink``, if there is one.

        Raises:
            RuntimeClosedError: All is being stopped; also when that happens in the middle of the exchange.
        """
        with self._lock:
            if self._stopped.is_set():
                raise RuntimeClosedError("the connection to Drive is closed")
            client = self._idle.pop() if self._idle else self._make()
            self._busy.add(client)
        _close_dropped(client)
        token = _exchange.set(_Exchange(self._stopped, sink))
        sound = False
        try:
            yield client
            sound = True
        except Exception as error:
            if self._stopped.is_set():
                raise RuntimeClosedError("the connection to Drive was closed in the middle of a call") from error
            raise
        finally:
            _exchange.reset(token)
            self._take_back(client, keep=sound)

    def close(self) -> None:
        """Close the idle connections and break off the exchanges under way; ``stopped`` must be set before."""
        with self._lock:
            idle, self._idle = self._idle, []
            for client in self._busy:
                for connection in list(client.connections.values()):
                    _shut_down(connection.sock)
        for client in idle:
            client.close()

    def _make(self) -> httplib2.Http:
        # proxy_info=None means no proxy, whatever the environment says.
        options: dict[str, Any] = {} if self._use_proxy else {"proxy_info": None}
        client: httplib2.Http = _Client(timeout=self._timeout, **options)
        # 308 is "resume incomplete" in Drive's uploads, no redirect.
        client.redirect_codes = frozenset(client.redirect_codes) - {308}
        return client

    def _take_back(self, client: httplib2.Http, *, keep: bool) -> None:
        with self._lock:
            self._busy.discard(client)
            if keep and not self._stopped.is_set():
                self._idle.append(client)
                return
        client.close()


def _raise_if_stopped() -> None:
    if _exchange.get().stopped.is_set():
        raise RuntimeClosedError("the connection to Drive is closed")


def _pump(response: http.client.HTTPResponse, sink: Sink) -> None:
    expected = response.length
    received = 0
    while block := response.read(_BLOCK):
        received += len(block)
        sink.write(block)
    # read(amt) takes a connection that ends too early for the end of the body.
    if expected is not None and received < expected:
        raise http.client.IncompleteRead(b"", expected - received)


def _close_dropped(client: httplib2.Http) -> None:
    """Close the connections that the server has closed in the meantime, so that no call is wasted on finding out."""
    for connection in client.connections.values():
        # Between two exchanges nothing is due from the server: what makes the socket readable is its end.
        if connection.sock is not None and _is_readable(connection.sock):
            connection.close()


def _is_readable(connected: socket.socket) -> bool:
    # Not select(), which fails for descriptors above 1023.
    poll = select.poll()
    poll.register(connected, select.POLLIN)
    return bool(poll.poll(0))


def _shut_down(connected: socket.socket | None) -> None:
    if connected is not None:
        with suppress(OSError):
            # Past SSLSocket's own shutdown(), which would pull its state from under the thread that reads.
            socket.socket.shutdown(connected, socket.SHUT_RDWR)
