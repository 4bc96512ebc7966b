"""The content of a Flower message as bytes, without copying its arrays.

What is small goes through Flower's own (de)serialization; only the data of arrays is put into place, and found, here.
Field numbers: ``flwr/proto/recorddict.proto``.
"""

from __future__ import annotations

from collections.abc import Iterator

from syft_flwr.flower._compat import (
    Array,
    ArrayRecord,
    ConfigRecord,
    MetricRecord,
    ProtoArray,
    ProtoRecordDict,
    RecordDict,
    array_from_proto,
    array_to_proto,
    recorddict_from_proto,
    recorddict_to_proto,
)
from syft_flwr.flower.file_array import DataFile, FileArray
from syft_flwr.flower.protobuf import Field, read_fields, write_field, write_head

_ITEMS = 1  # of RecordDict and of ArrayRecord
_KEY = 1  # of the items of both
_ARRAY_RECORD = 2  # of RecordDict.Item
_PLAIN_RECORDS = (3, 4)  # likewise, of metrics and configs
_BYTES = (6, 26)  # of the values of configs: bytes, and a list of bytes
_MOST_PLAIN = 32 * 1024 * 1024
"""Bytes of all metrics and configs but bytes, which take no more in memory; as Python's numbers they take many times
that."""
_VALUE = 2  # of the items of all records
_DATA = 4  # of Array

Pieces = list[bytes]


def write_record(name: str, record: ArrayRecord | MetricRecord | ConfigRecord) -> Pieces:
    """Serialize one record of a content, in pieces; those of large arrays are the arrays' own bytes.

    A content is its records, one behind the other.
    """
    if isinstance(record, ArrayRecord):
        body = _nest(_ARRAY_RECORD, [piece for key, array in record.items() for piece in _write_array(key, array)])
        return _nest(_ITEMS, [write_field(_KEY, name.encode()), *body])
    return [recorddict_to_proto(RecordDict({name: record})).SerializeToString()]


def read_content(payload: memoryview, start: int, file: DataFile | None = None) -> RecordDict:
    """Read content.

    Args:
        payload: The serialized content.
        start: Where it starts in the file.
        file: Where the arrays' data stays; ``None`` to copy it into memory.

    Raises:
        ValueError: The bytes are no content, or metrics beyond reason.
    """
    content = RecordDict()
    plain = 0
    for item in read_fields(payload, start):
        if item.number != _ITEMS:
            continue
        if (found := _array_record(item)) is not None:
            name, record = found
            content[name] = _read_arrays(record, file)
        else:
            plain += _plain_size(item)
            if plain > _MOST_PLAIN:
                raise ValueError(f"metrics and configs of more than {_MOST_PLAIN} bytes")
            content.update(recorddict_from_proto(ProtoRecordDict.FromString(bytes(item.whole))))
    return content


def without_arrays(payload: memoryview) -> bytes:
    """Return serialized content without its array records."""
    items = (item for item in read_fields(payload) if item.number == _ITEMS)
    return b"".join(item.whole for item in items if _array_record(item) is None)


def _write_array(key: str, array: Array) -> Pieces:
    head: bytes = array_to_proto(Array(array.dtype, array.shape, array.stype, b"")).SerializeToString()
    data = array.data
    value = _nest(_VALUE, [head, write_head(_DATA, len(data)), data])
    return _nest(_ITEMS, [write_field(_KEY, key.encode()), *value])


def _nest(number: int, pieces: Pieces) -> Pieces:
    return [write_head(number, sum(map(len, pieces))), *pieces]


def _array_record(item: Field) -> tuple[str, list[Field]] | None:
    """Return name and fields of an item that is an array record."""
    fields = list(read_fields(item.payload, item.start))
    records = [field for field in fields if field.number == _ARRAY_RECORD]
    if not records:
        return None
    return _text(fields, _KEY), records


def _plain_size(item: Field) -> int:
    """Return the size of an item that is no array record, but for the bytes that its values are.

    Raises:
        ValueError: A record has more values, or a value more bytes in a list, than Flower's have.
    """
    size = len(item.payload)
    for record in (field for field in read_fields(item.payload) if field.number in _PLAIN_RECORDS):
        for value in (value for entry in _items([record]) for value in read_fields(entry.payload)):
            if value.number == _VALUE:
                size -= sum(map(_bytes_size, read_fields(value.payload)))
    return size


def _bytes_size(value: Field) -> int:
    if value.number not in _BYTES:
        return 0
    parts = [value] if value.number == _BYTES[0] else read_fields(value.payload)
    return sum(len(part.payload) for part in parts)


def _read_arrays(records: list[Field], file: DataFile | None) -> ArrayRecord:
    record = ArrayRecord()
    for item in _items(records):
        fields = list(read_fields(item.payload, item.start))
        value = [part for field in fields if field.number == _VALUE for part in read_fields(field.payload, field.start)]
        record[_text(fields, _KEY)] = _read_array(value, file)
    return record


def _items(records: list[Field]) -> Iterator[Field]:
    for record in records:
        yield from (item for item in read_fields(record.payload, record.start) if item.number == _ITEMS)


def _read_array(fields: list[Field], file: DataFile | None) -> Array:
    head = array_from_proto(ProtoArray.FromString(b"".join(f.whole for f in fields if f.number != _DATA)))
    data = next((field for field in reversed(fields) if field.number == _DATA), None)
    if data is not None and file is not None:
        return FileArray(head, file, data.start, len(data.payload))
    head.data = b"" if data is None else bytes(data.payload)
    return head


def _text(fields: list[Field], number: int) -> str:
    return next((str(field.payload, "utf-8") for field in reversed(fields) if field.number == number), "")
