"""Bodies in properties: what fits, and what is believed."""

from __future__ import annotations

import hashlib
import random
import zlib
from base64 import b85encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syft_flwr.inline import from_properties, split, to_properties


def read(properties: dict[str, str], body: bytes, *further: dict[str, str]) -> bytes | None:
    return from_properties([properties, *further], size=len(body), sha256=hashlib.sha256(body).hexdigest())


@given(st.binary(max_size=12_000))
def test_a_body_that_fits_comes_back_within_drives_limits(body: bytes) -> None:
    spread = to_properties(body, files=3)
    assert [len(properties) <= room for properties, room in zip(spread, (27, 30, 30), strict=False)] == [True] * len(
        spread
    )
    assert all(len((name + value).encode()) <= 124 for properties in spread for name, value in properties.items())
    if spread:
        first, *further = spread
        assert read({**first, "status": "error"}, body, *further) == body


def test_how_much_noise_fits() -> None:
    noise = random.Random(0).randbytes(9_000)
    for size, files in ((2_600, 1), (5_500, 2), (8_400, 3)):
        spread = to_properties(noise[:size], files=3)
        assert len(spread) == files
        assert read(spread[0], noise[:size], *spread[1:]) == noise[:size]
        assert to_properties(noise[: size + 200], files=files) == []
    assert to_properties(bytes(10_000_000)) == []


BODY = b"the body that Drive has"
[SOUND] = to_properties(BODY)
BOMB = b85encode(zlib.compress(bytes(60_000), 9)).decode()


@pytest.mark.parametrize(
    "properties",
    [
        {},
        {"b0": ""},
        {"b0": SOUND["b0"][:-20]},
        {"b0": "***"},
        {"b0": "A"},
        {"b1": SOUND["b0"]},
        *to_properties(b"another body of its own"),
        *to_properties(BODY + b"!"),
        {"b0": BOMB[:121], "b1": BOMB[121:]},
    ],
)
def test_what_is_missing_truncated_forged_or_of_another_body_is_not_believed(properties: dict[str, str]) -> None:
    assert read(properties, BODY) is None


def test_a_body_that_goes_on_elsewhere_is_not_believed_without_all_of_it_in_order() -> None:
    noise = random.Random(0).randbytes(8_000)
    one, two, three = to_properties(noise, files=3)
    for found in ([one], [one, two], [one, three, two], [one, {}, three], [one, two, two]):
        assert read(*found[:1], noise, *found[1:]) is None


def test_without_a_checksum_of_drives_nothing_is_believed() -> None:
    assert from_properties([SOUND], size=len(BODY), sha256=None) is None


def test_a_record_without_bodies_keeps_the_other_properties() -> None:
    others = {"status": "error", "bx": "1", "book": "2"}
    assert split({**SOUND, "more": "id", **others}) == ({**SOUND, "more": "id"}, others)
