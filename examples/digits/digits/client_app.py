"""A data owner's part: train on the own partition, evaluate on what is held out of it."""

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from digits.task import load_partition, loss_and_accuracy, train_epochs

app = ClientApp()


def _partition(context: Context) -> tuple[np.ndarray, ...]:
    node, run = context.node_config, context.run_config
    return load_partition(int(node["partition-id"]), int(node["num-partitions"]), int(run["seed"]))


@app.train()
def train(message: Message, context: Context) -> Message:
    run = context.run_config
    x, y, _, _ = _partition(context)
    arrays = {name: array.numpy() for name, array in message.content["arrays"].items()}
    loss = train_epochs(
        arrays,
        x,
        y,
        epochs=int(run["local-epochs"]),
        learning_rate=float(run["learning-rate"]),
        batch_size=int(run["batch-size"]),
        seed=int(run["seed"]) + int(message.content["config"]["server-round"]),
    )
    return Message(
        RecordDict(
            {
                "arrays": ArrayRecord({name: Array(value) for name, value in arrays.items()}),
                "metrics": MetricRecord({"train_loss": loss, "num-examples": len(x)}),
            }
        ),
        reply_to=message,
    )


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    _, _, x, y = _partition(context)
    arrays = {name: array.numpy() for name, array in message.content["arrays"].items()}
    loss, accuracy = loss_and_accuracy(arrays, x, y)
    metrics = MetricRecord({"eval_loss": loss, "accuracy": accuracy, "num-examples": len(x)})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)
