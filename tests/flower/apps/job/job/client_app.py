"""Takes the mean of the numbers in ``DATA_DIR``."""

import os
from pathlib import Path

import numpy as np
from flwr.app import Context
from flwr.client import NumPyClient
from flwr.clientapp import ClientApp


class Client(NumPyClient):
    def fit(self, parameters, config):
        numbers = np.loadtxt(Path(os.environ["DATA_DIR"]) / "numbers.csv", ndmin=1)
        return [np.array([numbers.mean()]), np.array([len(numbers)])], len(numbers), {}

    def evaluate(self, parameters, config):
        return float(parameters[0][0]), 1, {}


def client_fn(context: Context):
    return Client().to_client()


app = ClientApp(client_fn)
