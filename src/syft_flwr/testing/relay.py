"""A relay that stands before a Drive, Google's or the emulator's, and lets what comes back go wrong by rule.

What can go wrong is one table, :data:`~syft_flwr.testing.fault_kinds.KINDS`. The emulator's own faults are those of
Google's servers; here are those of the networks between: captive portals, proxies, broken connections, wrong clocks.
"""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache, partial
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from urllib3.util import wait_for_read

from syft_flwr.testing.bad_answers import Exchange
from syft_flwr.testing.fault_kinds import KINDS
from syft_flwr.testing.http_server import Answer, BadServer, Request
from syft_flwr.testing.relayed_call import RelayedCall, method_of

_TIMEOUT = 60.0
_FRAMING = frozenset({"content-length", "transfer-encoding", "connection", "keep-alive", "content-encoding"})


@dataclass(eq=False, slots=True)
class _Rule:
    name: str
    act: Callable[[Exchange], Answer]
    matches: Callable[[RelayedCall, Request], bool]
    times: int | None
    rate: float
    applied: bool
    seen: dict[str, Any] = field(default_factory=dict)
    hits: int = 0


class FaultRelay:
    """Hands requests on to a Drive, and lets answers go wrong as its rules say. Thread-safe.

    For example::

        with DriveEmulator() as drive, FaultRelay(drive.url) as relay:
            monkeypatch.setenv("DRIVE_EMULATOR_HOST", relay.host)
            with relay.fault("login_page", method="files.get_media", account="do@example.com", times=2):
                ...

    Args:
        upstream: The Drive's URL, ``"http://127.0.0.1:8085"`` or ``"https://www.googleapis.com"``.
        seed: Of what strikes at random.
    """

    def __init__(self, upstream: str, *, seed: int = 0) -> None:
        self._upstream = urlsplit(upstream)
        self._lock = threading.Lock()
        self._rules: list[_Rule] = []
        self._calls: list[RelayedCall] = []
        self._accounts: dict[str, str] = {}
        self._idle: list[http.client.HTTPConnection] = []
        self._random = random.Random(seed)  # noqa: S311 - repeatable, not secret
        self._server = BadServer(self._answer)

    @property
    def host(self) -> str:
        """``127.0.0.1:PORT``, the value for ``DRIVE_EMULATOR_HOST``."""
        return self._server.host

    @property
    def url(self) -> str:
        return self._server.url

    @contextmanager
    def fault(self, kind: str | Callable[[Exchange], Answer], **rule: Any) -> Iterator[None]:
        """Keep a fault in force for the block; takes what :meth:`add` takes."""
        remove = self.add(kind, **rule)
        try:
            yield
        finally:
            remove()

    def add(
        self,
        kind: str | Callable[[Exchange], Answer],
        *,
        method: str | None = None,
        account: str | None = None,
        file_id: str | None = None,
        where: Callable[[RelayedCall, Request], bool] = lambda _call, _request: True,
        times: int | None = None,
        rate: float = 1.0,
        applied: bool = False,
    ) -> Callable[[], None]:
        """Put a fault in force; the first rule that fits a call decides over it. Return what removes it.

        Args:
            kind: A name out of :data:`~syft_flwr.testing.fault_kinds.KINDS`, or what makes an answer of an exchange.
            method: As Drive names it (``"changes.list"``); ``None`` for each that the kind can strike.
            account: Whose calls; ``None`` for everyone's.
            file_id: About which file; ``None`` for any.
            where: Further conditions.
            times: How many times it strikes; ``None`` for no end.
            rate: Probability for each call that fits.
            applied: Whether calls that the kind would keep from Drive take effect all the same, and only their answers
                are lost.

        Raises:
            ValueError: There is no such kind, or it can't strike that method.
        """
        if isinstance(kind, str):
            if kind not in KINDS:
                raise ValueError(f"there is no kind of fault {kind!r}; there are {', '.join(KINDS)}")
            known = KINDS[kind]
            if method is not None and not known.strikes(method):
                raise ValueError(f"{kind} can't strike {method}")
            name, act, methods = kind, known.act, known.methods
        else:
            name, act, methods = getattr(kind, "__name__", "fault"), kind, None

        def matches(call: RelayedCall, request: Request) -> bool:
            return (
                (methods is None or call.method in methods)
                and method in (None, call.method)
                and (account is None or account.lower() == call.account.lower())
                and file_id in (None, call.file_id)
                and where(call, request)
            )

        rule = _Rule(name, act, matches, times, rate, applied)
        with self._lock:
            self._rules.append(rule)

        def remove() -> None:
            with self._lock:
                if rule in self._rules:
                    self._rules.remove(rule)

        return remove

    def clear(self) -> None:
        """Remove all faults."""
        with self._lock:
            self._rules.clear()

    def calls(self) -> list[RelayedCall]:
        """Return the calls so far that were answered, oldest first."""
        with self._lock:
            return list(self._calls)

    def close(self) -> None:
        """Stop relaying; idempotent."""
        self._server.close()
        with self._lock:
            while self._idle:
                self._idle.pop().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _answer(self, request: Request) -> Answer:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        method, file_id = method_of(request)
        call = RelayedCall(time.monotonic(), self._accounts.get(token, token), method, file_id, 0, "")
        rule = self._strike(call, request)
        if rule is None:
            answer = self._forward(request, token)
        else:
            forward: Callable[[], Answer] = partial(self._forward, request, token)
            if rule.applied:
                forward = cache(forward)  # Drive gets it now, and once
                forward()
            answer = rule.act(Exchange(method, request, forward, rule.seen, rule.hits, self._server.closing))
        status = 0 if answer.reset or answer.closed else answer.status
        with self._lock:
            self._calls.append(replace(call, status=status, fault="" if rule is None else rule.name))
        return answer

    def _strike(self, call: RelayedCall, request: Request) -> _Rule | None:
        with self._lock:
            for rule in self._rules:
                if rule.times is not None and rule.hits >= rule.times:
                    continue
                if rule.matches(call, request) and (rule.rate >= 1 or self._random.random() < rule.rate):
                    rule.hits += 1
                    return rule
        return None

    def _forward(self, request: Request, token: str) -> Answer:
        headers = {name: value for name, value in request.headers.items() if name not in ("host", "accept-encoding")}
        connection = self._connect()
        try:
            connection.request(request.verb, request.path, request.body, headers)
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException):  # what the Drive does to the relay, this does to its client
            connection.close()
            return Answer(reset=True)
        self._keep(connection)
        kept = {name: value for name, value in response.getheaders() if name.lower() not in _FRAMING}
        for name, value in kept.items():
            if name.lower() == "location":  # the sessions of resumable uploads
                kept[name] = value.replace(f"{self._upstream.scheme}://{self._upstream.netloc}", self.url)
        if request.path.startswith("/drive/v3/about") and response.status == 200:
            self._learn(token, body)
        return Answer(response.status, body, kept)

    def _connect(self) -> http.client.HTTPConnection:
        with self._lock:
            while self._idle:
                connection = self._idle.pop()
                if connection.sock is not None and not wait_for_read(connection.sock, timeout=0):
                    return connection
                connection.close()
        kind = http.client.HTTPSConnection if self._upstream.scheme == "https" else http.client.HTTPConnection
        return kind(self._upstream.netloc, timeout=_TIMEOUT)

    def _keep(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            if not self._server.closing.is_set():
                self._idle.append(connection)
                return
        connection.close()

    def _learn(self, token: str, body: bytes) -> None:
        """Note whose token it is."""
        try:
            address = json.loads(body)["user"]["emailAddress"]
        except (ValueError, KeyError, TypeError):
            return
        self._accounts[token] = address
