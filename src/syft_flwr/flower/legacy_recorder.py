"""Takes down what apps written for Flower's legacy servers compute: ``Server.fit`` and ``DefaultWorkflow``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from syft_flwr.flower._compat import Message, legacy_arrays, parameters_to_ndarrays
from syft_flwr.flower.checkpoints import Arrays, from_record
from syft_flwr.flower.screening import INITIAL_PARAMETERS, without_culprit

if TYPE_CHECKING:
    from syft_flwr.flower.recorder import Recorder

_LOTS = 20
"""Lots to draw for a client that can give the first parameters."""


class _InitialGrid:
    """A workflow's Grid, which asks another owner for the first parameters if the one drawn by lot can't give them."""

    def __init__(self, grid: Any) -> None:
        self._grid = grid

    def __getattr__(self, name: str) -> Any:
        return getattr(self._grid, name)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        messages = list(messages)
        replies = list(self._grid.send_and_receive(messages, timeout=timeout))
        if [message.metadata.message_type for message in messages] == [INITIAL_PARAMETERS]:
            (asked,) = messages
            others = [node for node in self._grid.get_node_ids() if node != asked.metadata.dst_node_id]
            while others and not any(reply.has_content() for reply in replies):
                again = Message(asked.content, others.pop(), INITIAL_PARAMETERS, group_id=asked.metadata.group_id)
                replies = list(self._grid.send_and_receive([again], timeout=timeout))
        return replies


class LegacyRecorder:
    """Wraps the entry points of legacy servers, and tells a record what goes on."""

    def __init__(self, record: Recorder) -> None:
        self._record = record

    def wrap_fit(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def fit(server: Any, num_rounds: int, timeout: float | None) -> Any:
            self._record.enter(server.strategy)
            self._watch(server.strategy)
            fit_round, evaluate_round = server.fit_round, server.evaluate_round

            @functools.wraps(fit_round)
            def watched_fit(server_round: int, timeout: float | None) -> Any:
                self._record.begin(server_round, num_rounds)
                result = fit_round(server_round=server_round, timeout=timeout)
                if result is not None:
                    parameters, metrics, _ = result
                    self._record.note(server_round, "train", metrics)
                    if parameters:
                        self._record.keep(server_round, functools.partial(_from_parameters, parameters))
                return result

            @functools.wraps(evaluate_round)
            def watched_evaluate(server_round: int, timeout: float | None) -> Any:
                result = evaluate_round(server_round=server_round, timeout=timeout)
                if result is not None:
                    loss, metrics, _ = result
                    told = {} if loss is None else {"loss": loss}
                    self._record.note(server_round, "evaluate", told | dict(metrics))
                return result

            server.fit_round, server.evaluate_round = watched_fit, watched_evaluate
            history, elapsed = original(server, num_rounds, timeout)
            self._read_history(history)
            return history, elapsed

        return fit

    def wrap_initial(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def initial(server: Any, *args: Any, **kwargs: Any) -> Any:
            """Ask for the first parameters, and another client if one can't give them: each is drawn by lot."""
            for _ in range(_LOTS):
                with suppress(Exception):
                    return original(server, *args, **kwargs)
            return original(server, *args, **kwargs)

        return initial

    def wrap_workflow(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def call(workflow: Any, grid: Any, context: Any) -> Any:
            self._record.enter(context.strategy)
            self._watch(context.strategy)
            fit, evaluate, rounds = workflow.fit_workflow, workflow.evaluate_workflow, iter(range(1, 1 << 30))

            @functools.wraps(fit)
            def watched_fit(grid: Any, context: Any) -> Any:
                number = next(rounds)
                self._record.begin(number, context.config.num_rounds)
                fit(grid, context)
                self._read_history(context.history)
                self._record.keep(number, functools.partial(from_record, legacy_arrays(context)))

            @functools.wraps(evaluate)
            def watched_evaluate(grid: Any, context: Any) -> Any:
                evaluate(grid, context)
                self._read_history(context.history)

            workflow.fit_workflow, workflow.evaluate_workflow = watched_fit, watched_evaluate
            return original(workflow, _InitialGrid(grid), context)

        return call

    def _watch(self, strategy: Any) -> None:
        """Let a result that the strategy or the app's function for metrics can't use be a failure of its owner only."""
        for name in ("aggregate_fit", "aggregate_evaluate"):
            setattr(strategy, name, self._without_culprit(strategy, getattr(strategy, name)))

    def _without_culprit(self, strategy: Any, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def aggregate(server_round: int, results: Any, failures: Any) -> Any:
            return without_culprit(
                strategy,
                lambda kept: original(server_round, list(kept), failures),
                list(results),
                stand_in=lambda _result, _flaw: None,
                refuse=lambda result, flaw: self._record.refuse(result[0].node_id, flaw),
            )

        return aggregate

    def _read_history(self, history: Any) -> None:
        """Take down what a legacy ``History`` holds."""
        for phase, losses in (("evaluate", history.losses_distributed), ("server", history.losses_centralized)):
            for number, loss in losses:
                self._record.note(number, phase, {"loss": loss})
        for phase, metrics in (
            ("train", history.metrics_distributed_fit),
            ("evaluate", history.metrics_distributed),
            ("server", history.metrics_centralized),
        ):
            for name, series in metrics.items():
                for number, value in series:
                    self._record.note(number, phase, {name: value})


def _from_parameters(parameters: Any) -> Arrays:
    return ((str(place), array) for place, array in enumerate(parameters_to_ndarrays(parameters)))
