"""The last rounds of a run on disk: the global arrays, and what a strategy needs to go on from there.

::

    {directory}/round-{n}.npz     the global arrays after a round, of a second strategy start-2-round-{n}.npz
    {directory}/round-{n}.state   a ZIP file: state.json, and the arrays of the strategy's attributes

A round has a state only if its strategy can go on from it in another process.
"""

from __future__ import annotations

import io
import json
import os
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from syft_flwr.errors import ConfigurationError
from syft_flwr.flower._compat import ArrayRecord
from syft_flwr.private import create_private, make_directories

Arrays = Iterator[tuple[str, "np.ndarray[Any, Any]"]]
"""Arrays by name, one at a time: large models need not be in memory twice."""
_KEPT = 3
_NAME = re.compile(r"round-(\d+)\.npz")


@dataclass(frozen=True, slots=True)
class RoundState:
    """What is known after a round's training, or if ``evaluated`` after its evaluation.

    ``metrics`` are those of all rounds so far, by round and phase; ``content`` is the strategy's, frozen, and its
    ``arrays``. ``obstacle`` says why nobody can go on from here.
    """

    round: int
    evaluated: bool
    metrics: dict[int, dict[str, dict[str, Any]]]
    content: dict[str, Any] = field(default_factory=dict)
    arrays: list[np.ndarray[Any, Any]] = field(default_factory=list)
    obstacle: str = ""

    def trained(self, number: int) -> bool:
        """Tell whether a round's training is over."""
        return number <= self.round

    def over(self, number: int) -> bool:
        """Tell whether a round's training and evaluation are over."""
        return number < self.round or (number == self.round and self.evaluated)


class Checkpoints:
    """The checkpoints of one run, which are made as it goes on."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._kept = sorted(directory.glob("*.npz"), key=lambda path: path.stat().st_mtime)

    def keep(self, start: int, number: int, arrays: Arrays, state: RoundState | None) -> Path:
        """Write the global arrays after a round, and the state; of earlier rounds, the last two stay."""
        make_directories(self._directory)
        if state is not None:
            self.note(state)
        path = self._directory / f"{f'start-{start}-' if start > 1 else ''}round-{number}.npz"
        save_arrays(path, arrays)
        self._kept = [*(kept for kept in self._kept if kept != path), path]
        for old in self._kept[:-_KEPT]:
            old.unlink(missing_ok=True)
            old.with_suffix(".state").unlink(missing_ok=True)
        self._kept = self._kept[-_KEPT:]
        return path

    def note(self, state: RoundState) -> None:
        """Write the state of a round."""
        told = {
            "round": state.round,
            "evaluated": state.evaluated,
            "metrics": list(state.metrics.items()),
            "content": state.content,
            "obstacle": state.obstacle,
        }
        path = self._directory / f"round-{state.round}.state"
        save_arrays(path, ((str(place), array) for place, array in enumerate(state.arrays)), json.dumps(told))

    def last(self) -> tuple[RoundState, Path]:
        """Return the state of the last round that has one, and the path of its arrays.

        Raises:
            ConfigurationError: Nobody can go on from here; the message says why.
        """
        numbers = sorted(int(found[1]) for path in self._kept if (found := _NAME.fullmatch(path.name)))
        if not numbers:
            raise ConfigurationError(f"no round of it was completed with a checkpoint in {self._directory}")
        if any(path.name.startswith("start-") for path in self._kept):
            raise ConfigurationError("its ServerApp starts several strategies one after the other")
        path = self._directory / f"round-{numbers[-1]}.npz"
        try:
            state = _read_state(path.with_suffix(".state"))
        except FileNotFoundError:
            raise ConfigurationError(
                "its ServerApp uses Flower's legacy API, whose strategies tell nothing of their state"
            ) from None
        except (ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            raise ConfigurationError(f"{path.with_suffix('.state')} is damaged: {error}") from error
        if state.obstacle:
            raise ConfigurationError(state.obstacle)
        return state, path


def from_record(record: ArrayRecord) -> Arrays:
    """Yield the arrays of a record."""
    return ((str(name), array.numpy()) for name, array in record.items())


def load_arrays(path: Path) -> Arrays:
    """Yield the arrays of an ``.npz`` file in the order in which they were written."""
    with np.load(path, allow_pickle=False) as archive:
        for name in archive.files:
            yield name, archive[name]


def save_arrays(path: Path, arrays: Arrays, state: str = "") -> None:
    """Write arrays as ``.npz``, with ``state.json`` if there is a state; complete or not at all."""
    temporary = path.with_name(f".{path.name}.new")
    with create_private(temporary) as target, zipfile.ZipFile(target, "w") as archive:
        for name, array in arrays:
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
        if state:
            archive.writestr("state.json", state)
        archive.close()
        target.flush()
        os.fsync(target.fileno())
    temporary.replace(path)


def _read_state(path: Path) -> RoundState:
    with zipfile.ZipFile(path) as archive:
        told = json.loads(archive.read("state.json"))
        count = len(archive.namelist()) - 1
        arrays = [np.load(io.BytesIO(archive.read(f"{place}.npy")), allow_pickle=False) for place in range(count)]
    metrics = {int(number): phases for number, phases in told["metrics"]}
    return RoundState(
        int(told["round"]), bool(told["evaluated"]), metrics, told["content"], arrays, str(told["obstacle"])
    )
