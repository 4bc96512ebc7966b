"""Flower messages as bytes: a serialized Flower ``Message``, with a stamp of ours that others skip.

The stamp is a field of a number that Flower does not use. Protocol Buffers keeps what it does not know, so
participants without this package read the message as if the stamp were not there
(https://protobuf.dev/programming-guides/proto3/#unknowns).
"""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, MsgspecError
from msgspec.json import Decoder

from syft_flwr.errors import FlowerError
from syft_flwr.flower._compat import (
    Message,
    ProtoMessage,
    ProtoMetadata,
    RecordDict,
    UnknownFieldSet,
    message_from_proto,
    message_to_proto,
    message_with_content,
    message_without_content,
)
from syft_flwr.flower.content import read_content, without_arrays, write_record
from syft_flwr.flower.file_array import DataFile
from syft_flwr.flower.protobuf import Field, read_fields, write_field, write_head
from syft_flwr.printable import printable, printable_error

_STAMP_FIELD = 45_100
_CONTENT_FIELD = 2  # of Message
_Time = Annotated[float, Meta(gt=-1e11, lt=1e11)]
"""Unix seconds, to some thousand years hence."""
_ConfigValue = (
    bool
    | Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
    | Annotated[float, Meta(ge=-1.7e308, le=1.7e308)]
    | Annotated[str, Meta(max_length=10_000)]
)
"""Finite numbers, whole ones of the 64 bits that Flower sends, and texts of a length that a configuration has."""


@dataclass(frozen=True, slots=True)
class ObjectReference:
    """A record of a message that lies in a file of its own: its place among the records, and where its bytes are.

    ``sha256`` (hex) and ``size`` (bytes) are those of the serialized record, which is the file's content.
    """

    index: Annotated[int, Meta(ge=0, lt=10_000)]
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    size: Annotated[int, Meta(gt=0, le=2**40)]
    file_id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,200}\Z")]


@dataclass(frozen=True, slots=True)
class Stamp:
    """What the two sides tell each other beside the Flower message. Times are Unix seconds of the writer's clock.

    The types say what is taken from a peer; what a field does not allow makes a message none.
    """

    flwr: str = ""
    """Version of flwr."""
    project: str = ""
    """Hash of the project that the writer runs."""
    run_started: _Time = 0.0
    """When the run started: tells a newer run of an aggregator from an older one. Requests only."""
    run_config: Mapping[str, _ConfigValue] = field(default_factory=dict)
    """The aggregator's overrides of the project's run config. Requests only."""
    seen: _Time = 0.0
    """When the data owner took the request up. Replies only, as are the next two."""
    started: _Time = 0.0
    """When its app started."""
    finished: _Time = 0.0
    """When its app was done."""
    can: tuple[str, ...] = ()
    """What the data owner can do beyond the wire of existing participants. Answers to greetings only."""
    objects: Sequence[ObjectReference] = ()
    """The records that are not in the message itself. Requests only."""
    lacks_objects: bool = False
    """Whether the data owner could not get those. Replies only."""


_STAMPS = Decoder(Stamp)


def encode(message: Message, stamp: Stamp | None = None) -> bytes:
    return b"".join(encode_pieces(message, stamp))


def encode_pieces(message: Message, stamp: Stamp | None = None) -> list[bytes]:
    """Return a message as bytes in pieces, to be joined or written one after the other; arrays are not copied.

    The records that the stamp's ``objects`` stand for are left out.
    """
    head = message_to_proto(message_without_content(message) if message.has_content() else message)
    head.ClearField("content")
    pieces: list[bytes] = [head.SerializeToString()]
    if message.has_content():
        elsewhere = set() if stamp is None else {reference.index for reference in stamp.objects}
        records = [item for index, item in enumerate(message.content.items()) if index not in elsewhere]
        content = [piece for name, record in records for piece in write_record(name, record)]
        pieces += [write_head(_CONTENT_FIELD, sum(map(len, content))), *content]
    return pieces if stamp is None else [*pieces, encode_stamp(stamp)]


def splice(body: bytes, objects: Mapping[int, Path]) -> list[bytes | Path]:
    """Return a message with all of its records, in pieces: its own bytes, and the files of those that it left out.

    Its stamp is gone.

    Args:
        body: The message without them.
        objects: The serialized records, by their places among all records.

    Raises:
        FlowerError: The body is no Flower message.
    """
    try:
        fields = list(read_fields(memoryview(body)))
        [content] = [field for field in fields if field.number == _CONTENT_FIELD]
        records: list[bytes | Path] = [bytes(record.whole) for record in read_fields(content.payload)]
    except ValueError as error:
        raise FlowerError(f"the body is no Flower message: {error}") from error
    for index in sorted(objects):
        records.insert(index, objects[index])
    size = sum(len(part) if isinstance(part, bytes) else part.stat().st_size for part in records)
    rest = b"".join(field.whole for field in fields if field.number not in (_CONTENT_FIELD, _STAMP_FIELD))
    return [rest, write_head(_CONTENT_FIELD, size), *records]


def joined(pieces: Iterable[bytes | Path]) -> bytes:
    """Return the bytes of pieces, some of which are in files."""
    return b"".join(piece if isinstance(piece, bytes) else piece.read_bytes() for piece in pieces)


def decode(body: bytes) -> tuple[Message, Stamp]:
    """Read a message and its stamp; a message of other participants has an empty one.

    Raises:
        FlowerError: The body is no Flower message.
    """
    return _decode(memoryview(body), lambda content: read_content(content.payload, content.start))


def decode_file(file: DataFile) -> tuple[Message, Stamp]:
    """Read a message from a file; the data of its arrays stays there until it is used.

    Raises:
        FlowerError: The file holds no Flower message.
    """
    if os.fstat(file.fileno()).st_size == 0:
        raise FlowerError("the body is no Flower message: it is empty")
    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return _decode(memoryview(mapped), lambda content: read_content(content.payload, content.start, file))


def decode_head(body: bytes) -> tuple[Message, Stamp]:
    """Read a message without its array records.

    Raises:
        FlowerError: The body is no Flower message.
    """
    return _decode(
        memoryview(body), lambda content: read_content(memoryview(without_arrays(content.payload)), content.start)
    )


def _decode(body: memoryview, read: Callable[[Field], RecordDict]) -> tuple[Message, Stamp]:
    try:
        return _read(body, read)
    except FlowerError:
        raise
    except Exception as error:  # whatever a hostile body makes the readers of Flower and Protocol Buffers raise
        raise FlowerError(f"the body is no Flower message: {printable_error(error)}") from error


def _read(body: memoryview, read: Callable[[Field], RecordDict]) -> tuple[Message, Stamp]:
    fields = list(read_fields(body))
    content = [field for field in fields if field.number == _CONTENT_FIELD]
    if len(content) > 1:
        raise FlowerError("the body is no Flower message: it has several contents")
    proto = ProtoMessage.FromString(b"".join(f.whole for f in fields if f.number != _CONTENT_FIELD))
    if not proto.HasField("metadata"):
        raise FlowerError("the body is no Flower message: it has no metadata")
    if content:
        proto.content.SetInParent()  # present, and for now empty
    message, stamp = message_from_proto(proto), _decode_stamp(proto)
    return (message_with_content(message, read(content[0])) if content else message), stamp


def redate(body: bytes, created_at: float) -> bytes:
    """Return a serialized message with another ``created_at``; embedded messages that repeat are merged."""
    patch: bytes = ProtoMessage(metadata=ProtoMetadata(created_at=created_at)).SerializeToString()
    return body + patch


def round_of(message: Message) -> str:
    """Return the round of an instruction, if it says so: new strategies in its config, legacy ones as its group."""
    if message.has_content():
        for record in message.content.config_records.values():
            if "server-round" in record:
                return printable(record["server-round"])
    return printable(message.metadata.group_id)


def encode_stamp(stamp: Stamp) -> bytes:
    """Return bytes that, put behind a serialized message, stamp it."""
    payload = json.dumps({k: v for k, v in asdict(stamp).items() if v}, separators=(",", ":")).encode()
    return write_field(_STAMP_FIELD, payload)


def _decode_stamp(proto: Any) -> Stamp:
    payload = next((bytes(f.data) for f in UnknownFieldSet(proto) if f.field_number == _STAMP_FIELD), None)
    if payload is None:
        return Stamp()
    try:
        stamp = _STAMPS.decode(payload)
    except MsgspecError as error:  # such as: Expected `str`, got `int` - at `$.flwr`
        flaw, _, place = str(error).partition(" - at `$.")
        raise FlowerError(f"the message's stamp has a bad {place.rstrip('`') or 'form'}: {flaw}") from error
    if len({reference.index for reference in stamp.objects}) != len(stamp.objects):
        raise FlowerError("the message's stamp has two objects in one place")
    flwr, project, *can = map(printable, (stamp.flwr, stamp.project, *stamp.can))
    return replace(stamp, flwr=flwr, project=project, can=tuple(can))
