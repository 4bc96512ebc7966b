"""The ServerApp: puts all owners' trees together."""

import numpy as np
import xgboost as xgb
from flwr.app import ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedXgbBagging

from trees.task import parameters

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    config = context.run_config
    result = FedXgbBagging(fraction_train=config["fraction-train"], fraction_evaluate=1.0).start(
        grid=grid,
        initial_arrays=ArrayRecord([np.frombuffer(b"", dtype=np.uint8)]),
        num_rounds=config["num-server-rounds"],
    )
    booster = xgb.Booster(params=parameters(config))
    booster.load_model(bytearray(result.arrays["0"].numpy().tobytes()))
    print("TREES", len(booster.get_dump()))
