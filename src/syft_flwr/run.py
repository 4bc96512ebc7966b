"""Takes part in a federation from a Python script: what the ``main.py`` of existing P2P projects calls.

``SYFTBOX_EMAIL`` says who this account is, ``OUTPUT_DIR`` where the aggregator's results go. The apps find
``DATA_DIR`` and ``OUTPUT_DIR`` in their environment as it is. Importing this module imports no Flower.

The module can be called, since ``syft_flwr.run(…)`` is also the name of the rehearsal: see :func:`run`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from syft_flwr.flower.parties import Parties, Role
    from syft_flwr.flower.project import FlowerProject

PathLike = str | os.PathLike[str]


def syftbox_run_flwr_client(flower_project_dir: PathLike) -> None:
    """Serve a project's ClientApp on this account's data until the run is over.

    Who starts the script has approved the project: its code runs as it is now, and is refused when it changes.

    Raises:
        ConfigurationError: This account is none of the project's data owners, or its credentials are wrong.
        FlowerError: The directory is no Flower project.
    """
    from syft_flwr.cli.view import Lines
    from syft_flwr.flower.roles import OwnerPlan, run_owner

    project, parties, email = _take_part(flower_project_dir, "owner")
    run_owner(project, parties, email, OwnerPlan(code_hash=project.code_hash()), Lines())


def syftbox_run_flwr_server(flower_project_dir: PathLike) -> None:
    """Run a project's ServerApp with its data owners, and save the results in ``OUTPUT_DIR``.

    Raises:
        ConfigurationError: This account is not the project's aggregator, or its credentials are wrong.
        FlowerError: The directory is no Flower project, or the run failed.
    """
    from syft_flwr.cli.run import default_directory
    from syft_flwr.cli.view import Lines
    from syft_flwr.flower.aggregator import RunPlan
    from syft_flwr.flower.roles import run_aggregator
    from syft_flwr.settings import output_directory

    project, parties, _ = _take_part(flower_project_dir, "aggregator")
    out = output_directory() or default_directory(project.app_name)
    run_aggregator(project, parties, RunPlan(parties.datasites, {}, out), Lines())


def run(project_dir: PathLike, mock_dataset_paths: Sequence[PathLike]) -> dict[str, Any]:
    """Rehearse a project on this machine, with one data owner for each path; this is ``syft_flwr.run(…)``.

    Args:
        project_dir: Directory of a Flower project.
        mock_dataset_paths: What each data owner's app finds in ``DATA_DIR``.

    Returns:
        The content of ``result.json``; ``directory`` says where it is (``OUTPUT_DIR``, or a new one in ``runs/``).

    Raises:
        ConfigurationError: There is no such path.
        FlowerError: The directory is no Flower project, or the run failed.
    """
    from syft_flwr.cli.run import default_directory
    from syft_flwr.cli.view import Lines
    from syft_flwr.errors import ConfigurationError
    from syft_flwr.flower.project import FlowerProject
    from syft_flwr.flower.simulation import Simulation, SimulationPlan
    from syft_flwr.settings import output_directory

    data = tuple(Path(path).expanduser().absolute() for path in mock_dataset_paths)
    if not data:
        raise ConfigurationError("name a mock dataset for each data owner")
    if missing := [str(path) for path in data if not path.exists()]:
        raise ConfigurationError(f"no such mock dataset: {', '.join(missing)}")
    project = FlowerProject.load(Path(project_dir))
    out = output_directory() or default_directory(project.app_name)
    plan = SimulationPlan(project.directory, out.absolute(), len(data), datasets=data)
    with Simulation(plan, Lines()) as simulation:
        return simulation.run()


def _take_part(directory: PathLike, role: Role) -> tuple[FlowerProject, Parties, str]:
    from syft_flwr.errors import ConfigurationError
    from syft_flwr.flower.parties import Parties
    from syft_flwr.flower.project import FlowerProject
    from syft_flwr.settings import EMAIL_VARIABLE, load_email

    project = FlowerProject.load(Path(directory))
    email = load_email()
    if email is None:
        raise ConfigurationError(f"no account: set {EMAIL_VARIABLE}")
    parties = Parties.of(project, None, ())
    if (actual := parties.role_of(email)) != role:
        call = {"owner": "syftbox_run_flwr_client", "aggregator": "syftbox_run_flwr_server"}[actual]
        raise ConfigurationError(f"{email} is the project's {actual}; its main.py has to call {call}")
    return project, parties, email


class _CallableModule(ModuleType):
    """Importing ``syft_flwr.run`` puts the module where ``syft_flwr.run(…)`` looks for a function."""

    def __call__(self, project_dir: PathLike, mock_dataset_paths: Sequence[PathLike]) -> dict[str, Any]:
        return run(project_dir, mock_dataset_paths)


sys.modules[__name__].__class__ = _CallableModule
