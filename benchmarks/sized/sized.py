"""A model of any size, averaged; what is learned is to count."""

import numpy as np
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg

server, client = ServerApp(), ClientApp()


@server.main()
def main(grid, context):
    size = int(context.run_config["megabytes"]) * 1_000_000 // 4
    arrays = ArrayRecord({"weights": Array(np.zeros(size, np.float32))})
    FedAvg().start(grid=grid, initial_arrays=arrays, num_rounds=int(context.run_config["num-server-rounds"]))


@client.train()
def train(message, context):
    weights = message.content["arrays"]["weights"].numpy()
    arrays = ArrayRecord({"weights": Array(weights + 1)})  # so that no round's model is like the one before
    metrics = MetricRecord({"num-examples": 1})
    return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)


@client.evaluate()
def evaluate(message, context):
    return Message(RecordDict({"metrics": MetricRecord({"num-examples": 1, "loss": 0.5})}), reply_to=message)
