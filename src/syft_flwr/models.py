"""Frozen values that travel through the system: messages, and what becomes of them; no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from json.encoder import encode_basestring_ascii as _quoted
from typing import Literal

from syft_flwr.addresses import fold_address
from syft_flwr.printable import printable
from syft_flwr.resources import FOLDER_MIME_TYPE, Access, Account, Change, ChangePage, DriveFile, Unreadable

__all__ = [
    "FOLDER_MIME_TYPE",
    "Access",
    "Account",
    "Change",
    "ChangePage",
    "DriveFile",
    "FeedError",
    "Message",
    "MessageKind",
    "Received",
    "Rejection",
    "RejectionReason",
    "Replied",
    "Unreadable",
]

MessageKind = Literal["request", "response"]

_LONGEST_SHOWN = 400
"""Characters of a text in a rejection; an address may have 320."""


@dataclass(frozen=True, slots=True)
class Message:
    """A request or response addressed to this account, its sender attested by Drive; the body is not loaded.

    ``sender`` and ``recipient`` are spelled as in the folder's name; compare them with
    :func:`syft_flwr.addresses.same_address`. ``size`` is in bytes. ``inlined`` are those of the file's properties that
    hold the body, if any do (:mod:`syft_flwr.inline`).
    """

    kind: MessageKind
    sender: str
    recipient: str
    app: str
    endpoint: str
    future_id: str
    file_id: str
    folder_id: str
    size: int
    created_time: str
    sha256: str | None = None
    properties: Mapping[str, str] = field(default_factory=dict, hash=False)
    inlined: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    @property
    def key(self) -> str:
        """The idempotency key: two files with one key are one message. ASCII, whatever the names hold."""
        queue = _quoted_queue(self.kind, self.sender, self.app, self.endpoint)
        return f"[{queue}, {_quoted(self.future_id)}]"

    @property
    def is_error(self) -> bool:
        """Whether the peer marked this response as the reply of a handler that failed."""
        return self.properties.get("status") == "error"


@lru_cache(1_000)
def _quoted_queue(kind: str, sender: str, app: str, endpoint: str) -> str:
    return ", ".join(map(_quoted, (kind, fold_address(sender), app, endpoint)))


class RejectionReason(StrEnum):
    """Why a file was not accepted as a message."""

    FORGED_SENDER = "forged_sender"
    FOREIGN_FOLDER = "foreign_folder"
    SENDER_NOT_ALLOWED = "sender_not_allowed"
    BAD_NAME = "bad_name"
    TOO_LARGE = "too_large"
    DAMAGED = "damaged"
    UNKNOWN_ENDPOINT = "unknown_endpoint"
    UNKNOWN_FUTURE = "unknown_future"
    WRONG_RESPONDER = "wrong_responder"
    HANDLER_CRASHED = "handler_crashed"
    EXPIRED = "expired"
    UNREADABLE = "unreadable"
    BAD_TIME = "bad_time"


@dataclass(frozen=True, slots=True)
class Rejection:
    """A file that was not accepted as a message, or not handled, and why. Its body was not given to any handler.

    Names and addresses are shown as :func:`~syft_flwr.printable.printable` writes them: a stranger chose them.
    """

    reason: RejectionReason
    file_id: str
    detail: str
    file_name: str = ""
    claimed_sender: str = ""
    owner: str = ""
    message: Message | None = None

    def __post_init__(self) -> None:
        for name in ("detail", "file_name", "claimed_sender", "owner"):
            object.__setattr__(self, name, printable(getattr(self, name), _LONGEST_SHOWN))

    @classmethod
    def of(cls, reason: RejectionReason, message: Message, detail: str) -> Rejection:
        """Refuse a message whose sender is genuine."""
        return cls(
            reason,
            message.file_id,
            detail,
            file_name=f"{message.future_id}.{message.kind}",
            claimed_sender=message.sender,
            owner=message.sender,
            message=message,
        )


@dataclass(frozen=True, slots=True)
class FeedError:
    """An exception that was contained: ``where`` names the place (an observer, a handler, a poll)."""

    where: str
    error: BaseException
    message: Message | None = None


@dataclass(frozen=True, slots=True)
class Received:
    """A message and its body."""

    message: Message
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Replied:
    """What a handler answered to a request; ``body`` is ``None`` when it gave no reply."""

    message: Message
    body: bytes | None = field(repr=False)
    is_error: bool = False
