"""Which interrupted run there is to go on with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from syft_flwr.errors import ConfigurationError
from syft_flwr.flower._compat import FLWR_VERSION
from syft_flwr.flower.checkpoints import Checkpoints
from syft_flwr.flower.journal import EarlierRun
from syft_flwr.flower.playback import Playback
from syft_flwr.flower.runs import RUN_FILE, RunRecord


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
        raise ConfigurationError(f"{out} is gone, or has no {RUN_FILE}") from None
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
