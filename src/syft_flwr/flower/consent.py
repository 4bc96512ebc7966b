"""A data owner's consent: which states of which project it lets which aggregator run."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from syft_flwr.errors import ConfigurationError, StateError
from syft_flwr.flower.project import FlowerProject

_SHORTEST = 12  # hexadecimal digits: 48 bits


@dataclass(frozen=True, slots=True)
class ConsentRequest:
    """What a data owner is asked to let run. ``code_hash`` is :meth:`FlowerProject.code_hash`."""

    project: FlowerProject
    code_hash: str
    aggregator: str
    endpoint: str

    def lines(self) -> list[str]:
        """Return it for a human to read."""
        return [
            f"project     {self.project.name} {self.project.version} in {self.project.directory}",
            f"code        {self.code_hash}",
            f"runs        {self.project.client_app}, on each message",
            f"asked by    {self.aggregator}, at {self.endpoint}",
        ]


class Approvals:
    """Approved hashes, in a file. An approval is for one aggregator."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def covers(self, request: ConsentRequest) -> bool:
        return request.aggregator.lower() in self._read().get(request.code_hash, {})

    def approve(self, request: ConsentRequest) -> None:
        """Write an approval down."""
        approvals = self._read()
        approvals.setdefault(request.code_hash, {})[request.aggregator.lower()] = time.time()
        temporary = self._path.with_suffix(".new")
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(approvals, file, indent=2)
        temporary.replace(self._path)

    def _read(self) -> dict[str, dict[str, float]]:
        try:
            approvals: Any = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise StateError(f"{self._path} is damaged ({error}); delete it and approve again") from error
        if not isinstance(approvals, dict):
            raise StateError(f"{self._path} is damaged; delete it and approve again")
        return approvals


def matches(request: ConsentRequest, given: str) -> bool:
    """Tell whether a hash, or at least 12 digits of its beginning, names what is asked for.

    Raises:
        ConfigurationError: It is too short to mean anything.
    """
    if len(given) < _SHORTEST:
        raise ConfigurationError(f"name at least {_SHORTEST} digits of the hash; {given!r} has {len(given)}")
    return request.code_hash.startswith(given.lower())
