"""The ClientApp."""

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from sklearn.metrics import log_loss

from linear.task import fit, load_part, new_model, parameters_of, set_parameters

app = ClientApp()


def _prepare(message, context):
    model = new_model(context.run_config["penalty"], context.run_config["local-epochs"])
    set_parameters(model, message.content["arrays"].to_numpy_ndarrays())
    return model, load_part(context.node_config["partition-id"], context.node_config["num-partitions"])


@app.train()
def train(message: Message, context: Context) -> Message:
    model, (x, _, y, _) = _prepare(message, context)
    fit(model, x, y)
    metrics = {"num-examples": len(x), "train_logloss": log_loss(y, model.predict_proba(x))}
    content = {"arrays": ArrayRecord(parameters_of(model)), "metrics": MetricRecord(metrics)}
    return Message(content=RecordDict(content), reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    model, (_, x, _, y) = _prepare(message, context)
    metrics = {
        "num-examples": len(x),
        "test_logloss": log_loss(y, model.predict_proba(x), labels=model.classes_),
        "accuracy": model.score(x, y),
    }
    return Message(content=RecordDict({"metrics": MetricRecord(metrics)}), reply_to=message)
