"""Bearer tokens: an e-mail address, or an access token from the OAuth endpoint."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from drive_emulator.accounts import Accounts, is_address
from drive_emulator.errors import unauthenticated
from drive_emulator.model import Account
from drive_emulator.storage import Database

LIFETIME = 3599
"""Seconds that an access token lives, as Google's do."""


class Tokens:
    """Who may call, and as whom. Accounts come into being with their first call."""

    def __init__(self, database: Database, accounts: Accounts, time: Callable[[], float]) -> None:
        self._database = database
        self._accounts = accounts
        self._time = time

    def authenticate(self, token: str) -> Account:
        """Return the account of a bearer token.

        Raises:
            ApiError: 401 for anything but an address or a token that is alive.
        """
        email = token
        if not is_address(token):
            row = self._database.row("SELECT account, expires FROM token WHERE token = ? AND kind = 'access'", token)
            if row is None or row[1] <= self._time():
                raise unauthenticated()
            email = row[0]
        return self.account(email)

    def account(self, email: str) -> Account:
        """Return the account of an address, which need not have called before."""
        if (account := self._accounts.get(email.lower())) is None:
            with self._database.transaction():
                account = self._accounts.ensure(email)
        return account

    def issue_refresh_token(self, email: str) -> str:
        token = f"1//{secrets.token_urlsafe(32)}"
        with self._database.transaction():
            self._database.execute("INSERT INTO token (token, kind, account) VALUES (?, 'refresh', ?)", token, email)
        return token

    def refresh(self, refresh_token: str) -> str | None:
        """Return a new access token, or ``None`` when the refresh token is unknown or revoked."""
        sql = "SELECT account FROM token WHERE token = ? AND kind = 'refresh' AND NOT revoked"
        if (row := self._database.row(sql, refresh_token)) is None:
            return None
        token = f"ya29.{secrets.token_urlsafe(32)}"
        with self._database.transaction():
            self._database.execute(
                "INSERT INTO token (token, kind, account, expires) VALUES (?, 'access', ?, ?)",
                token,
                row[0],
                self._time() + LIFETIME,
            )
        return token

    def issue_code(self, email: str) -> str:
        """Return an authorization code, as the consent page hands it out."""
        code = f"4/{secrets.token_urlsafe(32)}"
        with self._database.transaction():
            self._database.execute("INSERT INTO token (token, kind, account) VALUES (?, 'code', ?)", code, email)
        return code

    def redeem_code(self, code: str) -> str | None:
        """Return a new refresh token for a code, which works once; ``None`` when it is unknown or used."""
        if (row := self._database.row("SELECT account FROM token WHERE token = ? AND kind = 'code'", code)) is None:
            return None
        with self._database.transaction():
            self._database.execute("DELETE FROM token WHERE token = ?", code)
        return self.issue_refresh_token(row[0])

    def account_of(self, token: str) -> str | None:
        """Return the address that a refresh or access token acts for, if it still does."""
        sql = "SELECT account FROM token WHERE token = ? AND kind IN ('refresh', 'access') AND NOT revoked"
        row = self._database.row(sql, token)
        return None if row is None else row[0]

    def revoke(self, email: str) -> None:
        """End every token of the account: refreshing answers ``invalid_grant``, access tokens 401."""
        with self._database.transaction():
            self._database.execute("UPDATE token SET revoked = 1 WHERE lower(account) = ?", email.lower())
            self._expire(email)

    def expire(self, email: str) -> None:
        """End the account's access tokens, so that it must refresh."""
        with self._database.transaction():
            self._expire(email)

    def _expire(self, email: str) -> None:
        self._database.execute("DELETE FROM token WHERE kind = 'access' AND lower(account) = ?", email.lower())
