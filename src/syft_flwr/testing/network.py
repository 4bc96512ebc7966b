"""Keep a test from the network: what it replays must not depend on it."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

_recordings: list[None] = []
"""One for each recording that is being made."""


class NetworkBlockedError(OSError):
    """A replay asked for the network."""

    def __init__(self, host: object) -> None:
        super().__init__(
            f"a replay must not depend on the network, and something asked for {host!r}: let the recording have it, or "
            "open it with recorded_feed(…, network=True)"
        )


@contextmanager
def no_network() -> Iterator[None]:
    """Let nothing of this process connect or send to another machine, or look up its name, while the block runs.

    Sockets of this machine (loopback, Unix) work as ever.

    Raises:
        NetworkBlockedError: In the block, whoever asks for another machine.
    """

    def guarded(original: Any) -> Any:
        def call(self: socket.socket, *arguments: Any) -> Any:
            if self.family in {socket.AF_INET, socket.AF_INET6}:
                _check(arguments[-1][0])  # the address comes last
            return original(self, *arguments)

        return call

    def guarded_look_up(original: Any) -> Any:
        def call(host: Any, *arguments: Any, **named: Any) -> Any:
            if host is not None:
                _check(host)
            return original(host, *arguments, **named)

        return call

    with ExitStack() as stack:
        for name in ("connect", "connect_ex", "sendto"):
            stack.enter_context(mock.patch.object(socket.socket, name, guarded(getattr(socket.socket, name))))
        for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex"):
            stack.enter_context(mock.patch.object(socket, name, guarded_look_up(getattr(socket, name))))
        yield


@contextmanager
def network_for_recording() -> Iterator[None]:
    """Let everything connect while the block runs, also where a feed that is open already forbids it."""
    _recordings.append(None)
    try:
        yield
    finally:
        _recordings.pop()


def _check(host: Any) -> None:
    name = host.decode() if isinstance(host, bytes) else str(host)
    if _recordings or name in {"", "localhost"}:
        return
    try:
        if ipaddress.ip_address(name.partition("%")[0]).is_loopback:
            return
    except ValueError:
        pass
    raise NetworkBlockedError(name)
