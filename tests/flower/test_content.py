from __future__ import annotations

import copy
import io
import pickle
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.proto.message_pb2 import Message as ProtoMessage
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from syft_flwr.flower._compat import set_task_identity
from syft_flwr.flower.codec import decode, decode_file, encode
from syft_flwr.flower.file_array import FileArray, park

names = st.text(min_size=1, max_size=8)
ndarrays = arrays(st.sampled_from([np.float32, np.int64, np.bool_]), array_shapes(min_dims=0, min_side=0, max_side=4))
array_records = st.dictionaries(names, ndarrays.map(Array), max_size=3).map(ArrayRecord)
numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)
metric_records = st.dictionaries(
    names, numbers | st.lists(st.floats(allow_nan=False), min_size=1, max_size=3), max_size=3
)
values = numbers | st.booleans() | st.text(max_size=5) | st.binary(max_size=5)
config_records = st.dictionaries(names, values, max_size=3)
records = array_records | metric_records.map(MetricRecord) | config_records.map(ConfigRecord)
contents = st.dictionaries(names, records, max_size=4).map(RecordDict)


def message(content: RecordDict) -> Message:
    set_task_identity(2**64 - 1, 1)
    return Message(content, 42, "query")


def plain(message: Message) -> Any:
    return [(name, type(record), list(record.items())) for name, record in message.content.items()]


@given(contents)
@settings(deadline=None, max_examples=60)
def test_what_flower_reads_and_what_is_read_here_is_what_was_written(content: RecordDict) -> None:
    sent = message(content)
    body = encode(sent)
    assert plain(message_from_proto(ProtoMessage.FromString(body))) == plain(sent)
    assert plain(decode(body)[0]) == plain(sent)
    assert plain(decode(message_to_proto(sent).SerializeToString())[0]) == plain(sent)
    with tempfile.TemporaryFile() as file:
        file.write(body)
        file.flush()
        assert plain(decode_file(file)[0]) == plain(sent)


@pytest.fixture
def on_disk() -> Any:
    body = encode(message(RecordDict({"a": ArrayRecord({"w": Array(np.arange(6.0).reshape(2, 3))})})))
    with tempfile.TemporaryFile() as file:
        file.write(body)
        file.flush()
        yield decode_file(file)[0].content["a"]["w"]


def test_an_array_on_disk_is_as_good_as_one_in_memory(on_disk: Any) -> None:
    assert isinstance(on_disk, FileArray)
    ordinary = Array(np.arange(6.0).reshape(2, 3))
    assert on_disk == ordinary
    assert ordinary.data == on_disk.data
    np.testing.assert_array_equal(on_disk.numpy(), ordinary.numpy())
    assert on_disk.object_id == ordinary.object_id
    assert on_disk.size == len(ordinary.data)


def test_it_can_be_copied_pickled_and_changed(on_disk: Any) -> None:
    for twin in (copy.copy(on_disk), copy.deepcopy(on_disk), pickle.loads(pickle.dumps(on_disk))):
        assert type(twin) is Array
        assert twin == on_disk
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((2, 3)))
    on_disk.data = buffer.getvalue()
    assert not on_disk.numpy().any()


def test_a_large_record_is_parked_in_a_file_and_stays_the_same(tmp_path: Path) -> None:
    large = ArrayRecord({str(n): Array(np.full(700_000, float(n))) for n in range(2)})
    before = {name: array.numpy() for name, array in large.items()}
    park(large, tmp_path)
    assert all(isinstance(array, FileArray) for array in large.values())
    for name, array in large.items():
        np.testing.assert_array_equal(array.numpy(), before[name])
    assert decode(encode(message(RecordDict({"a": large}))))[0].content["a"]["1"].numpy()[0] == 1.0  # type: ignore[index]
    small = ArrayRecord({"x": Array(np.zeros(3))})
    park(small, tmp_path)
    assert type(small["x"]) is Array
    assert list(tmp_path.iterdir()) == []
