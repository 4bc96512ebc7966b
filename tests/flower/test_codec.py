from __future__ import annotations

import contextlib

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.common.serde import message_from_proto
from flwr.proto.message_pb2 import Message as ProtoMessage
from hypothesis import given, settings
from hypothesis import strategies as st

from syft_flwr.errors import FlowerError
from syft_flwr.flower._compat import set_task_identity
from syft_flwr.flower.codec import Stamp, decode, decode_head, encode, encode_stamp, redate

STAMP = Stamp("1.41.0", "ab" * 32, 12.5, {"lr": 0.1, "name": "x", "on": True}, 1.0, 2.0, 3.0)


def message(size: int = 4) -> Message:
    set_task_identity(2**63 + 5, 1)
    content = RecordDict(
        {
            "arrays": ArrayRecord({"w": Array(np.arange(size, dtype=np.float64))}),
            "config": ConfigRecord({"server-round": 3}),
            "metrics": MetricRecord({"loss": [0.5, 1.5]}),
        }
    )
    return Message(content, 42, "train.twice", group_id="g")


def test_a_message_and_its_stamp_come_back() -> None:
    sent = message()
    read, stamp = decode(encode(sent, STAMP))
    assert stamp == STAMP
    assert read.metadata.run_id == 2**63 + 5
    assert read.metadata.message_type == "train.twice"
    assert read.content == sent.content


def test_participants_without_this_package_read_the_message_as_if_there_were_no_stamp() -> None:
    sent = message()
    read = message_from_proto(ProtoMessage.FromString(encode(sent, STAMP)))
    assert read.content == sent.content
    assert read.metadata.dst_node_id == 42


def test_messages_of_participants_without_this_package_have_an_empty_stamp() -> None:
    _, stamp = decode(encode(message()))
    assert stamp == Stamp()


def test_an_error_reply_comes_back() -> None:
    reply = Message(Error(2, "no"), reply_to=message())
    read, _ = decode(encode(reply, STAMP))
    assert (read.error.code, read.error.reason) == (2, "no")


def test_the_head_of_a_large_message_is_read_without_its_arrays() -> None:
    body = encode(message(1_000_000), STAMP)
    read, stamp = decode_head(body)
    assert stamp == STAMP
    assert set(read.content) == {"config", "metrics"}
    assert read.metadata.message_type == "train.twice"


def test_a_message_can_be_redated_without_parsing_it() -> None:
    body = encode(message(), STAMP)
    read, stamp = decode(redate(body, 99.5))
    assert read.metadata.created_at == 99.5
    assert read.metadata.dst_node_id == 42
    assert stamp == STAMP


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"junk",
        b'{"error": "x"}',
        encode(message())[:-3],
        encode(message()) + encode_stamp(Stamp())[:-2] + b"[]",
    ],
)
def test_what_is_no_flower_message_is_told(body: bytes) -> None:
    with pytest.raises(FlowerError, match=r"Flower message|stamp"):
        decode(body)


def test_a_stamp_with_odd_values_is_told() -> None:
    odd = encode_stamp(Stamp(flwr="x")).replace(b'"x"', b"123")
    with pytest.raises(FlowerError, match="bad flwr"):
        decode(encode(message()) + odd)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(body: bytes) -> None:
    with contextlib.suppress(FlowerError):
        decode(body)
    with contextlib.suppress(FlowerError):
        decode_head(body + bytes(1 << 20))
