"""Reads what the Google client makes of Drive's answers; what has another form than Drive's raises."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from syft_flwr.errors import ConflictError
from syft_flwr.resources import Access, ChangePage, DriveFile, read_each

IN_TRASH = "the folder lies in the trash, and so does what was written to it: it has to be sent again"
_WRITING_ROLES = frozenset({"owner", "organizer", "fileOrganizer", "writer"})


def text(value: Any) -> str:
    if not (isinstance(value, str) and value):
        raise TypeError(f"not a text: {value!r}")
    return value


def read_access(raw: Mapping[str, Any]) -> Access:
    shown = raw.get("permissions")
    writers = [one for one in shown or () if one["role"] in _WRITING_ROLES]
    known = None if shown is None else {one["id"]: one.get("emailAddress") or "" for one in writers}
    can_write = bool(raw["capabilities"]["canAddChildren"])
    return Access(can_write, known, name=text(raw["name"]), trashed=bool(raw.get("trashed")))


def read_stored(raw: Mapping[str, Any], file_id: str) -> int:
    """Return how many bytes Drive has of a file that was uploaded."""
    if raw["id"] != file_id:
        raise ValueError(f"it is about {raw['id']}, not {file_id}")
    if raw.get("trashed"):
        raise ConflictError(IN_TRASH)
    return int(raw["size"])


def read_nothing(content: Any) -> None:
    if content or isinstance(content, bytes):  # of a 204 the client library makes text
        raise ValueError("204 was due")


def read_file(raw: Mapping[str, Any], file_id: str) -> DriveFile:
    file = DriveFile.from_api(raw)
    if file.id != file_id:
        raise ValueError(f"it is about {file.id}, not {file_id}")
    return file


def read_files(raw: Mapping[str, Any]) -> tuple[list[DriveFile], str | None, bool]:
    """Return the files of a page, the token of the next one, and whether that is all that there is."""
    token = raw.get("nextPageToken") or None
    files, unreadable = read_each(DriveFile.from_api, list(raw["files"]))
    is_complete = not unreadable and raw.get("incompleteSearch") is not True
    return list(files), None if token is None else text(token), is_complete


def read_page(raw: Mapping[str, Any]) -> ChangePage:
    page = ChangePage.from_api(raw)
    list(raw["changes"])
    text(page.next_page_token or page.new_start_page_token)
    return page
