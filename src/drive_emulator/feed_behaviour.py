"""How truthful the change feed, the listing and what they tell of people are, as real Drive's sometimes are not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from drive_emulator.storage import Database


@dataclass(slots=True)
class FeedBehaviour:
    """Settings of the feed; durations are seconds of the emulator's clock.

    Attributes:
        delay_seconds: How late every entry appears.
        foreign_children: What becomes of entries for files in folders that the account does not own
            (unless the file is its own): on time, later still, or left out.
        foreign_delay_seconds: How late these appear when ``foreign_children`` is ``"delayed"``.
        views_are_changes: Whether merely getting a file puts it into the viewer's feed.
        hidden_addresses: Accounts of which others see no ``emailAddress``.
        hidden_users: Accounts of which others see nothing: ``owners`` and ``lastModifyingUser`` are missing.
        list_lag_seconds: How long ``files.list`` does not know a new file.
    """

    delay_seconds: float = 0.0
    foreign_children: Literal["complete", "delayed", "omitted"] = "complete"
    foreign_delay_seconds: float = 60.0
    views_are_changes: bool = False
    hidden_addresses: tuple[str, ...] = ()
    hidden_users: tuple[str, ...] = ()
    list_lag_seconds: float = 0.0

    def delay(self, account: str, file_id: str, database: Database) -> float | None:
        """Return how late an entry appears, or ``None`` for never."""
        if self.foreign_children != "complete" and _is_foreign_child(account, file_id, database):
            return None if self.foreign_children == "omitted" else self.delay_seconds + self.foreign_delay_seconds
        return self.delay_seconds


def _is_foreign_child(account: str, file_id: str, database: Database) -> bool:
    sql = "SELECT f.owner, p.owner FROM file f JOIN file p ON p.id = f.parent WHERE f.id = ?"
    row = database.row(sql, file_id)
    return row is not None and account not in row
