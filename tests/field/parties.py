"""Owners and askers, each a runtime over HTTP behind a relay; time passes by steps, or sixty times as fast."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import google.oauth2.credentials
from runtimes import State, runtime_on, serve

from syft_flwr.drive.gateway import HttpDriveGateway
from syft_flwr.errors import CredentialsError, DriveError, NotFoundError, SyftFlwrError
from syft_flwr.exchange.requester import Request
from syft_flwr.exchange.routes import Route
from syft_flwr.models import Message
from syft_flwr.runtime import DriveRuntime
from syft_flwr.settings import Endpoint
from syft_flwr.testing import DriveEmulator, FaultRelay
from syft_flwr.testing.clock import ManualClock

APP = "flwr/diabetes"
_TIMEOUT = 0.25
"""Seconds of real time that a call may hang, where a test has no threads."""
_PATIENCE = 3.0
_FASTER = 60
"""How much faster the time of parties with threads passes."""


class Party:
    """An account with a runtime; after an error that ends a process it gets a new one on the same state."""

    def __init__(self, world: World, email: str, *, answers: bool = False, url: str) -> None:
        self.email = email
        self._url = url
        self.failures: list[BaseException] = []
        self._world = world
        self._answers = answers
        self._state = State(world.directory / email)
        self._open: ExitStack | None = None

    @property
    def runtime(self) -> DriveRuntime:
        if self._open is None:
            self._open = ExitStack()
            world = self._world
            gateway = HttpDriveGateway(
                Endpoint(self._url, None, is_emulator=True),
                google.oauth2.credentials.Credentials(token=self.email),
                clock=world.clock,
                timeout=_TIMEOUT * 4 if world.threads else _TIMEOUT,
                patience=_PATIENCE * 10 if world.threads else _PATIENCE,
                rng=random.Random(0),
            )
            self._runtime = self._open.enter_context(
                runtime_on(gateway, self._state, world.clock, self.email, inline=not world.threads)
            )
            if self._answers:
                serve(self._runtime, Route(APP, "messages", world.handle))
            if world.threads:
                self._runtime.start()
        return self._runtime

    def poll(self) -> None:
        """Poll once, as a loop does that lives through errors, or that a supervisor starts anew."""
        try:
            self.runtime.poll_once()
        except SyftFlwrError as error:
            self.failures.append(error)

    def close(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None


class WallClock(ManualClock):
    """A machine's clock, whose time of day somebody sets."""

    shift = 0.0

    def time(self) -> float:
        return super().time() + self.shift


class FastClock:
    """A machine's clock that runs sixty times as fast, and whose time of day somebody sets."""

    shift = 0.0

    def __init__(self) -> None:
        self._began = time.time(), time.monotonic()

    def time(self) -> float:
        return self._began[0] + self.monotonic() + self.shift

    def monotonic(self) -> float:
        return (time.monotonic() - self._began[1]) * _FASTER

    def wait(self, event: threading.Event, timeout: float | None) -> bool:
        return event.wait(None if timeout is None else timeout / _FASTER)


class World:
    """Parties behind one relay; what was handled, how often.

    Args:
        drive: Where they meet.
        relay: What stands between.
        directory: Where their states go.
        threads: Whether each polls by itself, on threads of its own; else time passes, and they poll, by :meth:`step`.
    """

    def __init__(self, drive: DriveEmulator, relay: FaultRelay, directory: Path, *, threads: bool = False) -> None:
        drive.reset()
        relay.clear()
        self.drive = drive
        self.relay = relay
        self.directory = directory
        self.threads = threads
        self.clock = FastClock() if threads else WallClock(start=time.time(), auto=True)
        self.handled: Counter[bytes] = Counter()
        self._counting = threading.Lock()
        self._ahead = 0.0
        self._parties: dict[str, Party] = {}

    def party(self, email: str, *, answers: bool = False, relayed: bool = True) -> Party:
        """Return a party, whose calls go by the relay, or past it to the Drive."""
        if email not in self._parties:
            url = self.relay.url if relayed else self.drive.url
            self._parties[email] = Party(self, email, answers=answers, url=url)
        return self._parties[email]

    def handle(self, body: bytes, _: Message) -> bytes:
        with self._counting:
            self.handled[body] += 1
        return body[::-1]

    def ask(self, asker: Party, owner: Party, body: bytes) -> str | None:
        """Send a request; return its future, or ``None`` if the asker was told that it could not be sent."""
        try:
            [future] = asker.runtime.send([Request(owner.email, APP, "messages", body)])
        except SyftFlwrError as error:
            asker.failures.append(error)
            return None
        return future

    def answer(self, asker: Party, future: str) -> bytes | None:
        """Return the reply, which may be an error reply, or ``None``; that Drive has it no more is an error, too."""
        try:
            return asker.runtime.get_response(future)
        except NotFoundError:
            return b'{"error": "its owner has deleted it, since Drive said that the request is gone"}'
        except (DriveError, CredentialsError) as error:  # its body can't be had now
            asker.failures.append(error)
            return None

    def step(self, seconds: float = 5.0) -> None:
        """Let time pass, and everybody poll once, or as often as they do by themselves."""
        if self.threads:
            self.clock.wait(threading.Event(), seconds)
        else:
            self.clock.advance(seconds)
        now = self.clock.monotonic()
        self.drive.advance((now - self._ahead) * ((_FASTER - 1) / _FASTER if self.threads else 1))
        self._ahead = now
        for party in list(self._parties.values()):
            if self.threads:
                _ = party.runtime  # a new process in the place of a killed one
            else:
                party.poll()

    def leave(self, party: Party) -> None:
        """Let somebody poll no more."""
        self._parties.pop(party.email).close()

    def close(self) -> None:
        for party in self._parties.values():
            party.close()
