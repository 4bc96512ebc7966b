"""HTTP to Drive: kept connections that stream, and that another thread can break off."""

from __future__ import annotations

import os
import socket
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Protocol

import requests
from requests.adapters import HTTPAdapter

from syft_flwr.errors import RuntimeClosedError

_BLOCK = 256 * 1024
_CONNECT_TIMEOUT = 20.0
_LEAST = 16 * 1024
"""Bytes that an answer must bring in the timeout of a socket operation; one that drips is broken off."""
_MOST = 64 * 1024 * 1024
"""Bytes of an answer that is kept in memory."""
_KEPT = 64
"""Idle connections to keep to a host, at most: as many as threads ever call at once."""


class Sink(Protocol):
    """Where the body of a successful answer goes, in place of memory."""

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Take note of the answer that is about to arrive."""

    def write(self, block: bytes) -> None: ...


class Head(dict[str, str]):
    """Status and headers of an answer, names in lower case; what the Google client reads answers from."""

    def __init__(self, response: requests.Response) -> None:
        super().__init__({name.lower(): value for name, value in response.headers.items()})
        self.status = response.status_code
        self.reason = response.reason or ""


class Transport:
    """Sends requests as they are, each once, and follows no redirect. Thread-safe.

    Proxies and certificates are those of the environment (``HTTPS_PROXY``, ``NO_PROXY``, ``REQUESTS_CA_BUNDLE``,
    ``SSL_CERT_FILE``).

    Args:
        stopped: Set when everything is to end; from then on nothing is sent.
        timeout: Seconds that any one socket operation may take.
        is_local: Whether Drive is on this machine, so that no proxy has business with it.
    """

    def __init__(self, stopped: threading.Event, *, timeout: float, is_local: bool) -> None:
        self._stopped = stopped
        self._timeout = (min(timeout, _CONNECT_TIMEOUT), timeout)
        self._connections: weakref.WeakSet[Any] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._http = requests.Session()
        self._http.trust_env = not is_local
        self._http.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
        self._http.verify = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE") or True
        adapter = _Adapter(self._watch)
        self._http.mount("https://", adapter)
        self._http.mount("http://", adapter)

    def send(
        self,
        uri: str,
        method: str,
        body: bytes | str | None,
        headers: Mapping[str, str],
        *,
        sink: Sink | None = None,
    ) -> tuple[Head, bytes]:
        """Send a request; return the answer's head, and its body unless ``sink`` took it, which it does of 200 and 206.

        Raises:
            OSError: No answer, or not all of it.
            RuntimeClosedError: All is being stopped; also when that happens in the middle.
        """
        self.raise_if_stopped()
        try:
            # Not by ``Session.request``, half of whose work is to merge what each request has with what all have. The
            # header stands in place of an ``auth`` of any kind: requests would else look for one in ~/.netrc.
            request = requests.PreparedRequest()
            request.prepare(method, uri, {**self._http.headers, **headers}, data=body, auth=_keep_headers)
            settings = self._http.merge_environment_settings(uri, {}, True, None, None)
            with self._http.send(request, timeout=self._timeout, allow_redirects=False, **settings) as response:
                if sink is None or response.status_code not in (200, 206):
                    return Head(response), b"".join(self._blocks(response.raw, most=_MOST))
                sink.begin(response.status_code, response.headers)
                for block in self._blocks(response.raw):
                    sink.write(block)
                return Head(response), b""
        except Exception as error:
            _let_go_of_bodies(error)
            if self._stopped.is_set():
                raise RuntimeClosedError("the connection to Drive was closed in the middle of a call") from error
            raise

    def _blocks(self, raw: Any, *, most: int | None = None) -> Iterator[bytes]:
        """Yield what arrives of an answer. Not by ``iter_content()``, which loses what came before a break."""
        since, size, total = time.monotonic(), 0, 0
        while block := raw.read1(_BLOCK, decode_content=True):
            yield block
            size += len(block)
            total += len(block)
            if most is not None and total > most:
                raise OSError(f"an answer of more than {most:,} bytes")
            if (now := time.monotonic()) > since + self._timeout[1]:
                if size < _LEAST:
                    raise TimeoutError(f"an answer that brings {size} bytes in {now - since:.0f} s")
                since, size = now, 0

    def raise_if_stopped(self) -> None:
        """Raise if all is being stopped.

        Raises:
            RuntimeClosedError: It is.
        """
        if self._stopped.is_set():
            raise RuntimeClosedError("the connection to Drive is closed")

    def close(self) -> None:
        """Close the idle connections and break off the exchanges under way; ``stopped`` must be set before."""
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            _shut_down(getattr(connection, "sock", None))
        self._http.close()

    def _watch(self, connection: Any) -> None:
        with self._lock:
            self._connections.add(connection)
        if self._stopped.is_set():
            _shut_down(connection.sock)


class _Adapter(HTTPAdapter):
    """Tells of each connection that is made; by way of a proxy as well."""

    def __init__(self, on_connect: Callable[[Any], None]) -> None:
        self._on_connect = on_connect
        super().__init__(pool_maxsize=_KEPT, max_retries=0)

    def get_connection_with_tls_context(self, *args: Any, **options: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **options)
        if not issubclass(pool.ConnectionCls, _Watched):
            kind: Any = pool.ConnectionCls
            pool.ConnectionCls = type("Watched", (_Watched, kind), {"on_connect": staticmethod(self._on_connect)})
        return pool


class _Watched:
    """A connection, mixed into urllib3's own class."""

    on_connect: Callable[[Any], None]

    def connect(self) -> None:
        super().connect()  # type: ignore[misc] # the other class's
        self.on_connect(self)


def _keep_headers(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _let_go_of_bodies(error: BaseException | None) -> None:
    """Clear the frames that an error came through: those of urllib3 tie it, and an upload's body, into a cycle."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        traceback.clear_frames(error.__traceback__)
        if isinstance(error, requests.RequestException):
            error.request = error.response = None
        error = error.__cause__ or error.__context__


def _shut_down(connected: socket.socket | None) -> None:
    if isinstance(connected, socket.socket):
        with suppress(OSError):
            # Past SSLSocket's own shutdown(), which would pull its state from under the thread that reads.
            socket.socket.shutdown(connected, socket.SHUT_RDWR)
