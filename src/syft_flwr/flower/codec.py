"""Flower messages as bytes: a serialized Flower ``Message``, with a stamp of ours that others skip.

The stamp is a field of a number that Flower does not use. Protocol Buffers keeps what it does not know, so
participants without this package read the message as if the stamp were not there
(https://protobuf.dev/programming-guides/proto3/#unknowns).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from syft_flwr.errors import FlowerError
from syft_flwr.flower._compat import (
    Array,
    DecodeError,
    Message,
    ProtoMessage,
    ProtoMetadata,
    RecordDict,
    UnknownFieldSet,
    message_from_proto,
    message_to_proto,
    message_without_content,
)
from syft_flwr.flower.protobuf import read_fields, write_field

_STAMP_FIELD = 45_100
_CONTENT_FIELD = 2  # of Message
_ARRAYS_FIELD = 2  # of RecordDict.Item
_SMALL = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Stamp:
    """What the two sides tell each other beside the Flower message. Times are Unix seconds of the writer's clock."""

    flwr: str = ""
    """Version of flwr."""
    project: str = ""
    """Hash of the project that the writer runs."""
    run_started: float = 0.0
    """When the run started: tells a newer run of an aggregator from an older one. Requests only."""
    run_config: Mapping[str, bool | float | int | str] = field(default_factory=dict)
    """The aggregator's overrides of the project's run config. Requests only."""
    seen: float = 0.0
    """When the data owner took the request up. Replies only, as are the next two."""
    started: float = 0.0
    """When its app started."""
    finished: float = 0.0
    """When its app was done."""


class Encoder:
    """Serializes messages; content that goes to several nodes is serialized once.

    Not thread-safe: one per batch of messages. It keeps the last content alive.
    """

    def __init__(self) -> None:
        self._key: _ContentKey | None = None
        self._encoded = b""

    def encode(self, message: Message, stamp: Stamp | None = None) -> bytes:
        """Return the message as bytes."""
        tail = b"" if stamp is None else encode_stamp(stamp)
        if not message.has_content():
            return bytes(message_to_proto(message).SerializeToString()) + tail
        key = _content_key(message.content)
        if self._key is None or not self._key.matches(key):
            whole = message_to_proto(message)
            whole.ClearField("metadata")
            self._encoded, self._key = bytes(whole.SerializeToString()), key
        # Serialized fields may be concatenated in any order.
        head = message_to_proto(message_without_content(message))
        head.ClearField("content")
        return b"".join((head.SerializeToString(), self._encoded, tail))


@dataclass(frozen=True, slots=True)
class _ContentKey:
    """What content consists of; by value, but for the arrays' data, which are bytes and so compared by identity."""

    small: str
    data: tuple[bytes, ...]

    def matches(self, other: _ContentKey) -> bool:
        return (
            self.small == other.small
            and len(self.data) == len(other.data)
            and all(a is b for a, b in zip(self.data, other.data, strict=True))
        )


def _content_key(content: RecordDict) -> _ContentKey:
    small: list[object] = []
    data: list[bytes] = []
    for name, record in content.items():
        small.append((name, type(record).__name__))
        for key, value in record.items():
            if isinstance(value, Array):
                small.append((key, value.dtype, value.shape, value.stype))
                data.append(value.data)
            else:
                small.append((key, value))
    return _ContentKey(repr(small), tuple(data))


def decode(body: bytes) -> tuple[Message, Stamp]:
    """Read a message and its stamp; a message of other participants has an empty one.

    Raises:
        FlowerError: The body is no Flower message.
    """
    try:
        proto = ProtoMessage.FromString(body)
        if not proto.HasField("metadata"):
            raise FlowerError("the body is no Flower message: it has no metadata")
        stamp = _decode_stamp(proto)
        return message_from_proto(proto), stamp
    except (DecodeError, ValueError, TypeError, KeyError) as error:
        raise FlowerError(f"the body is no Flower message: {error}") from error


def decode_head(body: bytes) -> tuple[Message, Stamp]:
    """Read a message without its array records: a large model is neither copied nor parsed.

    Raises:
        FlowerError: The body is no Flower message.
    """
    if len(body) <= _SMALL:
        return decode(body)
    try:
        return decode(b"".join(_without_arrays(memoryview(body))))
    except ValueError as error:
        raise FlowerError(f"the body is no Flower message: {error}") from error


def redate(body: bytes, created_at: float) -> bytes:
    """Return a serialized message with another ``created_at``; embedded messages that repeat are merged."""
    patch: bytes = ProtoMessage(metadata=ProtoMetadata(created_at=created_at)).SerializeToString()
    return body + patch


def round_of(message: Message) -> str:
    """Return the round of an instruction, if it says so: new strategies in its config, legacy ones as its group."""
    if message.has_content():
        for record in message.content.config_records.values():
            if "server-round" in record:
                return str(record["server-round"])
    return str(message.metadata.group_id)


def encode_stamp(stamp: Stamp) -> bytes:
    """Return bytes that, put behind a serialized message, stamp it."""
    payload = json.dumps({k: v for k, v in asdict(stamp).items() if v}, separators=(",", ":")).encode()
    return write_field(_STAMP_FIELD, payload)


def _without_arrays(message: memoryview) -> Iterator[bytes | memoryview]:
    for top in read_fields(message):
        if top.number != _CONTENT_FIELD:
            yield top.whole
            continue
        items = (item for item in read_fields(top.payload))
        kept = [item.whole for item in items if all(f.number != _ARRAYS_FIELD for f in read_fields(item.payload))]
        yield write_field(_CONTENT_FIELD, b"".join(kept))


def _decode_stamp(proto: Any) -> Stamp:
    payload = next((bytes(f.data) for f in UnknownFieldSet(proto) if f.field_number == _STAMP_FIELD), None)
    if payload is None:
        return Stamp()
    raw = json.loads(payload)
    if not isinstance(raw, dict):
        raise FlowerError("the message's stamp is no JSON object")
    values: dict[str, Any] = {}
    for name in (f.name for f in fields(Stamp)):
        value = raw.get(name, getattr(_EMPTY, name) if name != "run_config" else {})
        expected = {"flwr": str, "project": str, "run_config": dict}.get(name, (int, float))
        if not isinstance(value, expected):
            raise FlowerError(f"the message's stamp has a bad {name}")
        values[name] = value
    return Stamp(**values)


_EMPTY = Stamp()
