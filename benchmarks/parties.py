"""Two accounts that exchange messages step by step: ours, and each rival's. Nothing polls by itself."""

from __future__ import annotations

import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from benchmarks.rivals.grouped import GroupedEvents, GroupedRpc
from benchmarks.rivals.listing import ListingEvents, ListingRpc
from syft_flwr.events import P2PFileEvents
from syft_flwr.rpc import P2PFileRpc
from syft_flwr.runtime import DriveRuntime
from syft_flwr.settings import EMULATOR_VARIABLE, STATE_VARIABLE
from syft_flwr.testing import DriveEmulator

ASKER, OWNER, APP = "ds@example.org", "owner@example.com", "flwr/benchmark"
ENDPOINTS = ("messages", "evaluate", "status")
KINDS = ("feed", "grouped", "listing")
NEVER = 86_400.0


class Parties(ABC):
    """One that asks and one that answers."""

    @abstractmethod
    def send(self, bodies: Sequence[bytes]) -> list[str]: ...

    @abstractmethod
    def answer(self) -> None:
        """Let the owner look once, and answer what it finds."""

    @abstractmethod
    def look(self, futures: Sequence[str]) -> dict[str, bytes]:
        """Look once for the replies."""

    @abstractmethod
    def forget(self, futures: Sequence[str]) -> None: ...

    def round_trip(self, body: bytes = b"hello") -> None:
        futures = self.send([body])
        self.answer()
        assert self.look(futures) == {futures[0]: body}
        self.forget(futures)
        self.answer()


class FeedParties(Parties):
    """What follows the change feed, by its public API."""

    def __init__(self) -> None:
        self.rpc = P2PFileRpc(ASKER, APP, poll_interval=NEVER, max_poll_interval=NEVER)
        self.owner = DriveRuntime.open(OWNER, poll_interval=NEVER, max_poll_interval=NEVER)
        events = P2PFileEvents(APP, OWNER, allowed_senders=[ASKER])
        for endpoint in ENDPOINTS:
            events.on_request(endpoint, lambda body: body)
        self._detach = events.attach(self.owner)

    def send(self, bodies: Sequence[bytes]) -> list[str]:
        return self.rpc.send_many([(OWNER, APP, ENDPOINTS[0], body) for body in bodies])

    def answer(self) -> None:
        assert self.owner.drain(60), "the owner did not answer in time"

    def look(self, futures: Sequence[str]) -> dict[str, bytes]:
        self.rpc.runtime.poll_once()
        replies = ((future, self.rpc.get_response(future)) for future in futures)
        return {future: body for future, body in replies if body is not None}

    def forget(self, futures: Sequence[str]) -> None:
        for future in futures:
            self.rpc.delete_future(future)
        self.rpc.runtime.drain(60)

    def close(self) -> None:
        self._detach()
        self.owner.close()
        self.rpc.close()


class RivalParties(Parties):
    """A rival's two sides."""

    def __init__(self, rpc: ListingRpc, owner: ListingEvents) -> None:
        self.rpc, self.owner = rpc, owner
        for endpoint in ENDPOINTS:
            owner.on_request(endpoint, lambda body: body)

    def send(self, bodies: Sequence[bytes]) -> list[str]:
        return [self.rpc.send(OWNER, APP, ENDPOINTS[0], body) for body in bodies]

    def answer(self) -> None:
        self.owner.poll_once()

    def look(self, futures: Sequence[str]) -> dict[str, bytes]:
        del futures  # all that are outstanding
        return self.rpc.look()

    def forget(self, futures: Sequence[str]) -> None:
        for future in futures:
            self.rpc.delete_future(future)

    def close(self) -> None:
        self.rpc.close()
        self.owner.close()


@contextmanager
def local_drive(*, process: bool = False) -> Iterator[DriveEmulator]:
    """Run an emulator that this process's runtimes use, with their state in a new directory."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as state, DriveEmulator(process=process) as drive:
        ours = {EMULATOR_VARIABLE: drive.host, STATE_VARIABLE: state}
        before: dict[str, Any] = {name: os.environ.get(name) for name in ours}
        os.environ.update(ours)
        try:
            yield drive
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})


@contextmanager
def parties(kind: str, drive: DriveEmulator) -> Iterator[Parties]:
    """Make two accounts that know each other: one round trip is behind them."""
    pair: FeedParties | RivalParties
    if kind == "feed":
        pair = FeedParties()
    elif kind == "grouped":
        pair = RivalParties(GroupedRpc(drive.host, ASKER), GroupedEvents(drive.host, APP, OWNER))
    else:
        pair = RivalParties(ListingRpc(drive.host, ASKER), ListingEvents(drive.host, APP, OWNER))
    try:
        pair.round_trip()
        pair.round_trip()
        yield pair
    finally:
        pair.close()
