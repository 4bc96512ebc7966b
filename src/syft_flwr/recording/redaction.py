"""Replace addresses and names in a recording, each always by the same other one.

Which files there are, how they lie in folders, when they came and roughly how large they were stays, and so do the
names of apps and endpoints; so a redacted recording replays to the same events, and handlers are called, with zeros for
a body. IDs and times are kept, sizes made coarse, checksums replaced, everything that is not known is left out. It is
no anonymisation: who knows an ID or a time may recognise a message by it.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from syft_flwr import wire
from syft_flwr.addresses import fold_address
from syft_flwr.errors import RecordingError
from syft_flwr.recording.entries import Header
from syft_flwr.resources import FOLDER_MIME_TYPE

_PLAIN = ("id", "mimeType", "parents", "trashed", "createdTime", "headRevisionId", "ownedByMe", "driveId")
_KEPT_LEVELS = (1, 3)
_KEPT_NAMES = (wire.SYFTBOX_FOLDER, wire.RPC_FOLDER)
_KEY_BYTES = 32


class Redactor:
    """Pseudonyms made with a key: without it, a guess can't be checked.

    Args:
        key: Secret bytes.
        me: The account's address, by which the names of inboxes are read.
    """

    def __init__(self, key: bytes, me: str) -> None:
        self._key = key
        self._me = me
        self._parents: dict[str, str | None] = {}
        """Of every folder that was shown."""
        self._unplaced: dict[str, bool] = {}
        """Folders that are on no such path as far as can be told, and whether they are called ``rpc``."""
        self._levels: dict[str, int] = {}
        """Folders on the paths of inboxes, and how deep: 0 roots, 1 apps, 2 ``rpc``, 3 endpoints."""

    def address(self, address: str) -> str:
        """Replace an e-mail address, however its letters are cased."""
        return f"user-{self._digest(fold_address(address))}@redacted.example"

    def name(self, name: str) -> str:
        """Replace a file's, folder's, app's or endpoint's name; an inbox stays one, and so does a message."""
        if name in _KEPT_NAMES:
            return name
        inbox = wire.parse_inbox_root(name, self._me)
        if inbox is not None:
            return wire.inbox_root_name(self.address(inbox.sender), self.address(inbox.recipient))
        kind = wire.message_kind(name)
        if kind is None:
            return f"name-{self._digest(name)}"
        future_id = name.removesuffix(f".{kind}")
        return name if wire.is_future_id(future_id) else f"name-{self._digest(name)}.{kind}"

    def _learn(self, files: Iterable[Mapping[str, Any] | None]) -> None:
        """Note which folders are those of apps and endpoints, whose names are kept, in whatever order they come."""
        folders = [file for file in files if file and file.get("mimeType") == FOLDER_MIME_TYPE]
        for folder in folders:
            self._parents[folder["id"]] = next(iter(folder.get("parents") or ()), None)
            if wire.parse_inbox_root(folder.get("name", ""), self._me) is not None:
                self._levels.setdefault(folder["id"], 0)
            elif folder["id"] not in self._levels:
                self._unplaced[folder["id"]] = folder.get("name") == wire.RPC_FOLDER
        has_grown = bool(folders)
        while has_grown:
            has_grown = False
            for folder_id, is_rpc in list(self._unplaced.items()):
                above = self._levels.get(self._parents[folder_id] or "", 3)
                if above < 3 and (above != 1 or is_rpc):
                    self._levels[folder_id] = above + 1
                    del self._unplaced[folder_id]
                    has_grown = True

    def header(self, header: Header) -> Header:
        return replace(header, account=self.address(header.account), redacted=True, start=self.start(header.start))

    def start(self, start: Mapping[str, Any]) -> dict[str, Any]:
        """Redact what the account knew at the start."""
        self._learn(start["folders"])
        return {
            "token": start["token"],
            "folders": [self.file(file) for file in start["folders"]],
            "pending": [self.file(file) for file in start["pending"]],
            "futures": [{**future, "recipient": self.address(future["recipient"])} for future in start["futures"]],
            "done": [[self._done_key(key), *rest] for key, *rest in start["done"]],
            "marks": start["marks"],
        }

    def waits_for_more(self, document: Mapping[str, Any]) -> bool:
        """Take a line in, and tell whether it shows folders that may turn out to be those of apps and endpoints.

        Look-ups and sweeps begin at the endpoint, and come to the inbox at last.
        """
        self._take_in(document)
        shown = [*document.get("sweep", ()), *document.get("folders", ()), document.get("file")]
        return any(file and file.get("mimeType") == FOLDER_MIME_TYPE and self._is_open(file) for file in shown)

    def _take_in(self, document: Mapping[str, Any]) -> None:
        changes = [change for page in document.get("poll", ()) for change in page.get("changes", ())]
        files = [*document.get("sweep", ()), *document.get("folders", ()), document.get("file")]
        self._learn([*files, *(change.get("file") for change in changes)])

    def _is_open(self, folder: Mapping[str, Any]) -> bool:
        """Tell whether a folder lies less than four levels below one that was not shown."""
        above: str | None = folder["id"]
        if above in self._levels or folder.get("name") in _KEPT_NAMES:
            return False
        for _ in range(max(_KEPT_LEVELS)):
            above = self._parents.get(above or "")
            if above is None or above in self._levels:
                return False
            if above not in self._parents:
                return True
        return False

    def line(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Redact a line after the header."""
        self._take_in(document)
        redacted = dict(document)
        for name in ("sweep", "folders"):
            if name in redacted:
                redacted[name] = [self.file(file) for file in redacted[name]]
        if "poll" in redacted:
            redacted["poll"] = [self._page(page) for page in redacted["poll"]]
        if redacted.get("file") is not None:
            redacted["file"] = self.file(redacted["file"])
        if redacted.get("size") is not None:
            redacted["size"] = coarse(redacted["size"])
        if "upload" in redacted:
            upload = redacted["upload"]
            redacted["upload"] = {
                **upload,
                "size": coarse(upload["size"]),
                "name": self.name(upload["name"]),
                "properties": _status(upload["properties"]),
            }
        return redacted

    def file(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """Redact a ``drive#file`` resource."""
        file = {name: raw[name] for name in _PLAIN if name in raw}
        if "size" in raw:
            file["size"] = str(coarse(int(raw["size"])))
        if "sha256Checksum" in raw:
            file["sha256Checksum"] = hmac.digest(self._key, raw["sha256Checksum"].encode(), "sha256").hex()
        if "name" in raw:
            is_kept = self._levels.get(raw.get("id", "")) in _KEPT_LEVELS
            file["name"] = raw["name"] if is_kept else self.name(raw["name"])
        if "owners" in raw:
            owners = [owner["emailAddress"] for owner in raw["owners"] if "emailAddress" in owner]
            file["owners"] = [{"emailAddress": self.address(owner)} for owner in owners]
        if "emailAddress" in raw.get("lastModifyingUser", {}):
            file["lastModifyingUser"] = {"emailAddress": self.address(raw["lastModifyingUser"]["emailAddress"])}
        if properties := _status(raw.get("properties", {})):
            file["properties"] = properties
        return file

    def _page(self, page: Mapping[str, Any]) -> dict[str, Any]:
        redacted = {name: page[name] for name in ("nextPageToken", "newStartPageToken") if name in page}
        redacted["changes"] = [self._change(change) for change in page.get("changes", ())]
        return redacted

    def _change(self, change: Mapping[str, Any]) -> dict[str, Any]:
        redacted = {name: change[name] for name in ("fileId", "removed", "time", "changeType") if name in change}
        if "file" in change:
            redacted["file"] = self.file(change["file"])
        return redacted

    def _done_key(self, key: str | None) -> str | None:
        """Redact an idempotency key (:attr:`~syft_flwr.models.Message.key`); a rejected file has none, or its ID."""
        try:
            kind, sender, app, endpoint, future_id = json.loads(key or "")
        except ValueError:
            return key
        return json.dumps([kind, self.address(sender), app, endpoint, future_id])

    def _digest(self, text: str) -> str:
        return hmac.digest(self._key, text.encode("utf-8", "surrogatepass"), "sha256").hex()[:12]


def coarse(size: int) -> int:
    """Return a size that all down to half of it, and itself, share; on the same side of each power of two.

    So what was within a limit that is a power of two, as the default one is, still is, and what was beyond it, too.
    """
    return 2 ** ((size - 1).bit_length() - 1) + 1 if size > 1 else size


def load_redactor(path: Path, me: str) -> Redactor:
    """Return the redactor of a recording.

    Its key lies beside the recording, so that a later recorder goes on with the same pseudonyms. Do not pass it on:
    with the key, guesses can be checked.

    Raises:
        RecordingError: The key can't be read or written.
    """
    key_path = path.with_name(f"{path.name}.key")
    try:
        if not path.exists() or path.stat().st_size == 0:
            key_path.unlink(missing_ok=True)
            descriptor = os.open(key_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(_KEY_BYTES))
        key = key_path.read_bytes()
    except FileNotFoundError as error:
        raise RecordingError(
            f"{key_path} is missing: {path} was recorded without redaction, or its key is lost; use another file"
        ) from error
    except OSError as error:
        raise RecordingError(f"can't read or write the key of the redaction: {error}") from error
    if len(key) != _KEY_BYTES:
        raise RecordingError(f"{key_path} is no key of a redaction")
    return Redactor(key, me)


def _status(properties: Mapping[str, str]) -> dict[str, str]:
    """Keep of a file's properties what the wire format uses."""
    return {name: value for name, value in properties.items() if (name, value) in wire.ERROR_STATUS.items()}
