"""Requests that were sent, and where their answers lie; they survive a restart of the requester."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import Enum

from syft_flwr.models import Message
from syft_flwr.ports import JSON, StateStore, Transaction
from syft_flwr.state.own import OwnFiles
from syft_flwr.state.processed import ProcessedIds


class Answer(Enum):
    """What became of a response."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    UNKNOWN_FUTURE = "unknown_future"
    WRONG_RESPONDER = "wrong_responder"


@dataclass(frozen=True, slots=True)
class Response:
    """Where the answer to a future lies. ``size`` is in bytes."""

    file_id: str
    size: int
    sha256: str | None
    is_error: bool


@dataclass(frozen=True, slots=True)
class Future:
    """A request that was sent. ``sent_at`` is Unix time in seconds."""

    future_id: str
    recipient: str
    app: str
    endpoint: str
    request_id: str
    sent_at: float
    response: Response | None = None


class FutureTable:
    """The futures of this account, shared by its processes."""

    def __init__(self, store: StateStore, processed: ProcessedIds, own: OwnFiles) -> None:
        self._store = store
        self._processed = processed
        self._own = own

    def add(self, futures: Iterable[Future]) -> None:
        """Record requests, before their upload."""
        rows = [(f"future/{future.future_id}", asdict(future)) for future in futures]

        def work(tx: Transaction) -> None:
            for key, row in rows:
                tx.put(key, row)

        self._store.transact(work)

    def get(self, future_ids: Iterable[str]) -> dict[str, Future]:
        """Return those of the futures that are known."""
        wanted = list(future_ids)

        def work(tx: Transaction) -> dict[str, Future]:
            rows = ((future_id, tx.get(f"future/{future_id}")) for future_id in wanted)
            return {future_id: _as_future(row) for future_id, row in rows if row is not None}

        return self._store.transact(work)

    def all(self) -> list[Future]:
        """Return every future that was not forgotten."""
        return self._store.transact(lambda tx: [_as_future(row) for _, row in tx.scan("future/")])

    def answer(self, message: Message) -> Answer:
        """Attach a response to its future, whichever process sent the request."""

        def work(tx: Transaction) -> Answer:
            key = f"future/{message.future_id}"
            row = tx.get(key)
            if row is None:
                return Answer.UNKNOWN_FUTURE
            future = _as_future(row)
            expected = (future.recipient.lower(), future.app, future.endpoint)
            if (message.sender.lower(), message.app, message.endpoint) != expected:
                return Answer.WRONG_RESPONDER
            tx.delete(f"inbox/{message.file_id}")
            self._processed.add(tx, message.key, message.file_id, message.folder_id, message.created_time)
            if future.response is not None:
                return Answer.DUPLICATE
            response = Response(message.file_id, message.size, message.sha256, message.is_error)
            tx.put(key, {**row, "response": asdict(response)})
            return Answer.ACCEPTED

        return self._store.transact(work)

    def forget(self, future_id: str, *, delete_request: bool) -> Future | None:
        """Drop a future; with ``delete_request`` its request file is due for deletion at once."""

        def work(tx: Transaction) -> Future | None:
            row = tx.get(f"future/{future_id}")
            if row is None:
                return None
            tx.delete(f"future/{future_id}")
            future = _as_future(row)
            if delete_request:
                self._own.add(tx, future.request_id, at=0.0)
            return future

        return self._store.transact(work)


def _as_future(row: JSON) -> Future:
    response = row["response"]
    return Future(**{**row, "response": None if response is None else Response(**response)})
