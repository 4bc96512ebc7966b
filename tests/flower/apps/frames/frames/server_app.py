"""The ServerApp: asks a part of the data owners, and adds their counts up."""

import random

import numpy as np
from flwr.app import Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    for number in range(1, context.run_config["num-server-rounds"] + 1):
        nodes = sorted(grid.get_node_ids())
        chosen = random.sample(nodes, max(1, int(len(nodes) * context.run_config["fraction-sample"])))
        messages = [
            Message(content=RecordDict(), message_type="query", dst_node_id=node, group_id=str(number))
            for node in chosen
        ]
        total: dict[str, np.ndarray] = {}
        for reply in grid.send_and_receive(messages):
            for name, counts in reply.content["counts"].items():
                total[name] = total.get(name, 0) + np.array(counts)
        for name, counts in total.items():
            print("ROUND", number, name, counts.tolist())
