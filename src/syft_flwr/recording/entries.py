"""The lines of a recording: a pure codec.

Every line is one JSON object. The first is the header::

    {"syft_flwr_feed": 1, "account": "do@example.com", "time": 1750000000.0, "bodies": true,
     "redacted": false, "start": {"token": "17", "folders": […], "pending": […], "futures": […], "done": […]}}

``time`` is Unix time in seconds. ``start`` is what the account knew already: the page token, if it had one, folders and
unfinished candidates (``drive#file`` resources), requests without an answer, and processed messages.

Each further line has ``at``, the seconds since the header's ``time``, and what happened:

==============  =======================================================================================
``poll``        the raw pages of one poll (answers of ``changes.list``), as far as it came; ``token``: its first one
``restart``     a new start token
``sweep``       files that a sweep listed
``folders``     folders that a look for an inbox listed, or that were created
``get``         a file ID, and in ``file`` what Drive showed (``null``: nothing)
``download``    a file ID, with ``size`` and ``sha256`` of its content (both ``null``: it was gone)
``upload``      a message of our own: ``id``, ``name``, ``parent``, ``properties``, ``size``, ``sha256``
``resume``      a later recorder went on with this file; its ``start``, as in the header
``end``         the recorder stopped in good order; ``token``: what the feed would have gone on with; ``lines``: how
                many there are, this one included
==============  =======================================================================================
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from msgspec import MsgspecError, Struct
from msgspec.json import Decoder

from syft_flwr.errors import RecordingError
from syft_flwr.printable import printable, printable_error
from syft_flwr.resources import ChangePage, DriveFile, PageResource

VERSION = 1
MARK = "syft_flwr_feed"

_LATEST = 1e11
"""Unix seconds, and seconds of a recording, at most: some thousand years."""
_CONFLICT = ("<<<<<<<", "=======", ">>>>>>>", "|||||||")

_KINDS: dict[str, type | tuple[type, ...]] = {
    "poll": list,
    "restart": str,
    "sweep": list,
    "folders": list,
    "get": str,
    "download": str,
    "upload": dict,
    "resume": dict,
    "end": bool,
}
_HEADER: dict[str, type | tuple[type, ...]] = {
    "account": str,
    "time": (int, float),
    "bodies": bool,
    "redacted": bool,
    "start": dict,
}


@dataclass(frozen=True, slots=True)
class Header:
    """What a recording says of itself. ``time`` is Unix time in seconds."""

    account: str
    time: float
    bodies: bool
    redacted: bool
    start: Mapping[str, Any]

    def to_line(self) -> dict[str, Any]:
        """Return the JSON object of the first line."""
        return {MARK: VERSION} | {name: getattr(self, name) for name in _HEADER}


@dataclass(frozen=True, slots=True)
class Entry:
    """A line after the header.

    Attributes:
        line: 1-based line number.
        at: Seconds since the header's time.
        kind: Which of the kinds it is.
        value: What stands under that name; of a poll its pages, of a list its files.
        raw: The other fields.
    """

    line: int
    at: float
    kind: str
    value: Any
    raw: Mapping[str, Any]


class _Poll(Struct, gc=False, forbid_unknown_fields=True):
    at: float
    poll: list[PageResource]
    token: str


_decode_poll = Decoder(_Poll).decode


def parse_line(text: str, line: int) -> dict[str, Any]:
    """Read a line as a JSON object.

    Raises:
        RecordingError: It is none.
    """
    if text.startswith(_CONFLICT):
        raise RecordingError(
            f"line {line} is a conflict marker of a version control system: take one side of the conflict whole",
            line=line,
        )
    if text.startswith("\ufeff"):
        raise RecordingError(f"line {line} begins with a byte-order mark: save it as UTF-8 without one", line=line)
    if not text.strip():
        raise RecordingError(f"line {line} is empty: remove it", line=line)
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        what = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else error
        raise RecordingError(f"line {line} is not JSON: {what}", line=line) from error
    if not isinstance(document, dict):
        raise RecordingError(f"line {line} is not a JSON object", line=line)
    return document


def parse_header(document: Mapping[str, Any]) -> Header:
    """Read the first line.

    Raises:
        RecordingError: It is not the header of a recording, or of one by a newer version.
    """
    version = document.get(MARK)
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise RecordingError("line 1 is not the header of a recorded feed: another kind of file?", line=1)
    if version > VERSION:
        raise RecordingError(
            f"line 1: the recording has format {version}, this version of syft-flwr-drive reads up to {VERSION}: "
            "upgrade it",
            line=1,
        )
    _check(document, _HEADER, 1)
    _check_time(document["time"], 1, "time")
    return Header(**{name: document[name] for name in _HEADER})


def parse_poll(text: str, line: int) -> Entry | None:
    """Read a line that is a poll with nothing odd in it, several times as fast as any line can be read.

    Returns:
        What :func:`parse_entry` would, or ``None`` for a line that it has to judge.
    """
    try:
        poll = _decode_poll(text)
        pages = [resource.page() for resource in poll.poll]
    except (MsgspecError, ValueError):
        return None
    if not (pages and all(map(next_token, pages)) and 0 <= poll.at <= _LATEST):
        return None
    return Entry(line, poll.at, "poll", pages, {"at": poll.at, "token": poll.token})


def parse_entry(document: Mapping[str, Any], line: int) -> Entry:
    """Read a line after the header.

    Raises:
        RecordingError: It is not one of the known kinds, or lacks what its kind has.
    """
    kind = next((name for name in _KINDS if name in document), None)
    if MARK in document:
        raise RecordingError(
            f"line {line} is the header of another recording: two were merged into one file; take one of them whole",
            line=line,
        )
    if kind is None:
        raise RecordingError(
            f"line {line} is of no known kind: {printable(', '.join(sorted(document))) or 'empty'}", line=line
        )
    _check(document, {"at": (int, float), kind: _KINDS[kind]}, line)
    _check_time(document["at"], line, "at")
    raw = {name: value for name, value in document.items() if name != kind}
    try:
        value = _READERS[kind](document[kind], raw) if kind in _READERS else document[kind]
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        told = printable_error(error)
        raise RecordingError(f"line {line}: a {kind!r} that can't be read: {told}", line=line) from error
    return Entry(line, float(document["at"]), kind, value, raw)


def _check(document: Mapping[str, Any], fields: Mapping[str, type | tuple[type, ...]], line: int) -> None:
    for name, kind in fields.items():
        value = document.get(name)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise RecordingError(f"line {line}: {name!r} is missing or not what it should be", line=line)


def _check_time(seconds: float, line: int, name: str) -> None:
    if not 0 <= seconds <= _LATEST:
        raise RecordingError(f"line {line}: {name!r} is {printable(seconds, 40)}, which is no time", line=line)


def next_token(page: ChangePage) -> str:
    """Return what the feed goes on with after a page."""
    return page.next_page_token or page.new_start_page_token or ""


def _read_poll(pages: Any, raw: Mapping[str, Any]) -> list[ChangePage]:
    _text(raw["token"])
    parsed = [ChangePage.from_api(page) for page in pages]
    for page in parsed:
        _text(next_token(page) or None)
    if not parsed:
        raise ValueError("no pages")
    # What the pages were made of is not needed any more, and is most of what a recording takes in memory.
    return [replace(page, raw={}) for page in parsed]


def _read_files(files: Any, _: Mapping[str, Any]) -> list[DriveFile]:
    return [DriveFile.from_api(raw) for raw in files]


def _read_get(file_id: Any, raw: Any) -> str:
    if raw["file"] is not None:
        raw["file"] = DriveFile.from_api(raw["file"])
    return _text(file_id)


def _read_download(file_id: Any, raw: Mapping[str, Any]) -> str:
    _check_content(raw)
    return _text(file_id)


def _read_upload(upload: Any, _: Mapping[str, Any]) -> Any:
    for name in ("id", "name", "parent"):
        _text(upload[name])
    _check_content(upload)
    return upload


def _check_content(content: Mapping[str, Any]) -> None:
    if content["size"] is not None and not (isinstance(content["size"], int) and 0 <= content["size"] < 2**63):
        raise TypeError("size")
    # It becomes a file name: nothing but a checksum will do.
    if content["sha256"] is not None and not _SHA256.fullmatch(content["sha256"]):
        raise ValueError("sha256")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"not a text: {value!r}")
    return value


_SHA256 = re.compile("[0-9a-f]{64}")
_READERS: dict[str, Callable[[Any, Any], Any]] = {
    "poll": _read_poll,
    "sweep": _read_files,
    "folders": _read_files,
    "get": _read_get,
    "download": _read_download,
    "upload": _read_upload,
}
