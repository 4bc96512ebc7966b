"""The aggregator's part: federated averaging."""

from flwr.app import Array, ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from digits.task import initial_arrays

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    arrays = ArrayRecord({name: Array(value) for name, value in initial_arrays().items()})
    FedAvg().start(grid=grid, initial_arrays=arrays, num_rounds=int(context.run_config["num-server-rounds"]))
