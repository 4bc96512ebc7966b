"""What the control plane is sent, checked against the dataclass that it describes."""

from __future__ import annotations

from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from drive_emulator.errors import invalid


def conform(kind: type, body: Any) -> dict[str, Any]:
    """Return the values that a JSON object gives for fields of a dataclass.

    Raises:
        ApiError: 400 for what is no object, a field that there is not, or a value that does not fit it.
    """
    if not isinstance(body, dict):
        raise invalid("body", f"A {kind.__name__} is a JSON object.")
    hints = get_type_hints(kind)
    for name, value in body.items():
        if name not in hints or not _fits(value, hints[name]):
            raise invalid(str(name), f"{name} can't be {value!r}.")
    return {name: tuple(value) if isinstance(value, list) else value for name, value in body.items()}


def _fits(value: Any, hint: Any) -> bool:
    if get_origin(hint) is UnionType:
        return any(_fits(value, each) for each in get_args(hint))
    if get_origin(hint) is Literal:
        return isinstance(value, str) and value in get_args(hint)
    if get_origin(hint) is tuple:
        return isinstance(value, list) and all(isinstance(text, str) for text in value)
    if hint in (int, float):
        return isinstance(value, int | hint) and not isinstance(value, bool) and 0 <= value < 1e9
    return isinstance(value, get_origin(hint) or hint)
