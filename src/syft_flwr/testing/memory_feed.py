"""The change log of an account on a Drive in memory."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field


@dataclass(slots=True)
class MemoryFeed:
    """Each file that has changed, at the place of its last change; places are whole numbers, as are page tokens.

    Attributes:
        entries: Place and Unix time of each file's last change, oldest first.
        newest: The last place that was given.
        oldest_token: The least page token that is still good.
    """

    entries: dict[str, tuple[int, float]] = field(default_factory=dict)
    newest: int = 0
    oldest_token: int = 0

    def add(self, file_id: str, at: float) -> None:
        self.newest += 1
        self.entries.pop(file_id, None)
        self.entries[file_id] = self.newest, at

    def since(self, token: int) -> list[tuple[str, int, float]]:
        """Return the file, place and time of all entries from a page token on, oldest first."""
        rows = ((file_id, place, at) for file_id, (place, at) in reversed(self.entries.items()))
        return list(itertools.takewhile(lambda row: row[1] >= token, rows))[::-1]

    def start_token(self) -> int:
        place, _ = next(reversed(self.entries.values()), (0, 0.0))
        return max(place + 1, self.oldest_token)

    def reject_tokens(self) -> None:
        """Let every page token that was given so far be refused."""
        self.newest += 1
        self.oldest_token = self.newest + 1
