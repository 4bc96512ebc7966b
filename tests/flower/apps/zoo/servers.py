"""ServerApps, one per strategy."""

from __future__ import annotations

import atexit
import os
import sys
import threading

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.server import LegacyContext, ServerAppComponents, ServerConfig
from flwr.server.strategy import FedAvg as LegacyFedAvg
from flwr.server.workflow import DefaultWorkflow, SecAggPlusWorkflow
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import DifferentialPrivacyClientSideFixedClipping, FedAdam, FedAvg, FedProx, Strategy


def _initial() -> ArrayRecord:
    return ArrayRecord({"mean": Array(np.zeros(4))})


class _FedAvgInOrder(FedAvg):
    """Likewise for the new API."""

    def aggregate_train(self, server_round, replies):
        return super().aggregate_train(server_round, _sorted(replies))

    def aggregate_evaluate(self, server_round, replies):
        return super().aggregate_evaluate(server_round, _sorted(replies))


def _sorted(replies):
    return sorted(replies, key=lambda reply: reply.content["metrics"]["distance"])


def _app(make, **start) -> ServerApp:
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        strategy: Strategy = make()
        rounds = int(context.run_config["num-server-rounds"])
        strategy.start(grid=grid, initial_arrays=_initial(), num_rounds=rounds, **start)

    return app


fedavg = _app(FedAvg)
fedavg_of_three = _app(lambda: _FedAvgInOrder(min_train_nodes=3, min_evaluate_nodes=3, min_available_nodes=3))
fedavg_alone = _app(lambda: FedAvg(min_train_nodes=1, min_evaluate_nodes=1, min_available_nodes=1))
train_only = _app(lambda: FedAvg(fraction_evaluate=0.0))
impatient = _app(lambda: FedAvg(min_train_nodes=1, min_evaluate_nodes=1, min_available_nodes=1), timeout=6.0)
fedprox = _app(lambda: FedProx(proximal_mu=0.1))
fedadam = _app(lambda: FedAdam(eta=0.1))
private = _app(
    lambda: DifferentialPrivacyClientSideFixedClipping(
        FedAvg(), noise_multiplier=0.0001, clipping_norm=1.0, num_sampled_clients=3
    )
)
clipped = _app(
    lambda: DifferentialPrivacyClientSideFixedClipping(
        FedAvg(), noise_multiplier=0.0, clipping_norm=0.1, num_sampled_clients=2
    )
)
central = _app(FedAvg, evaluate_fn=lambda number, arrays: {"norm": float(np.linalg.norm(arrays["mean"].numpy()))})


class _Decaying(FedAvg):
    """Lowers a learning rate as Flower's examples do: in the config that is kept from round to round."""

    def configure_train(self, server_round, arrays, config, grid):
        config["lr"] = float(config.get("lr", 1.0)) / 2
        return super().configure_train(server_round, arrays, config, grid)

    def aggregate_train(self, server_round, replies):
        arrays, metrics = super().aggregate_train(server_round, replies)
        metrics["lr"] = self.lr = getattr(self, "lr", 0.0) + server_round
        return arrays, metrics


class _Hoarding(FedAvg):
    """Keeps what nobody can write down."""

    def aggregate_train(self, server_round, replies):
        self.hoard = object()
        return super().aggregate_train(server_round, replies)


decaying = _app(_Decaying)
hoarding = _app(_Hoarding)
wants_5 = _app(lambda: FedAvg(min_available_nodes=5))
twice = ServerApp()


@twice.main()
def _twice(grid: Grid, context: Context) -> None:
    for _ in range(2):
        FedAvg().start(grid=grid, initial_arrays=_initial(), num_rounds=1)


again = ServerApp()


@again.main()
def _again(grid: Grid, context: Context) -> None:
    strategy = FedAvg()
    for _ in range(2):
        strategy.start(grid=grid, initial_arrays=_initial(), num_rounds=1)


broken = ServerApp()


@broken.main()
def _broken(grid: Grid, context: Context) -> None:
    raise RuntimeError("the server forgot its keys")


def _exiting(end) -> ServerApp:
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        FedAvg().start(grid=grid, initial_arrays=_initial(), num_rounds=1)
        end()

    return app


exits_well = _exiting(sys.exit)
exits_badly = _exiting(lambda: sys.exit(3))
leaves_thread = _exiting(lambda: threading.Thread(target=threading.Event().wait).start())
leaves_hook = _exiting(lambda: atexit.register(threading.Event().wait))
vanishes = _exiting(lambda: os._exit(0))

asking = ServerApp()


@asking.main()
def _asking(grid: Grid, context: Context) -> None:
    nodes = list(grid.get_node_ids())
    for kind in ("query", "query.size"):
        content = RecordDict({"question": ConfigRecord({"bins": 4})})
        replies = list(grid.send_and_receive([Message(content, node, kind) for node in nodes]))
        assert len(replies) == len(nodes)
        assert not any(reply.has_error() for reply in replies)
    print("TOTAL", sum(int(reply.content["size"]["value"]) for reply in replies))


def _fit_metrics(metrics):
    total = sum(count for count, _ in metrics)
    return {"distance": sum(count * m["distance"] for count, m in metrics) / total}


class _InOrder(LegacyFedAvg):
    """Adds up in an order that does not depend on when a result came; of three, the last digit shows it."""

    def aggregate_fit(self, server_round, results, failures):
        return super().aggregate_fit(server_round, sorted(results, key=lambda r: r[1].metrics["distance"]), failures)

    def aggregate_evaluate(self, server_round, results, failures):
        return super().aggregate_evaluate(server_round, sorted(results, key=lambda r: r[1].metrics["top"]), failures)


def _strategy() -> LegacyFedAvg:
    return _InOrder(
        min_fit_clients=3,
        min_evaluate_clients=3,
        min_available_clients=3,
        fit_metrics_aggregation_fn=_fit_metrics,
    )


def _server_fn(context: Context) -> ServerAppComponents:
    config = ServerConfig(num_rounds=int(context.run_config["num-server-rounds"]))
    return ServerAppComponents(strategy=_strategy(), config=config)


legacy = ServerApp(server_fn=_server_fn)
secret = ServerApp()


@secret.main()
def _secret(grid: Grid, context: Context) -> None:
    legacy_context = LegacyContext(
        context=context,
        config=ServerConfig(num_rounds=int(context.run_config["num-server-rounds"])),
        strategy=_strategy(),
    )
    workflow = DefaultWorkflow(fit_workflow=SecAggPlusWorkflow(num_shares=3, reconstruction_threshold=2))
    workflow(grid, legacy_context)
