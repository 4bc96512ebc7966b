"""What arrays are, told by their headers: their data is not loaded."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.lib import format as npy

from syft_flwr.flower._compat import Array, RecordDict
from syft_flwr.flower.file_array import FileArray
from syft_flwr.printable import printable

Shape = tuple[int, ...]
Form = tuple[str, Shape | None, str]
"""How an array is serialized; its shape, ``None`` where any will do; its type, unless that is one of real numbers."""
Outline = Mapping[str, Mapping[str, Form]]
"""Forms of the arrays of an instruction, by record and key."""

_HEADER = 64 * 1024
"""Bytes of an array in which its header must end; NumPy itself reads 10,000 characters at most."""
_EMPTY = "_empty"  # Flower's stand-in for legacy parameters without tensors
_REAL = "biuf"
_CUSTOM_FLOATS = "V"  # bfloat16 and its kin are void to NumPy


def outline(content: RecordDict) -> Outline:
    """Return what replies to this instruction are compared with."""
    return {
        name: {key: form_of(array) for key, array in record.items()} for name, record in content.array_records.items()
    }


def flaw_in_array(key: str, array: Array) -> str:
    """Say what is wrong with one array; ``""`` if nothing is."""
    if array.stype != "numpy.ndarray":
        return ""  # the app reads it itself; Flower's own strategies take NumPy's only
    if key == _EMPTY and not array.shape and not size_of(array):
        return ""
    try:
        dtype, shape, start = read_header(array)
    except Exception as error:  # whatever a hostile header makes NumPy raise
        return f"can't be read: {printable(error, 120)}"
    if dtype.hasobject:
        return "holds Python objects, which only pickle could read"
    if math.prod(shape) * dtype.itemsize != size_of(array) - start:
        return f"has {size_of(array) - start} bytes, which is no {dtype} of the shape {printable(shape, 60)}"
    if array.dtype == "" and not array.shape:
        return ""  # legacy parameters claim nothing
    if tuple(array.shape) != shape:
        return f"claims the shape {printable(tuple(array.shape), 60)} and has {printable(shape, 60)}"
    if dtype.kind != _CUSTOM_FLOATS and array.dtype != str(dtype):
        return f"claims to be of {printable(array.dtype, 20)} and is of {dtype}"
    return ""


def form_of(array: Array) -> Form:
    """Return what must be the same in arrays that are added up."""
    if array.stype != "numpy.ndarray" or not size_of(array):
        return array.stype, None, ""
    try:
        dtype, shape, _ = read_header(array)
    except Exception:  # likewise
        return array.stype, None, ""
    kind = "" if dtype.kind in _REAL else str(dtype)
    return array.stype, None if dtype == np.uint8 and len(shape) == 1 else shape, kind


def read_header(array: Array) -> tuple[np.dtype[Any], Shape, int]:
    """Read type, shape and where the data starts."""
    head = io.BytesIO(array.head(_HEADER) if isinstance(array, FileArray) else array.data[:_HEADER])
    version = npy.read_magic(head)
    if version == (1, 0):
        shape, _, dtype = npy.read_array_header_1_0(head)
    elif version == (2, 0):
        shape, _, dtype = npy.read_array_header_2_0(head)
    else:
        raise ValueError(f"version {version} of NumPy's format")
    if any(not isinstance(length, int) or length < 0 for length in shape):
        raise ValueError("its shape is none")
    return dtype, tuple(shape), head.tell()


def size_of(array: Array) -> int:
    """Return the size of an array's data in bytes, which is not read for it."""
    return array.size if isinstance(array, FileArray) else len(array.data)
