"""Resumable upload sessions: they survive a restart, as Drive's do."""

from __future__ import annotations

import asyncio
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

from drive_emulator.blobs import BlobStore, BlobWriter
from drive_emulator.errors import ApiError
from drive_emulator.storage import Database


@dataclass(slots=True)
class Session:
    """One upload under way: of the file ``file_id``, or a new one; begun with ``metadata`` and ``query``.

    The ``client`` is OAuth's by which the account began it. Its ``total`` in bytes is set once it is known; ``result``,
    the file that it became, once it is done. The ``lock`` is held while a piece comes in.
    """

    id: str
    account: str
    client: str
    file_id: str | None
    metadata: dict[str, Any]
    query: dict[str, str]
    content_type: str | None
    total: int | None
    result: str | None
    writer: BlobWriter | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Uploads:
    """The sessions of all accounts."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self._database = database
        self._blobs = blobs
        self._open: dict[str, Session] = {}

    def begin(
        self,
        account: str,
        *,
        client: str,
        file_id: str | None,
        metadata: dict[str, Any],
        query: dict[str, str],
        content_type: str | None,
        total: int | None,
    ) -> Session:
        """Open a session, in the transaction under way."""
        session_id = secrets.token_urlsafe(32)
        given = (account, file_id, json.dumps(metadata), json.dumps(query), content_type, total, self._blobs.reserve())
        sql = (
            "INSERT INTO upload (id, account, file_id, metadata, query, content_type, total, blob, client)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
        )
        self._database.execute(sql, session_id, *given, client)
        return self.find(session_id)

    def find(self, session_id: str) -> Session:
        """Return a session, whether under way or done; 404 for one that never was, or was cancelled."""
        if (session := self._open.get(session_id)) is not None:
            return session
        sql = (
            "SELECT account, IFNULL(client, ''), file_id, metadata, query, content_type, total, blob, result"
            " FROM upload WHERE id = ?"
        )
        row = self._database.row(sql, session_id)
        if row is None:
            raise ApiError(404, "notFound", "Upload session not found.", location="upload_id")
        account, client, file_id, metadata, query, content_type, total, blob, result = row
        begun = json.loads(metadata), json.loads(query)
        session = Session(session_id, account, client, file_id, *begun, content_type, total, result)
        if result is None:
            session.writer = self._blobs.reopen(blob)
            self._open[session_id] = session
        return session

    def finish(self, session: Session, file_id: str) -> None:
        """Record, in the transaction under way, what the session became; its blob is the file's now."""
        self._database.execute("UPDATE upload SET result = ?, blob = '' WHERE id = ?", file_id, session.id)
        self._database.after_commit(lambda: self._finished(session, file_id))

    def _finished(self, session: Session, file_id: str) -> None:
        session.result = file_id
        session.writer = None
        self._open.pop(session.id, None)

    def cancel(self, session: Session) -> None:
        """Forget the session and what it brought, in the transaction under way."""
        self._database.execute("DELETE FROM upload WHERE id = ?", session.id)
        self._open.pop(session.id, None)
        if session.writer is not None:
            self._database.after_commit(session.writer.discard)

    def clear(self) -> None:
        self.close()
        self._open.clear()

    def close(self) -> None:
        for session in self._open.values():
            if session.writer is not None:
                session.writer.close()
