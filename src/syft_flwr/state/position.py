"""How far an account's feed was read, and what was learnt about reading it; shared by the account's processes."""

from __future__ import annotations

from collections.abc import Callable

from syft_flwr.ports import JSON, Clock, StateStore, Transaction

_STALE = 60.0
"""Seconds after which a page token is stored even if nothing else is: it only saves looking at the same page again."""


class FeedPosition:
    """The page token on record. Two processes of one account read the feed each at its own pace.

    So the token moves only if it still is the one that the process stored last, or if whoever moved it is dead.

    Args:
        store: Where the rows live.
        clock: Drive's time.
        holder: This process's name.
        is_alive: Tells whether the process behind a name lives.
    """

    def __init__(self, store: StateStore, clock: Clock, *, holder: str, is_alive: Callable[[str], bool]) -> None:
        self._store = store
        self._clock = clock
        self._holder = holder
        self._is_alive = is_alive

    def token(self) -> str | None:
        """Return the page token to go on from."""
        row = self._store.transact(lambda tx: tx.get("cursor"))
        return None if row is None else row["token"]

    def restart(self, token: str) -> None:
        """Replace the page token by a fresh start token. Sweep after it, never before."""
        self._store.transact(lambda tx: self._put(tx, token, "start"))

    def store(self, token: str, *, stored: str) -> None:
        """Put a token on record whose page needed no commit of its own, if it may move from ``stored``."""
        self._store.transact(lambda tx: self.advance(tx, token, stored=stored, even_if_young=True))

    def advance(self, tx: Transaction, token: str, *, stored: str, even_if_young: bool) -> str:
        """Do so inside a transaction; return the token on record as this process knows it.

        Without ``even_if_young``, only if the one on record is old.
        """
        cursor = tx.get("cursor")
        may_move = cursor is None or cursor["token"] == stored or not self._is_alive(cursor["holder"])
        is_due = even_if_young or cursor is None or self._clock.time() - cursor["obtained_at"] >= _STALE
        if not (token and may_move and is_due):
            return stored
        self._put(tx, token, "feed")
        return token

    def distrust_start_token(self, until: float) -> None:
        """Note that the start token of this account's Drive tells nothing about its feed, until a Unix time."""
        self._store.transact(lambda tx: tx.put("start_token_distrusted", until))

    def start_token_distrusted_until(self) -> float:
        """Return what :meth:`distrust_start_token` noted; 0 when nothing was."""
        return float(self._store.transact(lambda tx: tx.get("start_token_distrusted") or 0.0))

    def keep_rhythm(self, rhythm: JSON) -> None:
        """Keep for the next process how seldom lists and sweeps come."""
        self._store.transact(lambda tx: tx.put("rhythm", rhythm))

    def rhythm(self) -> dict[str, JSON]:
        """Return what :meth:`keep_rhythm` kept; nothing when nothing was."""
        return dict(self._store.transact(lambda tx: tx.get("rhythm") or {}))

    def _put(self, tx: Transaction, token: str, origin: str) -> None:
        now = self._clock.time()
        tx.put("cursor", {"token": token, "obtained_at": now, "origin": origin, "holder": self._holder})
