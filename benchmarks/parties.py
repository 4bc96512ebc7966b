"""Two accounts that exchange messages step by step: ours, and each rival's. Nothing polls by itself."""

from __future__ import annotations

import os
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from benchmarks.rivals.drive import FOLDER
from benchmarks.rivals.grouped import GroupedEvents, GroupedRpc
from benchmarks.rivals.listing import ListingEvents, ListingRpc
from drive_emulator import DriveEmulator
from drive_emulator.metadata import Metadata
from syft_flwr import wire
from syft_flwr.events import P2PFileEvents
from syft_flwr.rpc import P2PFileRpc
from syft_flwr.runtime import DriveRuntime
from syft_flwr.settings import EMULATOR_VARIABLE, STATE_VARIABLE

ASKER, OWNER, APP = "ds@example.org", "owner@example.com", "flwr/benchmark"
ENDPOINTS = ("messages", "evaluate", "status")


def kinds(*, rivals: bool) -> tuple[str, ...]:
    return ("feed", "grouped", "listing") if rivals else ("feed",)


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
    """What follows the change feed, by the public API that older revisions have as well."""

    def __init__(self, drive: DriveEmulator) -> None:
        self._drive = drive
        self.rpc = P2PFileRpc(ASKER, APP, poll_interval=NEVER, max_poll_interval=NEVER)
        self.owner = DriveRuntime.open(OWNER, poll_interval=NEVER, max_poll_interval=NEVER)
        events = P2PFileEvents(APP, OWNER, allowed_senders=[ASKER])
        for endpoint in ENDPOINTS:
            events.on_request(endpoint, lambda body: body)
        self._detach = events.attach(self.owner)

    def send(self, bodies: Sequence[bytes]) -> list[str]:
        return self.rpc.send_many([(OWNER, APP, ENDPOINTS[0], body) for body in bodies])

    def answer(self) -> None:
        self._settle(self.owner)

    def look(self, futures: Sequence[str]) -> dict[str, bytes]:
        self.rpc.runtime.poll_once()
        replies = ((future, self.rpc.get_response(future)) for future in futures)
        return {future: body for future, body in replies if body is not None}

    def forget(self, futures: Sequence[str]) -> None:
        for future in futures:
            self.rpc.delete_future(future)
        self._settle(self.rpc.runtime)

    def _settle(self, runtime: DriveRuntime) -> None:
        """Poll once, and end what that has begun."""
        if hasattr(runtime, "drain"):
            assert runtime.drain(60), "it did not end in time"
            return
        runtime.poll_once()
        while self._is_busy():
            time.sleep(0.005)

    def _is_busy(self) -> bool:
        """Tell whether a request lies there without an answer."""
        names = [file.name.partition(".") for file in self._drive.files(content=False)]
        answered = {future for future, _, kind in names if kind == "response"}
        return any(kind == "request" and future not in answered for future, _, kind in names)

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


def make_inboxes(drive: DriveEmulator, senders: Sequence[str], endpoints: Sequence[str]) -> list[tuple[Any, str]]:
    """Make the owner's inboxes, past HTTP, by which thousands would take minutes; return senders and folders."""
    store = drive._server.drive  # type: ignore[union-attr] # noqa: SLF001
    folders = []
    with store.database.transaction():
        for email in senders:
            sender = store.accounts.ensure(email)
            made: dict[tuple[str, ...], str] = {}
            for endpoint in endpoints:
                path = tuple(wire.inbox_path(email, OWNER, APP, endpoint))
                for depth in range(1, len(path) + 1):
                    if path[:depth] not in made:
                        parent = made.get(path[: depth - 1], "root")
                        metadata = Metadata(name=path[depth - 1], mime_type=FOLDER, parents=(parent,))
                        made[path[:depth]] = store.files.create(sender, metadata, None).id
                folders.append((sender, made[path]))
            root = next(folder for names, folder in made.items() if names[-1].startswith(wire.INBOX_PREFIX))
            share = {"type": "user", "role": "writer", "emailAddress": OWNER}
            store.permissions.create(sender, root, share, transfer_ownership=False)
    return folders


@contextmanager
def parties(kind: str, drive: DriveEmulator) -> Iterator[Parties]:
    """Make two accounts that know each other: one round trip is behind them."""
    pair: FeedParties | RivalParties
    if kind == "feed":
        pair = FeedParties(drive)
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
