"""Federated averaging that saves its models in ``OUTPUT_DIR``."""

import os
from pathlib import Path

import numpy as np
from flwr.app import Context
from flwr.common import ndarrays_to_parameters
from flwr.server import ServerAppComponents, ServerConfig
from flwr.serverapp import ServerApp

from syft_flwr.strategy import FedAvgWithModelSaving


def server_fn(context: Context) -> ServerAppComponents:
    strategy = FedAvgWithModelSaving(
        save_path=Path(os.environ["OUTPUT_DIR"]) / "weights",
        initial_parameters=ndarrays_to_parameters([np.zeros(1), np.zeros(1, dtype=np.int64)]),
    )
    return ServerAppComponents(strategy=strategy, config=ServerConfig(num_rounds=2))


app = ServerApp(server_fn=server_fn)
