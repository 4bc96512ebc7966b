"""Requests that were sent, and where their answers lie; they survive a restart of the requester."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum

from syft_flwr.addresses import fold_address
from syft_flwr.models import Message
from syft_flwr.ports import JSON, Transaction
from syft_flwr.state.events import EventLog
from syft_flwr.state.own_files import OwnFiles


class Answer(Enum):
    """What became of a response."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    UNKNOWN_FUTURE = "unknown_future"
    WRONG_RESPONDER = "wrong_responder"


@dataclass(frozen=True, slots=True)
class Response:
    """Where the answer to a future lies. ``size`` is in bytes, ``came_at`` Unix time in seconds.

    ``inlined`` is as in :class:`~syft_flwr.models.Message`.
    """

    file_id: str
    size: int
    sha256: str | None
    is_error: bool
    came_at: float = 0.0
    inlined: Mapping[str, str] = field(default_factory=dict)


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
    disposable: str = ""
    """The name of what the request is thrown away with."""


class FutureTable:
    """The futures of this account, shared by its processes; a row a future, ``future/{future_id}``."""

    def __init__(self, store: EventLog, own: OwnFiles) -> None:
        self._store = store
        self._own = own

    def add(self, futures: Iterable[Future]) -> None:
        """Record requests, before their upload."""
        rows = [(f"future/{future.future_id}", asdict(future)) for future in futures]

        def work(tx: Transaction) -> None:
            for key, row in rows:
                tx.put(key, row)
                told = ("future_id", "recipient", "app", "endpoint", "disposable")
                self._store.happened("sent", file_id=row["request_id"], **{name: row[name] for name in told})

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

    def forget(
        self, future_ids: Iterable[str], *, deletes: Callable[[Future], bool], unsent: bool = False
    ) -> tuple[list[Future], list[str]]:
        """Drop futures; return those that were known, and those of their files that ``deletes`` made due now.

        With ``unsent``, their requests have not come to Drive.
        """
        wanted = list(future_ids)

        def work(tx: Transaction) -> tuple[list[Future], list[str]]:
            dropped: list[Future] = []
            due: list[str] = []
            for future_id in wanted:
                row = tx.get(f"future/{future_id}")
                if row is not None:
                    tx.delete(f"future/{future_id}")
                    dropped.append(_as_future(row))
                    if unsent:
                        self._store.happened("unsent", future_id=future_id, recipient=row["recipient"])
                    if deletes(dropped[-1]):
                        due.append(dropped[-1].request_id)
                        self._own.add(tx, due[-1], at=0.0)
            return dropped, due

        return self._store.transact(work)

    # -- inside a transaction ---------------------------------------------------------------------------------

    def answer(self, tx: Transaction, message: Message, now: float) -> Answer:
        """Attach a response that came ``now`` (Unix seconds) to its future, whichever process sent the request."""
        key = f"future/{message.future_id}"
        row = tx.get(key)
        if row is None:
            return Answer.UNKNOWN_FUTURE
        expected = (fold_address(row["recipient"]), row["app"], row["endpoint"])
        if (fold_address(message.sender), message.app, message.endpoint) != expected:
            return Answer.WRONG_RESPONDER
        if row["response"] is not None:
            return Answer.DUPLICATE
        response = Response(message.file_id, message.size, message.sha256, message.is_error, now, dict(message.inlined))
        tx.put(key, {**row, "response": asdict(response)})
        return Answer.ACCEPTED

    def is_answered(self, tx: Transaction, future_id: str) -> bool:
        row = tx.get(f"future/{future_id}")
        return row is not None and row["response"] is not None


def _as_future(row: JSON) -> Future:
    response = row["response"]
    return Future(**{**row, "response": None if response is None else Response(**response)})
