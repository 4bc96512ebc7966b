"""What ``syft-flwr run`` does: a project, an account, and the role that the account has in it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from syft_flwr.errors import ConfigurationError, FlowerError
from syft_flwr.flower.aggregator import Aggregation, RunPlan
from syft_flwr.flower.app_host import AppHost, ForkedApps, InProcessApps
from syft_flwr.flower.connection import DriveConnection, Polling
from syft_flwr.flower.job import AppSpec
from syft_flwr.flower.journal import RunJournal
from syft_flwr.flower.owner import DataOwner
from syft_flwr.flower.owner_config import OwnerConfig
from syft_flwr.flower.parties import Parties
from syft_flwr.flower.progress import Fanout, Progress
from syft_flwr.flower.project import Config, FlowerProject
from syft_flwr.flower.project_files import FilesRead, hash_of, read_files
from syft_flwr.flower.resumption import resume
from syft_flwr.flower.run_store import RunStore
from syft_flwr.flower.runs import event_log, events
from syft_flwr.flower.sandbox import Sandbox
from syft_flwr.flower.serving import Serving, ServingLimits
from syft_flwr.flower.transport import Rpc
from syft_flwr.private import make_private_directory
from syft_flwr.runtime.sharing import state_directory
from syft_flwr.settings import load_endpoint, state_root


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
        resumption = None
        if plan.resume:
            resumption = resume(journal.earlier(), project.code_hash(), plan.datasites, plan.overrides)
        earlier = list(events(plan.out)) if plan.resume else []
        progress = Fanout(stack.enter_context(event_log(plan.out)), progress)
        aggregation = Aggregation(project, plan, Fanout(journal, progress), spool=directory, resumption=resumption)
        for event, fields in earlier:
            aggregation.recall(event, fields)
        connection = DriveConnection(parties.aggregator, polling)
        return _aggregate(aggregation, connection, project.app_name, journal, progress)


def _aggregate(
    aggregation: Aggregation, connection: DriveConnection, app_name: str, journal: RunJournal, progress: Progress
) -> dict[str, Any]:
    account, out = connection.email, aggregation.out
    failure = ""
    try:
        with connection:
            rpc = connection.rpc(app_name)
            _clean_up_after(journal, aggregation.taken_over, rpc, progress)
            if aggregation.taken_over is None:
                journal.begin(aggregation.run_id, out.absolute())
            aggregation.run(rpc, journal)
            journal.end()
    except FlowerError as error:
        failure = str(error)
        journal.end()
        raise
    except BaseException as error:
        failure = str(error) or ("interrupted" if isinstance(error, KeyboardInterrupt) else type(error).__name__)
        raise
    finally:
        bill = connection.bill()
        progress("bill", account=account, **bill)
        extra = {"bill": {account: bill}, "error": failure}
        result, arrays = aggregation.save(extra)
        progress("result", path=str(result), arrays=str(arrays or ""))
    return {**aggregation.result(), **extra, "directory": str(out)}


def interrupted_run(project: FlowerProject, email: str) -> Path | None:
    """Return the directory of an account's run before, which is to be gone on with; ``None`` if there is none."""
    with RunJournal(app_directory(project, email) / "journal") as journal:
        earlier = journal.earlier()
    return None if earlier is None or not earlier.out else Path(earlier.out)


def _clean_up_after(journal: RunJournal, taken_over: Mapping[str, str] | None, rpc: Rpc, progress: Progress) -> None:
    """Withdraw what the run before left in Drive, and say so if it did not come to its end and is not gone on with."""
    if (earlier := journal.earlier()) is None:
        return
    kept = set((taken_over or {}).values())
    for future_id in earlier.futures:
        if future_id not in kept:
            rpc.delete_future(future_id)
            journal.gone(future_id)
    if not earlier.ended and taken_over is None:
        progress("interrupted", run_id=earlier.run_id, round=earlier.round, out=earlier.out)


@dataclass(frozen=True, slots=True)
class OwnerPlan:
    """How a data owner serves a project.

    ``code_hash`` is the state of it that may run, empty for any. ``lets_override`` is asked whether the aggregator may
    change these values of the run config. ``sandbox`` is what the app's processes are started in.
    """

    code_hash: str = ""
    node_config: Config = field(default_factory=dict)
    run_overrides: Config = field(default_factory=dict)
    lets_override: Callable[[Config], bool] = lambda _: False
    in_process: bool = False
    sandbox: Sandbox | None = None
    share_errors: bool = False
    serving: Serving = field(default_factory=Serving)


def run_owner(
    project: FlowerProject,
    parties: Parties,
    email: str,
    plan: OwnerPlan,
    progress: Progress,
    *,
    polling: Polling | None = None,
) -> bool:
    """Serve the aggregator's messages until the run is over, or as long as the plan says.

    Returns:
        Whether all that waited is answered.

    Raises:
        ConfigurationError: The credentials or a setting are wrong, or another process serves this project here.
    """
    directory = app_directory(project, email)
    files = read_files(project.directory, project.written)
    project_hash = hash_of(files.hashes)
    progress("project", name=project.name, hash=project_hash, aggregator=parties.aggregator, owner=email)
    config = OwnerConfig(
        email=email,
        node_config=plan.node_config,
        run_config=project.run_config,
        run_overrides=plan.run_overrides,
        project_hash=project_hash,
        stays=not plan.serving.once,
        lets_override=plan.lets_override,
    )
    with _alone(directory, f"{email} and the project {project.name}"):
        apps = app_host(project, plan, files, directory)
        connection: DriveConnection | None = None
        try:
            connection = DriveConnection(email, polling)
            with connection:
                if not plan.serving.once:  # else the next visit comes anyway
                    connection.connect(progress)
                events = connection.events(project.app_name, parties.aggregator)
                limits = ServingLimits(plan.serving, progress, connection.clock)
                owner = DataOwner(
                    config, events, apps, RunStore(directory), drive_time=connection.clock.time, progress=limits
                )
                if plan.serving.once:
                    return owner.run_once(plan.serving.at_most)
                with limits.enforced(events.stop):
                    owner.run_forever()
                return True
        finally:
            # The connection first: the reply of an app that is ended here would not be the app's.
            apps.close()
            if connection is not None:
                progress("bill", account=email, **connection.bill())


def app_directory(project: FlowerProject, email: str) -> Path:
    """Return where an account keeps what it needs for a project; it exists afterwards."""
    return make_private_directory(account_directory(email) / "flower" / quote(project.app_name, safe=""))


def account_directory(email: str) -> Path:
    """Return the state directory of an account; it exists afterwards."""
    return make_private_directory(state_directory(state_root(), email, load_endpoint().url))


def app_host(project: FlowerProject, plan: OwnerPlan, files: FilesRead, directory: Path) -> AppHost:
    """Return what runs a project's ClientApp."""
    spec = AppSpec(
        str(project.directory),
        project.client_app,
        plan.code_hash,
        files.hashes,
        plan.share_errors,
        files.signatures,
        project.written,
    )
    return InProcessApps(spec) if plan.in_process else ForkedApps(spec, directory / "jobs", plan.sandbox)


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
