"""Takes down what a ServerApp's strategy computes, although an app need not hand it out.

A new-style app calls ``strategy.start(...)`` and may drop the ``Result``; legacy apps never see one. So the strategies'
entry points are wrapped while the app runs; what they are given and return stays as it is.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from syft_flwr.flower._compat import (
    ConfigRecord,
    DefaultWorkflow,
    FedAvg,
    LegacyServer,
    SecAggPlusWorkflow,
    Strategy,
    patched,
)
from syft_flwr.flower.checkpoints import Arrays, Checkpoints, RoundState, save_arrays
from syft_flwr.flower.legacy_recorder import LegacyRecorder
from syft_flwr.flower.plain_state import StrategyState, freeze
from syft_flwr.flower.progress import Progress, silent
from syft_flwr.flower.resumption import CONFIGS, Playback
from syft_flwr.flower.secure_aggregation import guarded
from syft_flwr.flower.strategy_recorder import StrategyRecorder
from syft_flwr.printable import printable_data


class Recorder:
    """Metrics per round and the latest global arrays of one run."""

    def __init__(
        self,
        progress: Progress = silent,
        checkpoints: Path | None = None,
        spool: Path | None = None,
        playback: Playback | None = None,
    ) -> None:
        """Prepare an empty record.

        Args:
            progress: Gets ``strategy``, ``round``, ``metrics`` and ``checkpoint`` events.
            checkpoints: Directory for the global arrays after the last three rounds, ``round-{n}.npz``, of a second
                strategy that the app starts ``start-2-round-{n}.npz``; ``None`` for none.
            spool: Directory for the data of large global arrays, which need not be in memory while owners work.
            playback: Of the run that this one goes on with.
        """
        self._playback = playback
        self._metrics: dict[tuple[int, int], dict[str, dict[str, Any]]] = {}
        self._start = self._round = 0
        self._arrays: Callable[[], Arrays] = lambda: iter(())
        self._on_strategy: Callable[[int], None] = lambda _: None
        self._on_refused: Callable[[int, str], None] = lambda _node, _flaw: None
        self._progress = progress
        self._checkpoints = None if checkpoints is None else Checkpoints(checkpoints)
        self._saved = 0
        self._state: Callable[[int, bool], RoundState] | None = None
        if playback is not None:
            self._metrics |= {(1, number): phases for number, phases in playback.state.metrics.items()}
        self._spool = spool

    def save(self, path: Path) -> Path | None:
        """Write the global arrays after the last round; return the path, or ``None`` if there are no arrays."""
        if next(self._arrays(), None) is None:
            return None
        save_arrays(path, self._arrays())
        return path

    def rounds(self) -> list[dict[str, Any]]:
        """Return the metrics of each round, their names printable; ``start`` is 2 for a second strategy's."""
        return [
            {**({"start": start} if start > 1 else {}), "round": number, **printable_data(self._metrics[start, number])}
            for start, number in sorted(self._metrics)
        ]

    @contextmanager
    def watching(
        self,
        on_strategy: Callable[[int], None] = lambda _: None,
        on_refused: Callable[[int, str], None] = lambda _node, _flaw: None,
    ) -> Iterator[None]:
        """Watch every strategy that is started in this process meanwhile.

        Args:
            on_strategy: Is told how many nodes a strategy that starts waits for, 0 if it does not say.
            on_refused: Is told whose reply a strategy does not get, and why.
        """
        self._on_strategy = on_strategy
        self._on_refused = on_refused
        strategies, legacy = StrategyRecorder(self, self._spool), LegacyRecorder(self)
        with ExitStack() as stack:
            stack.enter_context(patched(Strategy, "start", strategies.wrap_start))
            stack.enter_context(patched(LegacyServer, "fit", legacy.wrap_fit))
            stack.enter_context(patched(LegacyServer, "_get_initial_parameters", legacy.wrap_initial))
            stack.enter_context(patched(FedAvg, "_check_and_log_replies", strategies.wrap_check))
            stack.enter_context(patched(DefaultWorkflow, "__call__", legacy.wrap_workflow))
            stack.enter_context(patched(SecAggPlusWorkflow, "__call__", functools.partial(guarded, refuse=self.refuse)))
            yield

    def enter(self, strategy: Any) -> None:
        """Note that the app starts a strategy, the first or another."""
        self._start, self._round = self._start + 1, 0
        self._progress("strategy", start=self._start)
        self._on_strategy(required_nodes(strategy))

    def begin(self, number: int, of: int) -> None:
        if number != self._round:
            self._round = number
            if self._playback is not None and self._playback.state.over(number):
                return
            self._progress("round", round=number, of=of, start=self._start)

    def note(self, number: int, phase: str, values: Mapping[str, Any] | None) -> None:
        if not values:
            return
        plain = {str(key): _plain(value) for key, value in values.items()}
        known = self._metrics.setdefault((self._start, number), {}).setdefault(phase, {})
        if any(known.get(key) != value for key, value in plain.items()):
            known.update(plain)
            self._progress("metrics", round=number, phase=phase, values=plain)

    def refuse(self, node: int, flaw: str) -> None:
        """Note that the strategy does not get a node's reply."""
        self._on_refused(node, flaw)

    def keep(self, number: int, arrays: Callable[[], Arrays]) -> None:
        self._arrays = arrays
        if self._playback is not None and self._playback.state.trained(number):
            self._saved = number
        elif self._checkpoints is not None and number:
            state = None if self._state is None else self._state(number, False)
            path = self._checkpoints.keep(self._start, number, arrays(), state)
            self._saved = number
            self._progress("checkpoint", round=number, path=str(path))

    def keep_evaluation(self, number: int) -> None:
        """Note that a round is over, if there are arrays of it."""
        if self._checkpoints is None or self._state is None or number != self._saved:
            return
        if self._playback is None or not self._playback.state.over(number):
            self._checkpoints.note(self._state(number, True))

    def follow(self, strategy: Strategy, call: dict[str, Any]) -> None:
        """Keep the strategy's state with its checkpoints from now on; of a second strategy's start there is none."""
        self._state = None
        if self._start > 1:
            self._playback = None
            return
        inner = StrategyState(strategy)
        for name in CONFIGS:
            call[name] = ConfigRecord() if call[name] is None else call[name]
        if self._playback is not None:
            self._playback.apply(strategy, call, inner)
        configs: dict[str, ConfigRecord] = {name: call[name] for name in CONFIGS}

        def state(number: int, evaluated: bool) -> RoundState:
            arrays: list[np.ndarray[Any, Any]] = []
            content = {"strategy": inner.save(arrays)}
            content |= {name: freeze(dict(config), arrays) for name, config in configs.items()}
            beyond = ", ".join(inner.beyond())
            obstacle = beyond and f"its strategy keeps a state of its own that can't be saved: {beyond}"
            metrics = {number: phases for (_, number), phases in self._metrics.items()}
            return RoundState(number, evaluated, metrics, content, arrays, obstacle)

        self._state = state


def required_nodes(strategy: Any) -> int:
    """Return how many nodes a strategy waits for before it samples some, 0 if it does not say."""
    inner = getattr(strategy, "strategy", None)  # those for differential privacy wrap another
    found = [required_nodes(inner)] if inner is not None else [0]
    found += [getattr(strategy, f"min_{what}", 0) for what in ("available_nodes", "available_clients")]
    for fraction, *minima in (
        ("fraction_train", "min_train_nodes"),
        ("fraction_fit", "min_fit_clients"),
        ("fraction_evaluate", "min_evaluate_nodes", "min_evaluate_clients"),
    ):
        if getattr(strategy, fraction, 0):
            found += [getattr(strategy, name, 0) for name in minima]
    return max((number for number in found if isinstance(number, int)), default=0)


def _plain(value: Any) -> Any:
    """Return a value as JSON can hold it."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):  # a numpy scalar, which legacy apps return
        return value.item()
    return value.hex() if isinstance(value, bytes) else value
