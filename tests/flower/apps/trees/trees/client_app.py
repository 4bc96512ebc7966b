"""The ClientApp: a data owner grows a few trees upon those of all, and sends its own only."""

import numpy as np
import xgboost as xgb
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from trees.task import load_part, parameters

app = ClientApp()


def _prepare(message, context):
    model = bytearray(message.content["arrays"]["0"].numpy().tobytes())
    booster = xgb.Booster(params=parameters(context.run_config))
    if model:
        booster.load_model(model)
    return booster, load_part(context.node_config["partition-id"], context.node_config["num-partitions"])


@app.train()
def train(message: Message, context: Context) -> Message:
    booster, (rows, _) = _prepare(message, context)
    count = context.run_config["local-rounds"]
    if message.content["config"]["server-round"] == 1:
        booster = xgb.train(parameters(context.run_config), rows, num_boost_round=count)
    else:
        for _ in range(count):
            booster.update(rows, booster.num_boosted_rounds())
        booster = booster[booster.num_boosted_rounds() - count :]
    trees = np.frombuffer(booster.save_raw("json"), dtype=np.uint8)
    content = {"arrays": ArrayRecord([trees]), "metrics": MetricRecord({"num-examples": rows.num_row()})}
    return Message(content=RecordDict(content), reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    booster, (_, rows) = _prepare(message, context)
    told = booster.eval_set(evals=[(rows, "valid")], iteration=booster.num_boosted_rounds() - 1)
    metrics = {"auc": float(told.split("\t")[1].split(":")[1]), "num-examples": rows.num_row()}
    return Message(content=RecordDict({"metrics": MetricRecord(metrics)}), reply_to=message)
