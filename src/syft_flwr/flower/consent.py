"""A data owner's consent: which states of which project, and which run config, it lets which aggregator run.

What was approved runs with all the rights of the account's user, if it is not started in a sandbox.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NotRequired, TypedDict

from msgspec import convert

from syft_flwr.addresses import fold_address
from syft_flwr.errors import ConfigurationError, StateError
from syft_flwr.flower.project import Config, FlowerProject
from syft_flwr.printable import printable
from syft_flwr.private import make_private_directory, open_private, write_private

_HASH = re.compile("[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class ConsentRequest:
    """What a data owner is asked to let run. ``code_hash`` is :meth:`FlowerProject.code_hash`."""

    project: FlowerProject
    code_hash: str
    aggregator: str
    endpoint: str
    sandboxed: bool = False

    def lines(self) -> list[str]:
        """Return it for a human to read; whatever the project's author wrote moves no cursor and ends no line."""
        project = self.project
        uncovered = ", ".join(printable(name) for name in project.uncovered()) or "nothing"
        directory = printable(project.directory, 4_096)
        rights = "in a sandbox" if self.sandboxed else "with all rights of this user: no sandbox"
        return [
            f"project     {printable(project.name)} {printable(project.version)} in {directory}",
            f"hash        {self.code_hash}, of all its files",
            f"but not of  {uncovered} (code in them counts, but for version control, environments and caches)",
            f"runs        {printable(project.client_app)}, on each message, {rights}",
            f"asked by    {printable(self.aggregator)}, at {printable(self.endpoint)}",
        ]


def override_lines(project: FlowerProject, config: Config) -> list[str]:
    """Return, for a human to read, what an aggregator changes in the run config."""
    return [
        f"run config  {printable(key)} = {printable(json.dumps(value))}, where the project has "
        f"{printable(json.dumps(project.run_config.get(key)))}"
        for key, value in sorted(config.items())
    ]


class _Approval(TypedDict):
    """The changes of the run config that an aggregator may make, and when it was approved last (Unix seconds)."""

    overrides: list[Config]
    at: NotRequired[float]


_ByHash = dict[str, dict[str, _Approval]]
"""Approvals by the project's hash and the aggregator's address."""


class Approvals:
    """Approved hashes and run configs, in a file for this user's eyes only. An approval is for one aggregator."""

    def __init__(self, path: Path) -> None:
        """Name the file; its directory must be of its own.

        Every use raises StateError if the file or its directory is somebody else's, or open to others.
        """
        self._path = path

    def covers(self, request: ConsentRequest) -> bool:
        return fold_address(request.aggregator) in self._read().get(request.code_hash, {})

    def approve(self, request: ConsentRequest) -> None:
        approvals = self._read()
        by_aggregator = approvals.setdefault(request.code_hash, {})
        entry = by_aggregator.setdefault(fold_address(request.aggregator), {"overrides": []})
        entry["at"] = time.time()
        self._write(approvals)

    def covers_overrides(self, request: ConsentRequest, config: Config) -> bool:
        """Tell whether these changes of the run config were approved, for this state of the project."""
        entry = self._read().get(request.code_hash, {}).get(fold_address(request.aggregator))
        return entry is not None and any(_canonical(config) == _canonical(each) for each in entry["overrides"])

    def approve_overrides(self, request: ConsentRequest, config: Config) -> None:
        """Write down that an aggregator may change the run config so."""
        self.approve(request)
        if not self.covers_overrides(request, config):
            approvals = self._read()
            approvals[request.code_hash][fold_address(request.aggregator)]["overrides"].append(dict(config))
            self._write(approvals)

    def _write(self, approvals: _ByHash) -> None:
        make_private_directory(self._path.parent)
        write_private(self._path, json.dumps(approvals, indent=2).encode())

    def _read(self) -> _ByHash:
        try:
            with open_private(self._path) as file:
                return convert(json.loads(file.read()), _ByHash)
        except FileNotFoundError:
            return {}
        except (ValueError, RecursionError) as error:  # msgspec's errors are such
            raise StateError(f"{self._path} is damaged ({error}); delete it and approve again") from error


def matches(request: ConsentRequest, given: str) -> bool:
    """Tell whether a hash names what is asked for.

    Raises:
        ConfigurationError: It is not the whole hash: a beginning of it can be met by other files.
    """
    if _HASH.fullmatch(given) is None:
        raise ConfigurationError(
            f"name the whole hash, 64 hexadecimal digits: a shorter one is soon met by other files; "
            f"{printable(given, 80)!r} has {len(given)}"
        )
    return request.code_hash == given.lower()


def _canonical(config: Config) -> str:
    return json.dumps(dict(config), sort_keys=True)
