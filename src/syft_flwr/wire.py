"""Names on the wire: a pure codec between messages and folder and file names.

::

    syft_outbox_inbox_{sender}_to_{recipient} / {app} / rpc / {endpoint} / {future_id}.request|response

Every name is the literal name of one Drive folder or file; none is ever used as a local path.
"""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

from syft_flwr.addresses import same_address
from syft_flwr.errors import InvalidNameError
from syft_flwr.models import MessageKind

SYFTBOX_FOLDER = "SyftBox"
INBOX_PREFIX = "syft_outbox_inbox_"
OBJECTS_PREFIX = "syft_objects_"
RPC_FOLDER = "rpc"
ANNOUNCEMENT = "next"
"""Public property of a message: the ID of the file that its sender writes next to this peer, in this conversation."""
ERROR_STATUS = {"status": "error"}

_CONTROL = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\ud800-\\udfff]")
"""Unicode's categories Cc and Cs: control characters, and lone surrogates, which UTF-8 can't hold."""
_FUTURE_ID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_KINDS: dict[str, MessageKind] = {".request": "request", ".response": "response"}
MESSAGE_SUFFIXES = tuple(_KINDS)
_KEPT_NAMES = 1024
"""Names that are remembered as valid; the same few come with every message."""
_MAX_NAME_BYTES = 4096
_MAX_ADDRESS_BYTES = 320  # RFC 3696, erratum 1690: 64 + 1 + 255


class InboxPath(NamedTuple):
    """Folder names from an inbox's root to an endpoint."""

    root: str
    app: str
    rpc: str
    endpoint: str


@dataclass(frozen=True, slots=True)
class Inbox:
    """The two parties in an inbox root's name, spelled as they stand there."""

    sender: str
    recipient: str


def validate_address(address: str) -> str:
    """Return the address without surrounding space.

    Raises:
        InvalidNameError: It is no e-mail address.
    """
    address = address.strip()
    local, at, domain = address.rpartition("@")
    if not (at and local and domain) or _CONTROL.search(address) or any(c.isspace() for c in address):
        raise InvalidNameError(f"not an e-mail address: {address!r}")
    if "/" in domain or len(address.encode()) > _MAX_ADDRESS_BYTES:
        raise InvalidNameError(f"not an e-mail address: {address[:80]!r}")
    return address


@lru_cache(_KEPT_NAMES)
def validate_app(app: str) -> str:
    """Return the app name as it goes on the wire.

    Raises:
        InvalidNameError: It is empty, has control characters, or is longer than 4,096 bytes.
    """
    return _validate_name(app, "app name")


@lru_cache(_KEPT_NAMES)
def validate_endpoint(endpoint: str) -> str:
    """Return the endpoint's folder name: without its leading slashes, otherwise literal.

    Raises:
        InvalidNameError: It is empty, has control characters, or is longer than 4,096 bytes.
    """
    return _validate_name(endpoint.lstrip("/"), "endpoint")


def inbox_root_name(sender: str, recipient: str) -> str:
    """Name the root folder for messages from ``sender`` to ``recipient``."""
    return f"{INBOX_PREFIX}{sender}_to_{recipient}"


def inbox_path(sender: str, recipient: str, app: str, endpoint: str) -> InboxPath:
    """Name the folders that lead to an endpoint, from the inbox root down."""
    return InboxPath(
        inbox_root_name(validate_address(sender), validate_address(recipient)),
        validate_app(app),
        RPC_FOLDER,
        validate_endpoint(endpoint),
    )


def parse_inbox_root(name: str, me: str) -> Inbox | None:
    """Read an inbox root's name as ``me`` sees it: from the known end, never by splitting.

    An address may contain ``_to_``, so only the reader's own address makes the name unambiguous. A name that
    fits both ways is taken as an inbox of ``me``.
    """
    if not name.startswith(INBOX_PREFIX):
        return None
    parties = name[len(INBOX_PREFIX) :]
    suffix, prefix = f"_to_{me}", f"{me}_to_"
    if same_address(parties[-len(suffix) :], suffix) and len(parties) > len(suffix):
        return Inbox(parties[: -len(suffix)], parties[-len(me) :])
    if same_address(parties[: len(prefix)], prefix) and len(parties) > len(prefix):
        return Inbox(parties[: len(me)], parties[len(prefix) :])
    return None


def message_file_name(kind: MessageKind, future_id: str) -> str:
    """Name a message's file."""
    return f"{future_id}.{kind}"


def message_kind(file_name: str) -> MessageKind | None:
    """Tell by its name alone whether a file may be a message."""
    if file_name.endswith(".request"):
        return "request"
    return "response" if file_name.endswith(".response") else None


def parse_message_name(file_name: str) -> tuple[MessageKind, str]:
    """Split a message's file name into its kind and future ID.

    Raises:
        InvalidNameError: It is no message name, or the ID is not a UUID in its canonical form.
    """
    future_id, kind = file_name[:36], _KINDS.get(file_name[36:])
    if kind is None or _FUTURE_ID.fullmatch(future_id) is None:
        raise InvalidNameError(f"not a message file: {file_name[:80]!r}")
    return kind, future_id


_KEPT_TIMES = 64
"""Times of which the text is kept: one is asked for with every file of a page."""
_END_OF_TIME = datetime(9999, 12, 31, tzinfo=UTC).timestamp()


@lru_cache(_KEPT_TIMES)
def timestamp(seconds: float) -> str:
    """Write Unix seconds as Drive writes times: RFC 3339 in UTC with milliseconds, so that they sort as text."""
    return (
        datetime.fromtimestamp(min(max(seconds, 0.0), _END_OF_TIME), UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )


@lru_cache(_KEPT_TIMES)
def unix_time(timestamp: str) -> float | None:
    """Read a time as Drive writes times; ``None`` when it is none."""
    try:
        return datetime.fromisoformat(timestamp).timestamp()
    except ValueError:
        return None


def error_body(error: str, seconds: float) -> bytes:
    """Write an error reply of a time in Unix seconds."""
    return json.dumps({"error": error, "timestamp": datetime.fromtimestamp(seconds, UTC).isoformat()}).encode()


def new_future_id() -> str:
    """Make a fresh future ID (UUID4)."""
    return str(uuid.uuid4())


def is_future_id(text: str) -> bool:
    """Tell whether the text is a UUID in its canonical form."""
    return _FUTURE_ID.fullmatch(text) is not None


def _validate_name(name: str, what: str) -> str:
    if not name.strip():
        raise InvalidNameError(f"the {what} is empty")
    if bad := _CONTROL.search(name):
        raise InvalidNameError(f"the {what} has the control character {bad[0]!r}: {name[:80]!r}")
    if (size := len(name.encode())) > _MAX_NAME_BYTES:
        raise InvalidNameError(f"the {what} is {size} bytes long; the limit is {_MAX_NAME_BYTES}")
    return name
