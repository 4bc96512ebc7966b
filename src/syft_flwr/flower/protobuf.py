"""The wire format of Protocol Buffers, as far as it takes to look at a message without copying its arrays.

https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

_MOST_FIELDS = 10_000
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message: its number, its bytes with and (for strings, bytes and messages) without the tag.

    ``start`` is where the payload begins, counted as the message's own start was.
    """

    number: int
    whole: memoryview
    payload: memoryview
    start: int


def read_fields(message: memoryview, base: int = 0) -> Iterator[Field]:
    """Walk over the fields of a message that starts at ``base``.

    Raises:
        ValueError: The bytes are no message, or one of far more fields than Flower's have.
    """
    position = count = 0
    while position < len(message):
        count += 1
        if count > _MOST_FIELDS:
            raise ValueError(f"more than {_MOST_FIELDS} fields")
        tag, start = read_varint(message, position)
        kind = tag & 7
        if kind == _VARINT:
            _, end = read_varint(message, start)
        elif kind == _BYTES:
            size, start = read_varint(message, start)
            end = start + size
        elif kind in (_FIXED64, _FIXED32):
            end = start + (8 if kind == _FIXED64 else 4)
        else:
            raise ValueError(f"wire type {kind} at byte {position}")
        if end > len(message):
            raise ValueError(f"the field at byte {position} is cut off")
        yield Field(tag >> 3, message[position:end], message[start:end], base + start)
        position = end


def write_field(number: int, payload: bytes) -> bytes:
    """Return a field of strings, bytes or a message."""
    return write_head(number, len(payload)) + payload


def read_varint(data: memoryview, position: int) -> tuple[int, int]:
    """Return a number and where the next thing starts."""
    number = shift = 0
    while position < len(data) and shift < 64:
        byte = data[position]
        number |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if not byte & 0x80:
            return number, position
    raise ValueError(f"no varint at byte {position}")


def write_head(number: int, size: int) -> bytes:
    """Return what comes before the payload of such a field."""
    return write_varint(number << 3 | _BYTES) + write_varint(size)


def write_varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
