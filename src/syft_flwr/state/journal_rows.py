"""What the rows of the journal are, how they stand, and what becomes of them."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import dataclass, field
from enum import Enum

from msgspec import Struct

from syft_flwr import wire
from syft_flwr.models import Message
from syft_flwr.ports import JSON
from syft_flwr.resources import DriveFile


@dataclass(frozen=True, slots=True)
class Spooled:
    """A handler's answer that waits for its upload.

    ``body`` is ``None`` when it lies in a file of its own; ``size`` is in bytes, ``None`` if it is not known.
    """

    message: Message
    reply_id: str
    is_error: bool
    body: bytes | None
    size: int | None = None


class Row(Struct, frozen=True, gc=False):
    """An unfinished candidate, and its answer once that is on disk."""

    number: int
    file: DriveFile
    spooled: Spooled | None = None


class Claim(Enum):
    """How a request stands in the journal."""

    TAKEN = "taken"
    """This process has it from now on."""
    FREE = "free"
    """It was not asked for, and could be had."""
    HELD = "held"
    """This process has it already."""
    ELSEWHERE = "elsewhere"
    """Another process has it."""
    COPY = "copy"
    """Another file of the same message is on its way."""
    OVER = "over"
    """Done, withdrawn, or a copy of what is done: nothing is left to do."""


class Standing(Struct, frozen=True, gc=False):
    """What became of a claim; ``by`` names the holder, or the number of the other file."""

    claim: Claim
    by: str | int | None = None


@dataclass(slots=True)
class Committed:
    """What a page of the feed, or a part of a sweep, came to in the journal.

    Attributes:
        first, last: The last number that the journal had given before, and has given now, by whichever process.
        rows: The rows of the numbers in between; what else took a number is over.
        changed: Numbers of earlier rows that are unfinished and have changed.
        new: When each candidate that the journal did not know was created (RFC 3339).
        answered: Future IDs that have an answer now, new or not.
        responses: Those responses that answered a future just now.
        deletable: Files of our own that became due for deletion.
        wants_sweep: Whether more processed files are kept than wanted, for lack of a recent sweep.
    """

    first: int = 0
    last: int = 0
    rows: list[Row] = field(default_factory=list)
    changed: list[int] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)
    responses: list[Message] = field(default_factory=list)
    deletable: list[str] = field(default_factory=list)
    wants_sweep: bool = False

    @classmethod
    def after(cls, number: int) -> Committed:
        """Begin where this is the last number that was given."""
        return cls(first=number, last=number)


class Verdict(Enum):
    """What a file of the journal was found to be, when it is no request."""

    NOT_OURS = "not ours"


def as_row(number: int, row: JSON) -> Row:
    """Read a row of this number."""
    reply, spooled = row.get("reply"), None
    if reply is not None:
        body = None if reply["body"] is None else b64decode(reply["body"])
        spooled = Spooled(Message(**reply["message"]), reply["id"], reply["is_error"], body, reply.get("size"))
    return Row(number, file_of(row), spooled)


def file_of(row: JSON) -> DriveFile:
    """Return the file of a row; a store in memory keeps it as it was given."""
    file = row["file"]
    return file if isinstance(file, DriveFile) else DriveFile.from_api(file)


def as_file(message: Message) -> DriveFile:
    """Return the metadata of a message's file, as far as the message tells."""
    return DriveFile(
        id=message.file_id,
        name=wire.message_file_name(message.kind, message.future_id),
        parents=(message.folder_id,),
        size=message.size,
        created_time=message.created_time,
        sha256=message.sha256,
        owners=(message.sender,),
        properties={**message.properties, **message.inlined},
    )
