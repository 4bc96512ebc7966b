"""Goes on with an interrupted run: which one there is, and its strategy after the last checkpoint.

The rounds that are over pass without a message.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from syft_flwr.errors import ConfigurationError
from syft_flwr.flower._compat import FLWR_VERSION, Array, ArrayRecord, ConfigRecord, MetricRecord, Strategy
from syft_flwr.flower.checkpoints import Checkpoints, RoundState, load_arrays
from syft_flwr.flower.journal import EarlierRun
from syft_flwr.flower.plain_state import StrategyState, thaw
from syft_flwr.flower.runs import RUN_FILE, RunRecord

CONFIGS = ("train_config", "evaluate_config")


@dataclass(frozen=True, slots=True)
class Resumption:
    """An interrupted run to go on with: ``messages`` has the futures of those under way, by message ID."""

    record: RunRecord
    playback: Playback
    messages: Mapping[str, str]


def resume(
    earlier: EarlierRun | None, project_hash: str, owners: tuple[str, ...], config: Mapping[str, object]
) -> Resumption:
    """Return what there is to go on with, given the run before, and what would be run now.

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


class Playback:
    """Lets the first rounds of a strategy end as they did before."""

    def __init__(self, state: RoundState, arrays: Path) -> None:
        """Take the state after a round, and where the global arrays after it are."""
        self.state = state
        self._path = arrays

    def apply(self, strategy: Strategy, call: dict[str, Any], inner: StrategyState) -> None:
        """Prepare a strategy that is about to start: its methods, its attributes, and the arguments of its ``start``.

        All are changed in place. Rounds that are not over go on to the strategy's own methods.
        """
        content, arrays = self.state.content, self.state.arrays
        inner.restore(content["strategy"], arrays)
        for name in CONFIGS:
            call[name] = ConfigRecord(thaw(content[name], arrays))
        state = self.state
        for name, passed, result in (
            ("configure_train", state.trained, lambda _: []),
            ("aggregate_train", state.trained, lambda number: (self._arrays(number), self._metrics(number, "train"))),
            ("configure_evaluate", state.over, lambda _: []),
            ("aggregate_evaluate", state.over, lambda number: self._metrics(number, "evaluate")),
        ):
            setattr(strategy, name, _passing(getattr(strategy, name), passed, result))
        if (evaluate := call["evaluate_fn"]) is not None:
            call["evaluate_fn"] = _passing(evaluate, self._evaluated, lambda number: self._metrics(number, "server"))

    def _evaluated(self, number: int) -> bool:
        # Of the last round it is not known whether there was no result, or not yet.
        return number < self.state.round or "server" in self.state.metrics.get(number, {})

    def _arrays(self, number: int) -> ArrayRecord | None:
        if number != self.state.round:
            return None
        return ArrayRecord({name: Array(array) for name, array in load_arrays(self._path)})

    def _metrics(self, number: int, phase: str) -> MetricRecord | None:
        values = self.state.metrics.get(number, {}).get(phase)
        return None if values is None else MetricRecord(values)


def _passing(
    original: Callable[..., Any], passed: Callable[[int], bool], result: Callable[[int], Any]
) -> Callable[..., Any]:
    @functools.wraps(original)
    def method(server_round: int, *args: Any, **kwargs: Any) -> Any:
        return result(server_round) if passed(server_round) else original(server_round, *args, **kwargs)

    return method
