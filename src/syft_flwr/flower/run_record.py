"""``run.json`` in a run's directory: which run it is, for those who look at it and for one that goes on with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from syft_flwr.errors import ConfigurationError
from syft_flwr.flower._compat import FLWR_VERSION
from syft_flwr.flower.checkpoints import Checkpoints
from syft_flwr.flower.journal import EarlierRun
from syft_flwr.flower.playback import Playback
from syft_flwr.private import open_private, write_private

_NAME = "run.json"


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run of an aggregator. ``started`` is Unix seconds of its clock; ``pid`` the process that has it in hand."""

    project: str
    directory: str
    project_hash: str
    run_id: str
    started: float
    owners: tuple[str, ...]
    run_config: Mapping[str, bool | float | int | str]
    flwr: str
    pid: int

    def write(self, out: Path) -> None:
        write_private(out / _NAME, json.dumps(asdict(self), indent=2).encode() + b"\n")

    @classmethod
    def read(cls, out: Path) -> RunRecord:
        """Read the record of a run.

        Raises:
            FileNotFoundError: There is none.
            ConfigurationError: It is damaged.
            StateError: Others could have written it.
        """
        with open_private(out / _NAME) as file:
            content = file.read()
        try:
            raw = json.loads(content)
            return cls(**{**raw, "owners": tuple(raw["owners"]), "started": float(raw["started"])})
        except (ValueError, TypeError, KeyError) as error:
            raise ConfigurationError(f"{out / _NAME} is damaged: {error}") from error


@dataclass(frozen=True, slots=True)
class Resumption:
    """An interrupted run to go on with: ``messages`` has the futures of those under way, by message ID."""

    record: RunRecord
    playback: Playback
    messages: Mapping[str, str]


def resume(
    earlier: EarlierRun | None, project_hash: str, owners: tuple[str, ...], config: Mapping[str, object]
) -> Resumption:
    """Return what there is to go on with.

    Args:
        earlier: The run before.
        project_hash: The state of the project now.
        owners: The data owners now.
        config: Overrides of the run config now.

    Raises:
        ConfigurationError: Nobody can go on with it; the message says why.
    """
    try:
        return _resume(earlier, project_hash, owners, config)
    except ConfigurationError as error:
        raise ConfigurationError(f"there is no run to go on with: {error}. Leave --resume out to start anew") from error


def _resume(
    earlier: EarlierRun | None, project_hash: str, owners: tuple[str, ...], config: Mapping[str, object]
) -> Resumption:
    if earlier is None:
        raise ConfigurationError("this account has not run the project here")
    if earlier.ended:
        raise ConfigurationError(f"the run before, {earlier.run_id}, came to its end")
    if earlier.dismissed:
        raise ConfigurationError(f"run {earlier.run_id} was stopped, and its data owners have dropped its state")
    out = Path(earlier.out)
    try:
        record = RunRecord.read(out)
    except FileNotFoundError:
        raise ConfigurationError(f"{out} is gone, or has no {_NAME}") from None
    for what, then, now in (
        ("the project", record.project_hash, project_hash),
        ("the list of data owners", record.owners, owners),
        ("the run config that is overridden", dict(record.run_config), dict(config)),
        ("flwr", record.flwr, FLWR_VERSION),
    ):
        if then != now:
            raise ConfigurationError(f"{what} was {then} when run {record.run_id} started, and is {now} now")
    state, arrays = Checkpoints(out / "checkpoints").last()
    return Resumption(record, Playback(state, arrays), earlier.messages)
