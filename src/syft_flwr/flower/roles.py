"""What ``syft-flwr run`` does: a project, an account, and the role that the account has in it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from syft_flwr.errors import ConfigurationError, FlowerError
from syft_flwr.flower.aggregator import Aggregation, RunPlan, check_parties
from syft_flwr.flower.app_host import AppHost, ForkedApps, InProcessApps
from syft_flwr.flower.job import AppSpec
from syft_flwr.flower.journal import EarlierRun, JournaledRpc, RunJournal
from syft_flwr.flower.links import Link, Polling
from syft_flwr.flower.owner import DataOwner, OwnerConfig
from syft_flwr.flower.progress import Fanout, Progress
from syft_flwr.flower.project import FlowerProject, code_files
from syft_flwr.flower.run_store import RunStore
from syft_flwr.flower.transport import Rpc
from syft_flwr.runtime.sharing import state_directory
from syft_flwr.settings import load_endpoint, state_root
from syft_flwr.wire import same_address, validate_address

Config = Mapping[str, bool | float | int | str]
Role = Literal["aggregator", "owner"]


@dataclass(frozen=True, slots=True)
class Parties:
    """Who takes part in a federation."""

    aggregator: str
    datasites: tuple[str, ...]

    @classmethod
    def of(cls, project: FlowerProject, aggregator: str | None, datasites: Sequence[str]) -> Parties:
        """Return the parties: those given, else those in the project's ``[tool.syft_flwr]``.

        Raises:
            ConfigurationError: Nobody is named, or somebody twice.
            InvalidNameError: One is no e-mail address.
        """
        leader = aggregator or project.aggregator
        if not leader:
            raise ConfigurationError(
                f"the project {project.name} names no aggregator: pass --aggregator, or write it into the project with "
                "'syft-flwr bootstrap'"
            )
        owners = tuple(validate_address(email) for email in (datasites or project.datasites))
        check_parties(leader, owners)
        return cls(validate_address(leader), owners)

    def role_of(self, email: str) -> Role:
        """Return what an account is in this federation.

        Raises:
            ConfigurationError: It does not take part.
        """
        if same_address(email, self.aggregator):
            return "aggregator"
        if any(same_address(email, owner) for owner in self.datasites):
            return "owner"
        raise ConfigurationError(
            f"{email} takes no part in this project: its aggregator is {self.aggregator}, its data owners are "
            f"{', '.join(self.datasites)}"
        )


def run_aggregator(
    project: FlowerProject, parties: Parties, plan: RunPlan, progress: Progress, *, polling: Polling | None = None
) -> dict[str, Any]:
    """Run the ServerApp of a project to its end and save the result, also of a run that failed.

    Returns:
        The content of ``result.json``, with ``directory``.

    Raises:
        FlowerError: The run failed.
        ConfigurationError: The parties, the credentials or a setting are wrong.
    """
    directory = app_directory(project, parties.aggregator)
    with ExitStack() as stack:
        stack.enter_context(_alone(directory, f"{parties.aggregator} and the project {project.name}"))
        journal = stack.enter_context(RunJournal(directory / "journal"))

        def note(event: str, /, **fields: Any) -> None:
            if event == "round":
                journal.round(int(fields["round"]))

        aggregation = Aggregation(project, plan, Fanout(note, progress), spool=directory)
        return _aggregate(aggregation, Link(parties.aggregator, polling), project.app_name, journal, progress)


def _aggregate(
    aggregation: Aggregation, link: Link, app_name: str, journal: RunJournal, progress: Progress
) -> dict[str, Any]:
    account, out = link.email, aggregation.out
    failure = ""
    try:
        with link:
            rpc = JournaledRpc(link.rpc(app_name), journal)
            _clean_up_after(journal.earlier(), rpc, progress)
            journal.begin(aggregation.run_id, out.absolute())
            aggregation.run(rpc)
            journal.end()
    except FlowerError as error:
        failure = str(error)
        journal.end()
        raise
    except BaseException as error:
        failure = str(error) or type(error).__name__
        raise
    finally:
        bill = link.bill()
        progress("bill", account=account, **bill)
        extra = {"bill": {account: bill}, "error": failure}
        result, arrays = aggregation.save(extra)
        progress("result", path=str(result), arrays=str(arrays or ""))
    return {**aggregation.result(), **extra, "directory": str(out)}


def _clean_up_after(earlier: EarlierRun | None, rpc: Rpc, progress: Progress) -> None:
    """Withdraw what the run before left in Drive, and say so if it did not come to its end."""
    if earlier is None:
        return
    for future_id in earlier.futures:
        rpc.delete_future(future_id)
    if not earlier.ended:
        progress("interrupted", run_id=earlier.run_id, round=earlier.round, out=earlier.out)


@dataclass(frozen=True, slots=True)
class OwnerPlan:
    """How a data owner serves a project. ``code_hash`` is the state of it that may run, empty for any."""

    code_hash: str = ""
    node_config: Config = field(default_factory=dict)
    run_overrides: Config = field(default_factory=dict)
    in_process: bool = False
    share_tracebacks: bool = False


def run_owner(
    project: FlowerProject,
    parties: Parties,
    email: str,
    plan: OwnerPlan,
    progress: Progress,
    *,
    polling: Polling | None = None,
) -> None:
    """Serve the aggregator's messages until the run is over.

    Raises:
        ConfigurationError: The credentials or a setting are wrong, or another process serves this project here.
    """
    directory = app_directory(project, email)
    project_hash = project.code_hash()
    progress("project", name=project.name, hash=project_hash, aggregator=parties.aggregator, owner=email)
    config = OwnerConfig(
        email=email,
        node_config=plan.node_config,
        run_config=project.run_config,
        run_overrides=plan.run_overrides,
        project_hash=project_hash,
    )
    with _alone(directory, f"{email} and the project {project.name}"):
        apps = _host(project, plan, directory)
        link: Link | None = None
        try:
            link = Link(email, polling)
            with link:
                link.connect(progress)
                events = link.events(project.app_name, parties.aggregator)
                owner = DataOwner(
                    config, events, apps, RunStore(directory), drive_time=link.drive_time, progress=progress
                )
                owner.run_forever()
        finally:
            # The link first: the reply of an app that is ended here would not be the app's.
            apps.close()
            if link is not None:
                progress("bill", account=email, **link.bill())


def app_directory(project: FlowerProject, email: str) -> Path:
    """Return where an account keeps what it needs for a project; it exists afterwards."""
    account = state_directory(state_root(), email, load_endpoint().url)
    directory = account / "flower" / quote(project.app_name, safe="")
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    return directory


def _host(project: FlowerProject, plan: OwnerPlan, directory: Path) -> AppHost:
    files = code_files(project.directory)
    spec = AppSpec(str(project.directory), project.client_app, plan.code_hash, files, plan.share_tracebacks)
    return InProcessApps(spec) if plan.in_process else ForkedApps(spec, directory / "jobs")


@contextmanager
def _alone(directory: Path, what: str) -> Iterator[None]:
    """Let one process only serve an app on an account: two would mix up its Contexts."""
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigurationError(f"another process serves {what} already; end it first") from error
        yield
    finally:
        os.close(lock)
