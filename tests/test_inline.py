"""Bodies in properties: what fits, and what is believed."""

from __future__ import annotations

import hashlib
import random
import zlib
from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syft_flwr.inline import from_properties, split, to_properties


def read(properties: dict[str, str], body: bytes) -> bytes | None:
    return from_properties(properties, size=len(body), sha256=hashlib.sha256(body).hexdigest())


@given(st.binary(max_size=3_000))
def test_a_body_that_fits_comes_back_within_drives_limits(body: bytes) -> None:
    properties = to_properties(body)
    assert len(properties) <= 28
    assert all(len((name + value).encode()) <= 124 for name, value in properties.items())
    assert not properties or read({**properties, "status": "error"}, body) == body


def test_two_and_a_half_kilobytes_of_noise_fit_and_three_do_not() -> None:
    noise = random.Random(0).randbytes(3_000)
    assert read(to_properties(noise[:2_500]), noise[:2_500]) == noise[:2_500]
    assert to_properties(noise) == {}
    assert to_properties(bytes(10_000_000)) == {}


BODY = b"the body that Drive has"
SOUND = to_properties(BODY)
BOMB = urlsafe_b64encode(zlib.compress(bytes(60_000), 9)).decode()


@pytest.mark.parametrize(
    "properties",
    [
        {},
        {"b0": ""},
        {"b0": SOUND["b0"][:-20]},
        {"b0": "***"},
        {"b0": "A"},
        {"b1": SOUND["b0"]},
        to_properties(b"another body of its own"),
        to_properties(BODY + b"!"),
        {"b0": BOMB[:120], "b1": BOMB[120:]},
    ],
)
def test_what_is_missing_truncated_forged_or_of_another_body_is_not_believed(properties: dict[str, str]) -> None:
    assert read(properties, BODY) is None


def test_without_a_checksum_of_drives_nothing_is_believed() -> None:
    assert from_properties(SOUND, size=len(BODY), sha256=None) is None


def test_a_record_without_bodies_keeps_the_other_properties() -> None:
    others = {"status": "error", "bx": "1", "book": "2"}
    assert split({**SOUND, **others}) == (SOUND, others)
