"""Strategies of existing P2P projects."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from syft_flwr.flower._compat import LegacyFedAvg, parameters_to_ndarrays

_DTYPES = {
    **{f"f{size}": f"F{8 * size}" for size in (2, 4, 8)},
    **{f"{kind}{size}": f"{kind.upper()}{8 * size}" for kind in "iu" for size in (1, 2, 4, 8)},
    "b1": "BOOL",
}


class FedAvgWithModelSaving(LegacyFedAvg):
    """Federated averaging that saves the global model of each round; takes all parameters of Flower's FedAvg.

    It is a strategy of the API with ``server_fn``, as in existing projects. ``parameters_round_N.safetensors`` holds
    the model after round N, and 0 the initial one; its arrays are named ``layer_0``, ``layer_1`` and so on. Writing
    them needs no further package; ``safetensors`` reads them.
    """

    def __init__(self, save_path: str | os.PathLike[str], *args: Any, **kwargs: Any) -> None:
        """Make the directory.

        Args:
            save_path: Directory for the files.
            *args: Parameters of FedAvg.
            **kwargs: Parameters of FedAvg.
        """
        super().__init__(*args, **kwargs)
        self.save_path = Path(save_path)
        self.save_path.mkdir(parents=True, exist_ok=True)

    def evaluate(self, server_round: int, parameters: Any) -> Any:
        """Save the model, then evaluate it where FedAvg does; Flower calls this once a round."""
        layers = {f"layer_{place}": layer for place, layer in enumerate(parameters_to_ndarrays(parameters))}
        save_safetensors(self.save_path / f"parameters_round_{server_round}.safetensors", layers)
        return super().evaluate(server_round, parameters)


def save_safetensors(path: Path, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """Write arrays in the format of https://github.com/huggingface/safetensors: header, then the arrays' bytes.

    Raises:
        ValueError: The format has no name for an array's type.
    """
    header, position = {}, 0
    for name, array in arrays.items():
        kind = array.dtype.str[1:]
        if kind not in _DTYPES:
            raise ValueError(f"{name} can't be saved: the format has no numbers of the type {array.dtype}")
        offsets = [position, position := position + array.nbytes]
        header[name] = {"dtype": _DTYPES[kind], "shape": list(array.shape), "data_offsets": offsets}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    temporary = path.with_suffix(".new")
    with temporary.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in arrays.values():
            file.write(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)
    temporary.replace(path)
