"""Takes down what Flower's strategies compute, and keeps from them the replies over which they would raise."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from syft_flwr.flower._compat import ArrayRecord, Message, RecordDict, refused
from syft_flwr.flower.array_forms import Outline, outline
from syft_flwr.flower.checkpoints import from_record
from syft_flwr.flower.file_array import park
from syft_flwr.flower.screening import sift, without_culprit

if TYPE_CHECKING:
    from syft_flwr.flower.recorder import Recorder

_METHODS = ("configure_train", "aggregate_train", "configure_evaluate", "aggregate_evaluate")


class StrategyRecorder:
    """Wraps a strategy's ``start`` and what it calls, and tells a record what goes on.

    ``spool`` is where the data of large global arrays goes, which need not be in memory while owners work.
    """

    def __init__(self, record: Recorder, spool: Path | None) -> None:
        self._record = record
        self._spool = spool
        self._asked: Outline = {}

    def wrap_start(self, original: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(original)

        @functools.wraps(original)
        def start(*args: Any, **kwargs: Any) -> Any:
            call = signature.bind(*args, **kwargs)
            call.apply_defaults()
            strategy, rounds = call.arguments["self"], int(call.arguments["num_rounds"])
            self._record.enter(strategy)
            park(call.arguments["initial_arrays"], self._spool)
            self._record.keep(0, functools.partial(from_record, call.arguments["initial_arrays"]))
            with _methods_restored(strategy):
                self._record.follow(strategy, call.arguments)
                self._watch(strategy, rounds)
                if (evaluate := call.arguments["evaluate_fn"]) is not None:
                    call.arguments["evaluate_fn"] = self._wrap_evaluate(evaluate)
                return original(*call.args, **call.kwargs)

        return start

    def _watch(self, strategy: Any, rounds: int) -> None:
        configure = strategy.configure_train
        aggregate = self._without_culprit(strategy, strategy.aggregate_train)
        evaluate = self._without_culprit(strategy, strategy.aggregate_evaluate)

        @functools.wraps(configure)
        def configure_train(server_round: int, *args: Any, **kwargs: Any) -> Any:
            self._record.begin(server_round, rounds)
            arrays = kwargs.get("arrays", args[0] if args else None)
            self._asked = outline(RecordDict({"arrays": arrays})) if isinstance(arrays, ArrayRecord) else {}
            return configure(server_round, *args, **kwargs)

        @functools.wraps(aggregate)
        def aggregate_train(server_round: int, *args: Any, **kwargs: Any) -> Any:
            arrays, metrics = aggregate(server_round, *args, **kwargs)
            self._record.note(server_round, "train", metrics)
            if arrays is not None:
                park(arrays, self._spool)
                self._record.keep(server_round, functools.partial(from_record, arrays))
            return arrays, metrics

        @functools.wraps(evaluate)
        def aggregate_evaluate(server_round: int, *args: Any, **kwargs: Any) -> Any:
            metrics = evaluate(server_round, *args, **kwargs)
            self._record.note(server_round, "evaluate", metrics)
            self._record.keep_evaluation(server_round)
            return metrics

        strategy.configure_train = configure_train
        strategy.aggregate_train = aggregate_train
        strategy.aggregate_evaluate = aggregate_evaluate

    def _without_culprit(self, strategy: Any, aggregate: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(aggregate)
        def call(server_round: int, replies: Iterable[Message], *args: Any, **kwargs: Any) -> Any:
            def again(kept: Sequence[Message]) -> Any:
                return aggregate(server_round, kept, *args, **kwargs)

            def stand_in(reply: Message, flaw: str) -> Message:
                return refused(reply, flaw) if reply.has_content() else reply

            return without_culprit(strategy, again, list(replies), stand_in=stand_in, refuse=self._refuse)

        return call

    def wrap_check(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Let a strategy that averages replies have those only that go together; it would raise for all."""

        @functools.wraps(original)
        def check(strategy: Any, replies: Iterable[Message], is_train: bool, validate: bool = True) -> Any:
            replies = list(replies)
            if validate:
                replies = sift(
                    replies,
                    with_arrays=is_train,
                    weight=strategy.weighted_by_key,
                    asked=self._asked,
                    refuse=self._refuse,
                )
            return original(strategy, replies, is_train, validate)

        return check

    def _wrap_evaluate(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def evaluate(server_round: int, *args: Any, **kwargs: Any) -> Any:
            metrics = original(server_round, *args, **kwargs)
            self._record.note(server_round, "server", metrics)
            return metrics

        return evaluate

    def _refuse(self, reply: Message, flaw: str) -> None:
        self._record.refuse(reply.metadata.src_node_id, flaw)


@contextmanager
def _methods_restored(strategy: Any) -> Iterator[None]:
    """Take what wraps a strategy's methods away afterwards: the app may start it again."""
    own = {name: method for name, method in vars(strategy).items() if name in _METHODS}
    try:
        yield
    finally:
        for name in _METHODS:
            vars(strategy).pop(name, None)
        vars(strategy).update(own)
