"""The event log of an account: what each of its processes did, in the transaction of the state that it describes.

A row, ``event/{number}``, is what one transaction came to: ``{"at": …, "by": …, "events": [[what, fields], …]}``, with
Unix seconds and the holder's name. It costs no transaction of its own, so what the log says happened is on disk, and
what is on disk the log says. The newest rows are kept; nothing in them is a message's body.

==============  =======================================================================================================
``polled``      a page of the feed that concerned messages; ``changes``, and in ``gone`` the known files that went
``seen``        a candidate's ``file`` (a ``drive#file`` resource), by the feed or a sweep
``waiting``     a message that is genuine and has no handler, or no room, here
``admitted``    a message that a process has taken
``ignored``     the candidate ``file_id`` turned out not to be a message to this account
``withdrawn``   a request went before it was handled; its ``file_id`` and ``name``
``rejected``    a file, with ``reason`` and ``detail``
``handled``     a request whose answer is on disk: ``lag``, ``seconds``, ``attempts``, ``reply_size``, ``is_error``
``consumed``    a request that a pipeline has acknowledged
``replied``     the answer to a request is in Drive, as ``reply_id``
``sent``        a request of our own is on its way
``unsent``      it could not be sent
``answered``    the response to one, with its ``file``
``deleted``     files of our own, by ID
``swept``       a sweep ended
``paused``      calls wait for a limit: ``why``
==============  =======================================================================================================
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from syft_flwr.inline import split
from syft_flwr.models import Message, Rejection
from syft_flwr.ports import JSON, Clock, StateStore, Transaction
from syft_flwr.resources import DriveFile
from syft_flwr.state.rows import number_of, numbered

T = TypeVar("T")

KEPT = 10_000
"""Rows that are kept: some thousand round trips."""
FEED = "feed"
"""Who did it, where an onlooker knows by the feed alone."""
_BEHIND = 1_000
"""Things without a state of their own that wait for the next row, at most."""


@dataclass(frozen=True, slots=True)
class Happened:
    """Something that a process did.

    Attributes:
        number: Of its row in the log; several things may share it.
        at: Unix time in seconds.
        by: The process, as a holder of leases (:mod:`~syft_flwr.state.holders`).
        what: One of the kinds above.
        fields: What belongs to it.
    """

    number: int
    at: float
    by: str
    what: str
    fields: Mapping[str, Any]


class EventLog:
    """A :class:`~syft_flwr.ports.StateStore` that writes down what happens in its transactions, in these themselves.

    Args:
        store: Where the rows live.
        clock: The machine's time: who reads along has no other.
        holder: This process's name.
        keep: Rows to keep; none: nothing is written.
    """

    def __init__(self, store: StateStore, clock: Clock, *, holder: str, keep: int = KEPT) -> None:
        self._store = store
        self._clock = clock
        self._holder = holder
        self._keep = keep
        self._happened: list[tuple[str, Mapping[str, JSON]]] = []
        """In the transaction that runs: a store runs one at a time."""
        self._noted: deque[tuple[str, Mapping[str, JSON]]] = deque(maxlen=_BEHIND)

    @property
    def is_kept(self) -> bool:
        """Whether anything is written."""
        return self._keep > 0

    def now(self) -> float:
        """Return the time (Unix seconds) that the log goes by."""
        return self._clock.time()

    def transact(self, work: Callable[[Transaction], T]) -> T:
        """Run ``work`` in one transaction of the store, and write down with it what happened there."""
        if not self._keep:
            return self._store.transact(work)

        def logged(tx: Transaction) -> T:
            self._happened.clear()  # what is left of a transaction that was undone
            result = work(tx)
            if self._happened:
                self._write(tx)
            return result

        return self._store.transact(logged)

    def happened(self, what: str, **fields: JSON) -> None:
        """Write down, with the transaction that runs, what it does."""
        if self._keep:
            self._happened.append((what, fields))

    def note(self, what: str, **fields: JSON) -> None:
        """Write down, with the next transaction that has something to say, what has no state of its own."""
        if self._keep:
            self._noted.append((what, fields))

    def tell(self, what: str, **fields: JSON) -> None:
        """Write down at once what is seldom, and may be the last thing for long."""
        self.transact(lambda _: self.happened(what, **fields))

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def _write(self, tx: Transaction) -> None:
        number = (tx.get("events") or 0) + 1
        events = [self._noted.popleft() for _ in range(len(self._noted))] + self._happened
        tx.put("events", number)
        tx.put(numbered("event", number), {"at": self.now(), "by": self._holder, "events": events})
        if number > self._keep:
            tx.delete(numbered("event", number - self._keep))


def last_number(tx: Transaction) -> int:
    """Return the number of the log's last row."""
    return int(tx.get("events") or 0)


def read_after(tx: Transaction, number: int, *, limit: int) -> Iterator[Happened]:
    """Yield what the rows behind a number say, ``limit`` of them at most, oldest first."""
    for key, row in tx.scan("event/", after=numbered("event", number), limit=limit):
        for what, fields in row["events"]:
            yield Happened(number_of(key), row["at"], row["by"], what, fields)


def of_message(message: Message) -> dict[str, JSON]:
    """Return what an event tells of a message."""
    return {
        "kind": message.kind,
        "sender": message.sender,
        "recipient": message.recipient,
        "app": message.app,
        "endpoint": message.endpoint,
        "future_id": message.future_id,
        "file_id": message.file_id,
        "size": message.size,
    }


def of_file(file: DriveFile) -> JSON:
    """Return a file's metadata, without what holds its body."""
    raw = file.to_api()
    return raw if not file.properties else {**raw, "properties": split(file.properties)[1]}


def of_rejection(rejection: Rejection) -> dict[str, JSON]:
    """Return what an event tells of a file that was not accepted."""
    message = {} if rejection.message is None else of_message(rejection.message)
    return {
        "reason": str(rejection.reason),
        "detail": rejection.detail,
        "name": rejection.file_name,
        "claimed_sender": rejection.claimed_sender,
        "file_id": rejection.file_id,
        **message,
    }
