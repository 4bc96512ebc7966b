"""Recordings that nobody recorded: a test says what came when, and gets a feed that brings it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Self

from syft_flwr import wire
from syft_flwr.addresses import same_address
from syft_flwr.models import MessageKind
from syft_flwr.recording.entries import Header, parse_entry
from syft_flwr.recording.raw import write_whole
from syft_flwr.recording.reader import Recording, read_recording
from syft_flwr.resources import FOLDER_MIME_TYPE

_BEGAN = 1_750_000_000.0
_STEP = 1.0
"""Seconds between what is not given a time of its own."""


class RecordingBuilder:
    """Says what came to an account, one thing after the other; each method returns the builder.

    ``at`` is in seconds since the recording's beginning, and by default a second after what came before. What comes at
    the same time comes with the same poll. Messages are told apart by their IDs, which are given in order
    (:meth:`future_id`) unless one is chosen.

    Args:
        account: The account whose feed it is.
        began: When it began, in Unix seconds.
    """

    def __init__(self, account: str, *, began: float = _BEGAN) -> None:
        self._account = wire.validate_address(account)
        self._began = began
        self._at = 0.0
        self._token = 1
        self._lines: list[dict[str, Any]] = [
            Header(
                account=account,
                time=began,
                bodies=True,
                redacted=False,
                start={"token": "1", "folders": [], "pending": [], "futures": [], "done": [], "marks": {}},
            ).to_line()
        ]
        self._changes: list[dict[str, Any]] = []
        self._transfers: list[dict[str, Any]] = []
        self._bodies: dict[str, bytes] = {}
        self._folders: dict[tuple[str, ...], str] = {}
        self._asked: dict[str, tuple[str, str, str]] = {}
        self._came: dict[str, str] = {}
        """File of each message that came, by its exchange."""
        self._messages = 0

    @staticmethod
    def future_id(number: int) -> str:
        """Return the ID of the message that is the first (0), the second (1) … to be given none."""
        return f"00000000-0000-4000-8000-{number:012x}"

    def request(
        self,
        sender: str,
        app: str,
        endpoint: str,
        body: bytes | None,
        *,
        at: float | None = None,
        future_id: str | None = None,
        created_at: float | None = None,
    ) -> Self:
        """Let a request come.

        Args:
            sender: Who sends it.
            app: The app that it is for.
            endpoint: The endpoint.
            body: Its content; ``None`` for one that is gone when it is asked for.
            at: When it comes.
            future_id: Its ID.
            created_at: When its sender wrote it, if not when it comes.
        """
        self._advance(at)
        folder = self._folder(sender, self._account, app, endpoint)
        self._come("request", self._id(future_id), sender, folder, body, created_at=created_at)
        return self

    def asked(
        self,
        recipient: str,
        app: str,
        endpoint: str,
        body: bytes = b"",
        *,
        at: float | None = None,
        future_id: str | None = None,
    ) -> Self:
        """Let the account send a request, to be answered by :meth:`answer`."""
        self._advance(at)
        folder = self._folder(self._account, recipient, app, endpoint)
        future_id = self._id(future_id)
        name = wire.message_file_name("request", future_id)
        self._asked[future_id] = (recipient, app, endpoint)
        self._flush()  # the folder must be known before
        upload = {"id": f"own-{future_id}", "name": name, "parent": folder, "properties": {}} | self._content(body)
        self._lines.append({"at": self._at, "upload": upload})
        return self

    def answer(self, future_id: str, body: bytes | None, *, at: float | None = None, is_error: bool = False) -> Self:
        """Let the answer to a request of the account come.

        Raises:
            ValueError: The account asked nothing under this ID.
        """
        if future_id not in self._asked:
            raise ValueError(f"nothing was asked under the ID {future_id}: call asked() before answer()")
        self._advance(at)
        recipient, app, endpoint = self._asked[future_id]
        folder = self._folder(recipient, self._account, app, endpoint)
        properties = wire.ERROR_STATUS if is_error else {}
        self._come("response", future_id, recipient, folder, body, properties=properties)
        return self

    def delete(self, future_id: str, *, at: float | None = None) -> Self:
        """Let a message be deleted by its sender.

        Raises:
            ValueError: No message with this ID has come.
        """
        if future_id not in self._came:
            raise ValueError(f"no message with the ID {future_id} has come")
        self._advance(at)
        self._change({"fileId": self._came[future_id], "removed": True})
        return self

    def quiet(self, seconds: float) -> Self:
        """Let time pass, and a poll find nothing."""
        self._advance(self._at + seconds)
        self._poll([])
        return self

    def recording(self) -> Recording:
        """Return the recording; it is in memory, bodies included."""
        header, *documents = json.loads(json.dumps(self._whole()))
        entries = tuple(parse_entry(document, line) for line, document in enumerate(documents, 2))
        parsed = Header(**{name: header[name] for name in Header.__slots__})
        return Recording(Path("built.jsonl"), parsed, entries, contents=dict(self._bodies))

    def write(self, path: str | Path) -> Recording:
        """Write the recording to a new file, with its bodies beside it, and return it.

        Raises:
            RecordingError: The file exists.
            OSError: It can't be written.
        """
        write_whole(Path(path), self._whole(), self._bodies)
        return read_recording(path)

    # -- inside -----------------------------------------------------------------------------------------------

    def _whole(self) -> list[dict[str, Any]]:
        self._flush()
        end = {"at": self._at, "end": True, "token": str(self._token), "lines": len(self._lines) + 1}
        return [*self._lines, end]

    def _advance(self, at: float | None) -> None:
        at = self._at + _STEP if at is None else at
        if at < self._at:
            raise ValueError(f"time goes back from {self._at:g} s to {at:g} s")
        if at > self._at:
            self._flush()
        self._at = at

    def _flush(self) -> None:
        """Write the poll that brings what has come."""
        if self._changes:
            self._poll(self._changes)
        self._lines += self._transfers
        self._changes, self._transfers = [], []

    def _poll(self, changes: list[dict[str, Any]]) -> None:
        before, self._token = self._token, self._token + len(changes)
        pages = [{"newStartPageToken": str(self._token), "changes": changes}]
        self._lines.append({"at": self._at, "poll": pages, "token": str(before)})

    def _change(self, change: dict[str, Any]) -> None:
        self._changes.append({"changeType": "file", "removed": False, "time": self._time(self._at)} | change)

    def _show(self, file_id: str, name: str, owner: str, parent: str | None, **more: Any) -> None:
        user = {"emailAddress": owner}
        is_mine = same_address(owner, self._account)
        file = {"id": file_id, "name": name, "trashed": False, "createdTime": self._time(self._at)}
        file |= {"ownedByMe": is_mine, "owners": [user], "lastModifyingUser": user} | more
        self._change({"fileId": file_id, "file": file | ({} if parent is None else {"parents": [parent]})})

    def _folder(self, sender: str, recipient: str, app: str, endpoint: str) -> str:
        """Return the ID of an endpoint's folder; those on its way that are new are shown."""
        path = wire.inbox_path(sender, recipient, app, endpoint)
        parent = None
        for depth, name in enumerate(path, 1):
            known = self._folders.get(path[:depth])
            if known is None:
                known = self._folders[path[:depth]] = f"folder-{len(self._folders)}"
                self._show(known, name, sender, parent, mimeType=FOLDER_MIME_TYPE)
            parent = known
        return str(parent)

    def _come(
        self,
        kind: MessageKind,
        future_id: str,
        sender: str,
        folder: str,
        body: bytes | None,
        *,
        properties: dict[str, str] | None = None,
        created_at: float | None = None,
    ) -> None:
        file_id, name = f"file-{self._messages}", wire.message_file_name(kind, future_id)
        self._messages += 1
        self._came[future_id] = file_id
        content = {"size": None, "sha256": None} if body is None else self._content(body)
        shown = {"size": str(len(body or b"")), "sha256Checksum": content["sha256"] or hashlib.sha256().hexdigest()}
        shown |= {} if created_at is None else {"createdTime": self._time(created_at)}
        self._show(file_id, name, sender, folder, properties=dict(properties or {}), **shown)
        self._transfers.append({"at": self._at, "download": file_id, **content})

    def _content(self, body: bytes) -> dict[str, Any]:
        sha256 = hashlib.sha256(body).hexdigest()
        self._bodies[sha256] = body
        return {"size": len(body), "sha256": sha256}

    def _id(self, future_id: str | None) -> str:
        given = self.future_id(len(self._came.keys() | self._asked.keys())) if future_id is None else future_id
        if not wire.is_future_id(given):
            raise ValueError(f"no ID of a message: {given!r}")
        return given

    def _time(self, at: float) -> str:
        return wire.timestamp(self._began + at)
