"""The ServerApp."""

from flwr.app import ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from linear.task import new_model, parameters_of

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    model = new_model(context.run_config["penalty"], context.run_config["local-epochs"])
    result = FedAvg(fraction_train=1.0, fraction_evaluate=1.0).start(
        grid=grid,
        initial_arrays=ArrayRecord(parameters_of(model)),
        num_rounds=context.run_config["num-server-rounds"],
    )
    coefficients, _ = result.arrays.to_numpy_ndarrays()
    print("COEFFICIENTS", coefficients.shape)
