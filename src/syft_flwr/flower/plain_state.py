"""What a strategy holds in its attributes, as JSON and NumPy arrays: enough to go on from there in another process."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np

from syft_flwr.flower._compat import Array, ArrayRecord, ConfigRecord, MetricRecord, Strategy

_RECORDS: dict[str, type[Any]] = {kind.__name__: kind for kind in (MetricRecord, ConfigRecord)}
Arrays = list["np.ndarray[Any, Any]"]


def freeze(value: Any, arrays: Arrays) -> Any:
    """Return plain data as JSON can hold it; its arrays are appended to ``arrays``.

    Raises:
        TypeError: It is not plain.
    """
    if isinstance(value, np.ndarray | np.generic) and not value.dtype.hasobject:
        arrays.append(np.asarray(value))
        return {"scalar" if isinstance(value, np.generic) else "array": len(arrays) - 1}
    if value is None or type(value) in (bool, int, float, str):
        return value
    if type(value) is bytes:
        return {"bytes": value.hex()}
    if type(value) in (list, tuple):
        return {type(value).__name__: [freeze(item, arrays) for item in value]}
    if type(value) is dict:
        return {"dict": [[freeze(key, arrays), freeze(item, arrays)] for key, item in value.items()]}
    if type(value) is ArrayRecord:
        return {"ArrayRecord": [[name, freeze(array.numpy(), arrays)] for name, array in value.items()]}
    if type(value).__name__ in _RECORDS and type(value) is _RECORDS[type(value).__name__]:
        return {type(value).__name__: freeze(dict(value), arrays)}
    raise TypeError(f"a {type(value).__name__} is no plain data")


def thaw(frozen: Any, arrays: Sequence[np.ndarray[Any, Any]]) -> Any:
    """Return what :func:`freeze` was given."""
    if not isinstance(frozen, dict):
        return frozen
    ((kind, value),) = frozen.items()
    if kind == "array":
        return arrays[value]
    if kind == "scalar":
        return arrays[value][()]
    if kind == "bytes":
        return bytes.fromhex(value)
    if kind in ("list", "tuple"):
        items = [thaw(item, arrays) for item in value]
        return tuple(items) if kind == "tuple" else items
    if kind == "dict":
        return {thaw(key, arrays): thaw(item, arrays) for key, item in value}
    if kind == "ArrayRecord":
        return ArrayRecord({name: Array(thaw(array, arrays)) for name, array in value})
    return _RECORDS[kind](thaw(value, arrays))


class StrategyState:
    """The attributes of a strategy, and of those that it wraps."""

    def __init__(self, strategy: Strategy) -> None:
        """Look at a strategy before its first round."""
        self._strategy = strategy
        self._before = {name: _fingerprint(value) for name, value in _attributes(strategy) if not _is_plain(value)}
        self._inner = {name: StrategyState(value) for name, value in vars(strategy).items() if _is_strategy(value)}

    def save(self, arrays: Arrays) -> dict[str, Any]:
        """Return the plain attributes as JSON can hold them."""
        plain = {name: freeze(value, arrays) for name, value in _attributes(self._strategy) if _is_plain(value)}
        return {"plain": plain, "inner": {name: state.save(arrays) for name, state in self._inner.items()}}

    def restore(self, saved: dict[str, Any], arrays: Sequence[np.ndarray[Any, Any]]) -> None:
        """Give the strategy its attributes back."""
        for name, value in saved["plain"].items():
            setattr(self._strategy, name, thaw(value, arrays))
        for name, state in saved["inner"].items():
            self._inner[name].restore(state, arrays)

    def beyond(self) -> list[str]:
        """Name the attributes that have changed and are not plain, so that they can't be saved."""
        other = [(name, value) for name, value in _attributes(self._strategy) if not _is_plain(value)]
        changed = [name for name, value in other if self._before.get(name) != _fingerprint(value)]
        return changed + [f"{outer}.{name}" for outer, state in self._inner.items() for name in state.beyond()]


def _attributes(strategy: Strategy) -> list[tuple[str, Any]]:
    return [
        (name, value)
        for name, value in vars(strategy).items()
        if not (_is_strategy(value) or inspect.isroutine(value) or inspect.isclass(value))
    ]


def _is_strategy(value: object) -> bool:
    return isinstance(value, Strategy)


def _is_plain(value: Any) -> bool:
    try:
        freeze(value, [])
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _fingerprint(value: Any) -> str:
    """Return what tells whether an object has changed, as far as it shows, or its attributes are plain."""
    digest = hashlib.sha256(f"{id(value)} {value!r}".encode(errors="replace"))
    for name, attribute in sorted(getattr(value, "__dict__", {}).items()):
        arrays: Arrays = []
        frozen = freeze(attribute, arrays) if _is_plain(attribute) else id(attribute)
        digest.update(repr((name, frozen)).encode())
        for array in arrays:
            digest.update(array.tobytes())
    return digest.hexdigest()
