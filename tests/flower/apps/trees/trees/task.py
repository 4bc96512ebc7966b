"""The parameters and the data."""

import numpy as np
import xgboost as xgb
from sklearn.datasets import load_breast_cancer


def parameters(run_config):
    prefix = "params."
    chosen = {key.removeprefix(prefix): value for key, value in run_config.items() if key.startswith(prefix)}
    return {key.replace("-", "_"): value for key, value in chosen.items()}


def load_part(number, count):
    x, y = load_breast_cancer(return_X_y=True)
    chosen = np.random.default_rng(0).permutation(len(y))[number::count]
    split = int(0.8 * len(chosen))
    return [xgb.DMatrix(x[part], label=y[part]) for part in (chosen[:split], chosen[split:])]
