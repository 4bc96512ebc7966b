"""The requests that wait in the journal, for whoever wants to look."""

from __future__ import annotations

from collections.abc import Iterator

from syft_flwr.drive.folders import Location
from syft_flwr.exchange.parts import Parts
from syft_flwr.models import Message

_PORTION = 500


class Waiting:
    """The requests of an account that are not answered yet, oldest first, as far as their folders are known.

    Args:
        parts: The account's parts.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def __iter__(self) -> Iterator[Message]:
        number = -1
        while rows := self._parts.ledger.journal.after(number, _PORTION):
            number = rows[-1].number
            for row in rows:
                location = self._parts.folders.locate(row.file, ask=False)
                if row.spooled is None and isinstance(location, Location):
                    verdict = self._parts.admit(row.file, location)
                    if isinstance(verdict, Message) and verdict.kind == "request":
                        yield verdict

    def __len__(self) -> int:
        return sum(1 for _ in self)
