"""``run.json`` in a run's directory: which run it is, for those who look at it and for one that goes on with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from syft_flwr.errors import ConfigurationError
from syft_flwr.private import open_private, write_private

RUN_FILE = "run.json"


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run of an aggregator. ``started`` is Unix seconds of its clock; ``pid`` the process that has it in hand."""

    project: str
    directory: str
    project_hash: str
    run_id: str
    started: float
    owners: tuple[str, ...]
    run_config: Mapping[str, bool | float | int | str]
    flwr: str
    pid: int

    def write(self, out: Path) -> None:
        write_private(out / RUN_FILE, json.dumps(asdict(self), indent=2).encode() + b"\n")

    @classmethod
    def read(cls, out: Path) -> RunRecord:
        """Read the record of a run.

        Raises:
            FileNotFoundError: There is none.
            ConfigurationError: It is damaged.
            StateError: Others could have written it.
        """
        with open_private(out / RUN_FILE) as file:
            content = file.read()
        try:
            raw = json.loads(content)
            return cls(**{**raw, "owners": tuple(raw["owners"]), "started": float(raw["started"])})
        except (ValueError, TypeError, KeyError) as error:
            raise ConfigurationError(f"{out / RUN_FILE} is damaged: {error}") from error
