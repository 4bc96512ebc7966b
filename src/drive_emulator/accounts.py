"""Accounts: made when first seen, each with its My Drive folder."""

from __future__ import annotations

import re

from drive_emulator.clock import EmulatorClock
from drive_emulator.ids import new_root_id, permission_id
from drive_emulator.model import FOLDER_MIME_TYPE, Account, File
from drive_emulator.records import insert_file
from drive_emulator.storage import Database

_ADDRESS = re.compile(r"[^\s@\x00-\x1f\x7f<>\",;:()\\]{1,64}@[^\s@\x00-\x1f\x7f<>\"',;:()\\/]{1,255}")


def is_address(text: str) -> bool:
    """Tell whether the text can be an account's e-mail address."""
    return _ADDRESS.fullmatch(text) is not None


class Accounts:
    """All accounts. An address is compared case-insensitively and shown as it was first seen."""

    def __init__(self, database: Database, clock: EmulatorClock) -> None:
        self._database = database
        self._clock = clock
        self._cache: dict[str, Account] = {}
        database.on_rollback(self.forget)

    def get(self, key: str) -> Account | None:
        if (account := self._cache.get(key)) is None:
            row = self._database.row("SELECT key, email, permission_id, root_id FROM account WHERE key = ?", key)
            if row is not None:
                account = self._cache[key] = Account(*row)
        return account

    def ensure(self, email: str) -> Account:
        """Return the account of this address, making it if need be, in the transaction under way."""
        key = email.lower()
        if (account := self.get(key)) is not None:
            return account
        account = Account(key, email, permission_id(key), new_root_id())
        self._database.execute(
            "INSERT INTO account VALUES (?, ?, ?, ?)", key, email, account.permission_id, account.root_id
        )
        self.add_folder(key, account.root_id, "My Drive")
        return account

    def add_folder(self, key: str, file_id: str, name: str, *, app: str | None = None) -> str:
        """Make a folder that lies in none, and return its ID."""
        now = self._clock.milliseconds()
        insert_file(self._database, File(file_id, name, FOLDER_MIME_TYPE, None, key, now, now, key), now)
        sql = "INSERT INTO view (account, file_id, role, app) VALUES (?, ?, 'owner', ?)"
        self._database.execute(sql, key, file_id, app)
        return file_id

    def show(self, key: str) -> Account:
        """Return the account, or for an address that only appears in grants, a stand-in."""
        return self.get(key) or Account(key, key, permission_id(key), "")

    def all(self) -> list[Account]:
        return [Account(*row) for row in self._database.rows("SELECT * FROM account ORDER BY key")]

    def forget(self) -> None:
        """Drop what is cached, after the database was emptied or went back."""
        self._cache.clear()
