"""The change feed: each account's log of files that changed for it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from drive_emulator.clock import EmulatorClock
from drive_emulator.errors import invalid
from drive_emulator.feed_behaviour import FeedBehaviour
from drive_emulator.model import DRIVE, Account, File, Role, View, spaces_condition
from drive_emulator.records import FILE_COLUMNS, VIEW_COLUMNS, VIEW_WIDTH, to_file, to_view
from drive_emulator.storage import Database

_TOKEN = re.compile(r"[0-9]{1,18}", re.ASCII)
_PAGE = (
    f"SELECT v.seq, v.time, {VIEW_COLUMNS}, {FILE_COLUMNS} FROM view v"  # noqa: S608 - constants
    " LEFT JOIN file f ON f.id = v.file_id AND v.role IS NOT NULL"
    " WHERE v.account = ? AND v.seq >= ? AND (? OR v.role IS NOT NULL)"
    " AND (? OR EXISTS (SELECT 1 FROM opened WHERE client = ? AND account = v.account AND file_id = v.file_id))"
    " AND {space} ORDER BY v.seq LIMIT ?"
)
_BENEATH = (
    "(f.id IS NULL OR ? IN (WITH RECURSIVE above (id) AS"
    " (SELECT f.parent UNION ALL SELECT p.parent FROM above JOIN file p ON p.id = above.id) SELECT id FROM above))"
)
_LOG = (
    "INSERT INTO view (account, file_id, role, seq, time) VALUES (?, ?, ?, ?, ?) ON CONFLICT (account, file_id)"
    " DO UPDATE SET role = excluded.role, seq = IFNULL(excluded.seq, seq), time = IFNULL(excluded.time, time)"
)


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One file's newest change for an account. ``file`` is ``None`` when it can't be seen any more."""

    file_id: str
    time: int
    file: File | None
    view: View


@dataclass(frozen=True, slots=True)
class LogPage:
    """Some entries, oldest change first, and the token of what follows them."""

    entries: list[LogEntry]
    next_token: str
    more: bool


class ChangeLog:
    """Writes and reads the logs. A token is the next entry's position in its account's log; positions only rise."""

    def __init__(self, database: Database, clock: EmulatorClock, behaviour: FeedBehaviour) -> None:
        self._database = database
        self._clock = clock
        self._behaviour = behaviour
        self._newest: dict[str, int] = {}
        self.catch_up()

    def catch_up(self) -> None:
        """Go on behind the newest entries of the database, and never back."""
        for account, newest in self._database.rows("SELECT account, MAX(seq) FROM view GROUP BY account"):
            self._newest[account] = max(self._newest.get(account, 0), newest or 0)

    def append(self, file_id: str, roles: Mapping[str, Role | None]) -> None:
        """Move the file to the end of these accounts' logs, and keep what role each has on it from now on."""
        now = self._clock.milliseconds()
        rows: list[tuple[str, str, Role | None, int | None, int | None]] = []
        for account, role in roles.items():
            # An entry that was on its way shows the file as it is by then, so it covers this change.
            delay = self._behaviour.delay(account, file_id, self._database)
            if delay == 0:
                rows.append((account, file_id, role, self._take(account), now))
                continue
            rows.append((account, file_id, role, None, None))
            if delay is not None:
                due = self._clock.time() + delay
                self._database.execute("INSERT OR IGNORE INTO late VALUES (?, ?, ?)", account, file_id, due)
        self._database.execute_many(_LOG, rows)

    def publish_late(self, account: str) -> None:
        """Let the delayed entries that are due appear, in the order in which they fell due."""
        due = self._database.rows(
            "SELECT file_id, due FROM late WHERE account = ? AND due <= ? ORDER BY due", account, self._clock.time()
        )
        if not due:
            return
        with self._database.transaction():
            for file_id, when in due:
                sql = "UPDATE view SET seq = ?, time = ? WHERE account = ? AND file_id = ?"
                self._database.execute(sql, self._take(account), int(when * 1000), account, file_id)
                self._database.execute("DELETE FROM late WHERE account = ? AND file_id = ?", account, file_id)

    def start_token(self, account: str) -> str:
        """Return the token that yields what happens from now on."""
        self.publish_late(account)
        return str(self._newest.get(account, 0) + 1)

    def _take(self, account: str) -> int:
        """Return the next position in an account's log."""
        position = self._newest[account] = self._newest.get(account, 0) + 1
        return position

    def page(
        self,
        account: Account,
        token: str,
        size: int,
        *,
        include_removed: bool = True,
        spaces: Collection[str] = (DRIVE,),
        only_my_drive: bool = False,
    ) -> LogPage:
        """Read up to ``size`` entries from the token on, by the index; 400 for a token that no log gave out.

        With ``only_my_drive``, nothing of what was shared with the account and lies elsewhere; tombstones stay.
        """
        if not _TOKEN.fullmatch(token) or not 1 <= int(token) <= self._newest.get(account.key, 0) + 1:
            raise invalid("pageToken")
        self.publish_late(account.key)
        seen = (not account.own_files_only, account.client)
        space, values = spaces_condition(account, spaces)
        if only_my_drive:
            space, values = f"{space} AND {_BENEATH}", [*values, account.root_id]
        sql = _PAGE.format(space=space)
        rows = self._database.rows(sql, account.key, int(token), include_removed, *seen, *values, size + 1)
        more = len(rows) > size
        entries = [_to_entry(row) for row in rows[:size]]
        if more:
            return LogPage(entries, str(rows[size - 1][0] + 1), more=True)
        return LogPage(entries, self.start_token(account.key), more=False)


def _to_entry(row: tuple[object, ...]) -> LogEntry:
    view = to_view(row[2 : 2 + VIEW_WIDTH])
    file = None if view.role is None else to_file(row[2 + VIEW_WIDTH :])
    return LogEntry(view.file_id, row[1], file, view)  # type: ignore[arg-type]
