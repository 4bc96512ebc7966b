"""What an owner's reply must fulfil before a strategy gets it: one that would end the run of all is a failure of one.

Checked without loading arrays: each must be a NumPy array that can be read without pickle, of the size, type and shape
that it claims. Shapes are compared where Flower would add arrays up, and raise: those of a legacy result with the
instruction's, and by :func:`sift` those of a round with each other. Flat arrays of bytes, in which trees are sent, may
have any length.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from syft_flwr.flower._compat import Message, RecordDict, refused
from syft_flwr.flower.array_forms import Form, Outline, flaw_in_array, form_of
from syft_flwr.printable import printable, printable_error

T = TypeVar("T")
E = TypeVar("E")

INITIAL_PARAMETERS = "get_parameters"
"""The legacy type of message that asks a client for the first parameters."""
_INITIAL = "getparametersres"
_LEGACY = {"fitins.parameters": ("fitres", True), "evaluateins.parameters": ("evaluateres", False)}
_CODES = range(5)  # of a legacy status
_ENOUGH_TO_TELL = 3  # of two replies, all may go well without either
_SIMPLE = (bytes, str, int, float, type(None))


def flaw_in(content: RecordDict, asked: Outline) -> str:
    """Say what is wrong with the content of a reply; ``""`` if nothing is."""
    for name, record in content.array_records.items():
        for key, array in record.items():
            if flaw := flaw_in_array(key, array):
                return f"its array {printable(f'{name}/{key}', 80)} {flaw}"
    if flaw := _flaw_in_weights(content, "num-examples", "num_examples"):
        return flaw
    return next((flaw for name in asked if name in _LEGACY and (flaw := _legacy_flaw(content, name, asked[name]))), "")


def flaw_in_initial(content: RecordDict) -> str:
    """Say what Flower would miss in the legacy answer of a client that is asked for the first parameters."""
    status: Mapping[str, object] = content.config_records.get(f"{_INITIAL}.status") or {}
    if set(content.array_records) != {f"{_INITIAL}.parameters"} or status.get("code") not in _CODES:
        return "it has no parameters"
    return "" if "message" in status else "it has no status"


def sift(
    replies: Sequence[Message],
    *,
    with_arrays: bool,
    weight: str,
    asked: Outline,
    refuse: Callable[[Message, str], None],
) -> list[Message]:
    """Put an Error in place of each reply that does not go together with most of the others.

    Flower's strategies average records of one structure only, and raise if there are two. Where as many replies have
    one structure as another, that of the instruction, ``asked``, counts. ``weight`` is the metric that weighs the
    replies of a round, and ``refuse`` is told of each that is refused, and why.
    """
    structures = [_structure(reply.content, with_arrays) if reply.has_content() else None for reply in replies]
    wanted = {tuple(sorted(record.items(), key=repr)) for record in asked.values()}
    count = Counter(structure for structure in structures if structure is not None)

    def rank(structure: tuple[Any, ...]) -> tuple[bool, int, bool]:
        records, metrics = structure
        is_usable = len(records) == with_arrays and len(metrics) == 1 and (weight, -1) in metrics[0][1]
        return is_usable, count[structure], any(forms in wanted for _, forms in records)

    common = max(count, key=rank, default=None)
    kept: list[Message] = []
    for reply, structure in zip(replies, structures, strict=True):
        flaw = ""
        if structure is not None and structure != common:
            flaw = "its records do not go together with those of the other data owners"
        elif structure is not None:
            flaw = _flaw_in_weights(reply.content, weight)
        if flaw:
            refuse(reply, flaw)
        kept.append(refused(reply, flaw) if flaw else reply)
    return kept


def without_culprit(
    strategy: object,
    aggregate: Callable[[Sequence[E]], T],
    replies: Sequence[E],
    *,
    stand_in: Callable[[E, str], E | None],
    refuse: Callable[[E, str], None],
) -> T:
    """Aggregate a round; where that raises over one reply, which the strategy alone can read, without it.

    Of arrays of bytes, such as trees, and of metrics that an app's own function reads, nothing can be told beforehand.
    The culprit is the one reply without which all goes well. The strategy's attributes are put back before each
    attempt, but for containers, which would be kept in memory for that.

    Args:
        strategy: Whose attributes ``aggregate`` may set.
        aggregate: The strategy's own function.
        replies: Those of the round.
        stand_in: Returns what takes a reply's place, given why; ``None`` for nothing. A reply that it returns as it is
            can't be the culprit.
        refuse: Is told the refused reply and why.

    Raises:
        Exception: What the strategy raised, unless it is for one reply.
    """
    before = {name: value for name, value in vars(strategy).items() if isinstance(value, _SIMPLE)}
    try:
        return aggregate(replies)
    except Exception as error:
        flaw = f"the strategy can't use it: {printable_error(error)}"
        stands_in = [stand_in(reply, flaw) for reply in replies]
        suspects = [place for place, reply in enumerate(replies) if stands_in[place] is not reply]
        found: list[tuple[E, T, dict[str, object]]] = []
        for place in suspects if len(suspects) >= _ENOUGH_TO_TELL else ():
            other = stands_in[place]
            vars(strategy).update(before)
            with suppress(Exception):
                rest = [*replies[:place], *([] if other is None else [other]), *replies[place + 1 :]]
                found.append((replies[place], aggregate(rest), dict(vars(strategy))))
        if len(found) != 1:
            raise
        culprit, result, after = found[0]
        vars(strategy).update(after)
        refuse(culprit, flaw)
        return result


def _structure(content: RecordDict, with_arrays: bool) -> tuple[Any, ...]:
    """Return what must be the same in all replies that are averaged; it can be hashed."""
    arrays = tuple(
        (name, tuple(sorted(((key, form_of(array)) for key, array in record.items()), key=repr)))
        for name, record in sorted(content.array_records.items())
    )
    metrics = tuple(
        (name, tuple(sorted((key, len(v) if isinstance(v, list) else -1) for key, v in record.items())))
        for name, record in sorted(content.metric_records.items())
    )
    return (arrays if with_arrays else (), metrics)


def _flaw_in_weights(content: RecordDict, *keys: str) -> str:
    for metrics in content.metric_records.values():
        for key in keys:
            if key in metrics and not _is_weight(metrics[key]):
                return f"its {key} is {printable(metrics[key], 40)}, and must be a positive number"
    return ""


def _is_weight(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0


def _flaw_in_forms(name: str, content: RecordDict, known: Mapping[str, Form]) -> str:
    record = content.array_records[name]
    if set(record) != set(known):
        return ""  # a strategy that asks for other arrays than it gives
    for key, form in known.items():
        if (got := form_of(record[key])) != form:
            where = printable(f"{name}/{key}", 80)
            return f"its array {where} has the form {printable(got, 80)}, the instruction's has {printable(form, 80)}"
    return ""


def _legacy_flaw(content: RecordDict, asked: str, forms: Mapping[str, Form]) -> str:
    """Check what Flower reads of a legacy result without asking whether it is there."""
    result, with_arrays = _LEGACY[asked]
    metrics, configs = content.metric_records, content.config_records
    if with_arrays and f"{result}.parameters" not in content.array_records:
        return f"it has no {result}.parameters"
    if with_arrays and (flaw := _flaw_in_forms(f"{result}.parameters", content, forms)):
        return flaw
    for key in ("num_examples",) if with_arrays else ("num_examples", "loss"):
        record = metrics.get(f"{result}.{key}")
        if record is None or not isinstance(record.get(key), int | float):
            return f"it has no {result}.{key}"
    told, status = configs.get(f"{result}.metrics"), configs.get(f"{result}.status")
    if told is None or any(isinstance(value, list) for value in told.values()):
        return f"it has no {result}.metrics that can be read"
    return "" if status and status.get("code") in _CODES and "message" in status else f"it has no {result}.status"
