"""The ClientApp: counts its rows."""

import numpy as np
import pandas as pd
from flwr.app import Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from sklearn.datasets import load_iris

app = ClientApp()


def load_part(number: int, count: int, columns: list[str]) -> pd.DataFrame:
    return load_iris(as_frame=True).frame.iloc[number::count][columns]


@app.query()
def query(message: Message, context: Context) -> Message:
    columns = context.run_config["columns"].split(",")
    rows = load_part(context.node_config["partition-id"], context.node_config["num-partitions"], columns)
    counts = {name: np.histogram(values, bins=np.arange(0, 10, 1))[0].tolist() for name, values in rows.items()}
    return Message(content=RecordDict({"counts": MetricRecord(counts)}), reply_to=message)
