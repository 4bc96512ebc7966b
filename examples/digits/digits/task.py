"""The data and the model; neither the server nor the client part of Flower is known here."""

import numpy as np

CLASSES = 10
PIXELS = 64

Arrays = dict[str, np.ndarray]


def load_partition(partition_id: int, num_partitions: int, seed: int) -> tuple[np.ndarray, ...]:
    """Return ``x_train, y_train, x_test, y_test`` of one data owner: a fifth is held out, partitions are disjoint."""
    from sklearn.datasets import load_digits  # the aggregator has no data, and need not wait for this import

    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(x))
    mine = order[partition_id::num_partitions]
    held_out = len(mine) // 5
    test, train = mine[:held_out], mine[held_out:]
    x = x / 16.0
    return x[train], y[train], x[test], y[test]


def initial_arrays() -> Arrays:
    return {"weights": np.zeros((PIXELS, CLASSES)), "bias": np.zeros(CLASSES)}


def probabilities(arrays: Arrays, x: np.ndarray) -> np.ndarray:
    logits = x @ arrays["weights"] + arrays["bias"]
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponents / exponents.sum(axis=1, keepdims=True)


def loss_and_accuracy(arrays: Arrays, x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    p = probabilities(arrays, x)
    loss = -np.log(p[np.arange(len(y)), y] + 1e-12).mean()
    return float(loss), float((p.argmax(axis=1) == y).mean())


def train_epochs(
    arrays: Arrays, x: np.ndarray, y: np.ndarray, *, epochs: int, learning_rate: float, batch_size: int, seed: int
) -> float:
    """Descend in place by mini-batches; return the loss on the training data afterwards."""
    targets = np.eye(CLASSES)[y]
    rng = np.random.default_rng(seed)
    for _ in range(epochs):
        order = rng.permutation(len(x))
        for start in range(0, len(x), batch_size):
            batch = order[start : start + batch_size]
            error = (probabilities(arrays, x[batch]) - targets[batch]) / len(batch)
            arrays["weights"] -= learning_rate * x[batch].T @ error
            arrays["bias"] -= learning_rate * error.sum(axis=0)
    return loss_and_accuracy(arrays, x, y)[0]
