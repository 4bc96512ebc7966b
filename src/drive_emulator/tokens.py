"""Bearer tokens: an e-mail address, or an access token of the OAuth endpoints with what was consented to."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace

from drive_emulator import model
from drive_emulator.accounts import Accounts, is_address
from drive_emulator.discovery import methods_of
from drive_emulator.errors import insufficient_scope, unauthenticated
from drive_emulator.model import Account
from drive_emulator.storage import Database

LIFETIME = 3599
"""Seconds that an access token lives, as Google's do."""
DRIVE = "https://www.googleapis.com/auth/drive"
_APP_DATA = f"{DRIVE}.appdata"
_MEDIA_TOO = (DRIVE, _APP_DATA, f"{DRIVE}.file", f"{DRIVE}.readonly")


@dataclass(frozen=True, slots=True)
class Grant:
    """What an account has consented to: by which OAuth client it is called, with scopes separated by spaces."""

    email: str
    client: str = "emulator"
    scopes: str = DRIVE

    @property
    def _of_drive(self) -> set[str]:
        """Return the scopes that are Drive's; ``drive.appfolder`` is the old name of ``drive.appdata``."""
        scopes = self.scopes.replace(f"{DRIVE}.appfolder", _APP_DATA).split()
        return {scope for scope in scopes if methods_of(scope)}

    def allows(self, method: str) -> bool:
        """Tell whether one of the scopes covers a method of Drive's."""
        scopes = self._of_drive
        if (plain := method.removesuffix("_media")) != method:
            scopes = scopes.intersection(_MEDIA_TOO)
        return any(plain in methods_of(scope) for scope in scopes)

    def caller(self, account: Account) -> Account:
        """Return the account as it calls by this grant; with ``drive.file`` alone, it sees its client's files only."""
        of_space = {model.APP_DATA: self._of_drive & {_APP_DATA}, model.DRIVE: self._of_drive - {_APP_DATA}}
        spaces = frozenset(space for space, scopes in of_space.items() if scopes)
        own_files_only = of_space[model.DRIVE] == {f"{DRIVE}.file"}
        return replace(account, client=self.client, own_files_only=own_files_only, spaces=spaces)


class Tokens:
    """Who may call, and as whom. Accounts come into being with their first call."""

    def __init__(
        self, database: Database, accounts: Accounts, time: Callable[[], float], *, are_secret: bool = False
    ) -> None:
        self.are_secret = are_secret
        """Whether nothing but the tokens that were given out counts: no address, and no consent by who comes along."""
        self._database = database
        self._accounts = accounts
        self._time = time
        self._codes: dict[str, tuple[Grant, str]] = {}

    def authenticate(self, token: str, method: str) -> Account:
        """Return the account of a bearer token, which must be an address or alive, with a scope for the method."""
        if is_address(token) and not self.are_secret:
            return self.account(token)
        grant = self.grant(token)
        if grant is None:
            raise unauthenticated()
        if not grant.allows(method):
            raise insufficient_scope(method)
        return grant.caller(self.account(grant.email))

    def account(self, email: str) -> Account:
        """Return the account of an address, which need not have called before."""
        if (account := self._accounts.get(email.lower())) is None:
            with self._database.transaction():
                account = self._accounts.ensure(email)
        return account

    def grant(self, token: str, *, kind: str = "access") -> Grant | None:
        """Return what a token stands for, or ``None`` when it is unknown, over or revoked."""
        row = self._database.row(
            "SELECT account, client, scopes FROM token JOIN consent USING (token)"
            " WHERE token = ? AND kind = ? AND NOT revoked AND IFNULL(expires > ?, 1)",
            token,
            kind,
            self._time(),
        )
        return None if row is None else Grant(*row)

    def issue_refresh_token(self, grant: Grant) -> str:
        return self._issue(f"1//{secrets.token_urlsafe(32)}", "refresh", grant, None)

    def issue_access_token(self, grant: Grant) -> str:
        return self._issue(f"ya29.{secrets.token_urlsafe(32)}", "access", grant, self._time() + LIFETIME)

    def _issue(self, token: str, kind: str, grant: Grant, expires: float | None) -> str:
        sql = "INSERT INTO token (token, kind, account, expires) VALUES (?, ?, ?, ?)"
        with self._database.transaction():
            self._database.execute(sql, token, kind, grant.email, expires)
            self._database.execute("INSERT INTO consent VALUES (?, ?, ?)", token, grant.client, grant.scopes)
        return token

    def issue_code(self, grant: Grant, challenge: str) -> str:
        """Return an authorization code, as the consent page hands it out; with PKCE's challenge, if there is one."""
        code = f"4/{secrets.token_urlsafe(32)}"
        self._codes[code] = (grant, challenge)
        return code

    def redeem_code(self, code: str) -> tuple[Grant, str] | None:
        """Return what a code stands for, and its challenge; it works once. ``None`` when it is unknown or used."""
        return self._codes.pop(code, None)

    def revoke(self, email: str, client: str | None = None) -> None:
        """End every token of the account, or of what it granted to a client.

        Refreshing answers ``invalid_grant`` then, access tokens 401.
        """
        sql = (
            "UPDATE token SET revoked = 1 WHERE lower(account) = ?1"
            " AND (?2 IS NULL OR token IN (SELECT token FROM consent WHERE client = ?2))"
        )
        with self._database.transaction():
            self._database.execute(sql, email.lower(), client)

    def expire(self, email: str) -> None:
        """End the account's access tokens, so that it must refresh."""
        sql = "DELETE FROM token WHERE kind = 'access' AND lower(account) = ?"
        with self._database.transaction():
            self._database.execute(sql, email.lower())
