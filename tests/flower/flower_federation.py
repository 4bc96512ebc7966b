"""Projects of the zoo, and federations of them on threads."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

from flower_fakes import Events, FakeDrive, FakeEvents, FakeRpc

from syft_flwr.flower.aggregator import Aggregation, RunPlan
from syft_flwr.flower.app_host import ForkedApps
from syft_flwr.flower.job import AppSpec
from syft_flwr.flower.owner import DataOwner
from syft_flwr.flower.owner_config import OwnerConfig
from syft_flwr.flower.project import FlowerProject
from syft_flwr.flower.run_store import RunStore

APPS = Path(__file__).parent / "apps"
DIGITS = Path(__file__).parents[2] / "examples" / "digits"


_PYPROJECT = """\
[project]
name = "zoo"
version = "1.0.0"

[tool.flwr.app]
publisher = "example"

[tool.flwr.app.components]
serverapp = "zoo.servers:{server}"
clientapp = "zoo.clients:{client}"

[tool.flwr.app.config]
num-server-rounds = {rounds}
"""


def zoo_project(directory: Path, server: str, client: str, *, rounds: int = 2) -> Path:
    """Make a Flower project of two of the zoo's apps."""
    project = directory / f"{server}-{client}"
    shutil.copytree(APPS / "zoo", project / "zoo", ignore=shutil.ignore_patterns("__pycache__"))
    text = _PYPROJECT.format(server=server, client=client, rounds=rounds)
    (project / "pyproject.toml").write_text(text, encoding="utf-8")
    return project


class Federation:
    """Data owners on threads over the in-memory transport; each message's app has a process of its own."""

    def __init__(self, drive: FakeDrive, project: FlowerProject, directory: Path, count: int) -> None:
        self.drive = drive
        self.project = project
        self.emails = [f"do{number}@example.com" for number in range(1, count + 1)]
        self.directory = directory
        self.owners: list[threading.Thread] = []
        self.events: dict[str, FakeEvents] = {}
        self.progress: dict[str, Events] = {}
        self.host = ForkedApps(AppSpec(str(project.directory), project.client_app), directory / "jobs")

    def start(self) -> None:
        for number, email in enumerate(self.emails):
            self.start_owner(number, email)

    def start_owner(self, number: int, email: str) -> None:
        events, progress = FakeEvents(self.drive, email), Events()
        self.events[email], self.progress[email] = events, progress
        config = OwnerConfig(
            email,
            node_config={"partition-id": number, "num-partitions": len(self.emails)},
            run_config=self.project.run_config,
        )
        owner = DataOwner(config, events, self.host, RunStore(self.directory / email / "runs"), progress=progress)
        thread = threading.Thread(target=owner.run_forever, name=email)
        thread.start()
        self.owners.append(thread)

    def aggregate(self, out: Path, progress: Events, **overrides: object) -> Aggregation:
        plan = RunPlan(tuple(self.emails), overrides, out, patience=90.0, farewell=10.0)  # type: ignore[arg-type]
        aggregation = Aggregation(self.project, plan, progress)
        aggregation.run(FakeRpc(self.drive, "agg@example.com"))
        return aggregation

    def close(self) -> None:
        for events in self.events.values():
            events.stop()
        self.host.close()
        for thread in self.owners:
            thread.join(20)
            assert not thread.is_alive()
