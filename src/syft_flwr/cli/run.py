"""``syft-flwr run``: take part in a federation."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from syft_flwr.cli.limits import limit_as_the_project_says
from syft_flwr.cli.options import EmailOption, PollIntervalOption, ProjectArgument, RoundsOption, RunConfigOption
from syft_flwr.cli.output import fail
from syft_flwr.errors import ConfigurationError
from syft_flwr.settings import OUTPUT_VARIABLE

if TYPE_CHECKING:
    from syft_flwr.flower.progress import Progress
    from syft_flwr.flower.project import FlowerProject
    from syft_flwr.flower.sandbox import Sandbox

_LEFT_OVER = 75
"""Exit code, as of sysexits.h: to be tried again."""


def run(  # noqa: PLR0917 - typer passes options by name
    project: ProjectArgument,
    email: EmailOption = None,
    aggregator: Annotated[str | None, typer.Option(help="In place of the project's aggregator.")] = None,
    datasite: Annotated[
        list[str] | None, typer.Option(help="In place of the project's data owners; repeat it.")
    ] = None,
    run_config: RunConfigOption = None,
    rounds: RoundsOption = None,
    node_config: Annotated[
        list[str] | None,
        typer.Option(help="Data owner: what the app finds in context.node_config, 'key=value …' or a TOML file."),
    ] = None,
    min_available: Annotated[
        int | None, typer.Option(min=1, help="Aggregator: start with so many owners; by default all.")
    ] = None,
    wait: Annotated[float, typer.Option(min=0, help="Aggregator: seconds to wait for owners to come.")] = 43_200.0,
    out: Annotated[Path | None, typer.Option(file_okay=False, help="Aggregator: directory for the result.")] = None,
    report: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Aggregator: write a report of the run to this HTML file.")
    ] = None,
    checkpoints: Annotated[bool, typer.Option(help="Aggregator: keep the arrays of the last three rounds.")] = True,
    resume: Annotated[
        bool, typer.Option("--resume", help="Aggregator: go on with the run before, which was killed.")
    ] = False,
    in_process: Annotated[
        bool, typer.Option("--in-process", help="Data owner: run the app in this process, to debug it.")
    ] = False,
    sandbox: Annotated[
        bool,
        typer.Option("--sandbox", help="Data owner: close the app in with bubblewrap: no network, no home, no tokens."),
    ] = False,
    sandbox_read: Annotated[
        list[Path] | None,
        typer.Option(help="Data owner: what the app may read in the sandbox beside DATA_DIR; repeat it."),
    ] = None,
    share_errors: Annotated[
        bool, typer.Option("--share-errors", help="Data owner: send the aggregator the tracebacks of its app's errors.")
    ] = False,
    approve: Annotated[
        str | None, typer.Option(help="Data owner: let the project run whose files have this hash.", metavar="HASH")
    ] = None,
    approve_config: Annotated[
        list[str] | None,
        typer.Option(help="Data owner: let the aggregator change the run config so: 'key=value …'.", metavar="TEXT"),
    ] = None,
    auto_approve: Annotated[bool, typer.Option("--auto-approve", help="Data owner: run whatever is here.")] = False,
    once: Annotated[
        bool, typer.Option("--once", help="Data owner: answer what waits, and end; for cron and batch jobs.")
    ] = False,
    until_idle: Annotated[
        float | None, typer.Option(min=1, help="Data owner: end after so many seconds without a message.")
    ] = None,
    max_runtime: Annotated[
        float | None, typer.Option(min=1, help="Data owner: end after so many seconds in any case.")
    ] = None,
    poll_interval: PollIntervalOption = None,
    max_poll_interval: Annotated[
        float | None,
        typer.Option(min=0.01, help="Longest pause between polls when all is quiet; by default 15 seconds."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Result as JSON on stdout, events on stderr.")] = False,
    events_fd: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Take part in a federation: as its aggregator or as a data owner, as the account's address says."""
    with _reporting(events_fd, as_json) as progress:
        from syft_flwr.cli.account import required_email
        from syft_flwr.cli.consent import Consent
        from syft_flwr.flower.aggregator import RunPlan
        from syft_flwr.flower.connection import Polling
        from syft_flwr.flower.logs import adapt_flowers_lines
        from syft_flwr.flower.parties import Parties
        from syft_flwr.flower.project import FlowerProject, parse_config
        from syft_flwr.flower.report import report_of
        from syft_flwr.flower.roles import OwnerPlan, interrupted_run, run_aggregator, run_owner
        from syft_flwr.flower.serving import Serving

        adapt_flowers_lines()
        flower = FlowerProject.load(project)
        limit_as_the_project_says(flower.directory)
        overrides = flower.overrides(run_config or [], rounds)
        address = required_email(email)
        parties = Parties.of(flower, aggregator, datasite or [])
        polling = Polling(poll_interval, max_poll_interval)
        if parties.role_of(address) == "owner":
            others: dict[str, object] = {"--out": out, "--report": report, "--min-available": min_available}
            _refuse({**others, "--resume": resume}, f"for the aggregator, and {address} is a data owner")
            app_sandbox = _sandbox(flower, sandbox, sandbox_read or [], in_process)
            own_config = parse_config(node_config or [], "--node-config")
            approved = parse_config(approve_config or [], "--approve-config")
            consent = Consent(flower, parties, address, auto_approve=auto_approve, sandboxed=app_sandbox is not None)
            consent.ask(approve, approved)
            owner = OwnerPlan(
                code_hash=consent.code_hash,
                lets_override=consent.lets_override,
                node_config=own_config,
                run_overrides=overrides,
                in_process=in_process,
                sandbox=app_sandbox,
                share_errors=share_errors,
                serving=Serving(once, until_idle, max_runtime),
            )
            if run_owner(flower, parties, address, owner, progress, polling=polling) is False:
                fail("time is up before all that waited was answered; the next run goes on", _LEFT_OVER)
            return
        limits: dict[str, object] = {"--once": once, "--until-idle": until_idle, "--max-runtime": max_runtime}
        apps = {"--sandbox": sandbox, "--sandbox-read": sandbox_read, "--in-process": in_process}
        consents = {"--approve": approve, "--approve-config": approve_config, "--auto-approve": auto_approve}
        told = {"--share-errors": share_errors, "--node-config": node_config}
        _refuse({**limits, **apps, **consents, **told}, f"for data owners, and {address} is the aggregator")
        if resume and out is not None:
            raise ConfigurationError("--resume goes on in the directory of the run before; leave --out out")
        before = interrupted_run(flower, parties.aggregator) if resume else None
        plan = RunPlan(
            datasites=parties.datasites,
            overrides=overrides,
            out=out or before or default_directory(flower.app_name),
            min_available=min_available,
            patience=wait,
            checkpoints=checkpoints,
            resume=resume,
        )
        os.environ.setdefault(OUTPUT_VARIABLE, str(plan.out.absolute()))  # apps of existing projects read it
        with report_of(plan.out, report):
            result = run_aggregator(flower, parties, plan, progress, polling=polling)
        if as_json:
            typer.echo(json.dumps(result, default=str))


def _refuse(options: Mapping[str, object], why: str) -> None:
    """Let no option be passed over that the other role has.

    Raises:
        ConfigurationError: One of them is set.
    """
    if given := [name for name, value in options.items() if value]:
        raise ConfigurationError(f"{' and '.join(given)} {'is' if len(given) == 1 else 'are'} {why}")


def _sandbox(project: FlowerProject, wanted: bool, readable: list[Path], in_process: bool) -> Sandbox | None:
    from syft_flwr.flower.sandbox import Sandbox

    if not wanted:
        if readable:
            raise ConfigurationError("--sandbox-read is of use with --sandbox only")
        return None
    if in_process:
        raise ConfigurationError("--in-process runs the app in this process, --sandbox outside of it: choose one")
    return Sandbox.of(project.directory, readable, project.written)


def default_directory(app_name: str) -> Path:
    """Return a directory for a run's result that is not there yet."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    directory, number = Path("runs") / f"{app_name.replace('/', '-')}-{stamp}", 1
    while directory.exists():
        number += 1
        directory = directory.with_name(f"{app_name.replace('/', '-')}-{stamp}-{number}")
    return directory


@contextmanager
def _reporting(events_fd: int | None, as_json: bool) -> Iterator[Progress]:
    """Choose where events go, and make an error the last of them."""
    from syft_flwr.cli.view import Lines
    from syft_flwr.flower.progress import JsonLines

    progress: Progress
    if events_fd is not None:
        os.set_inheritable(events_fd, False)
        progress = JsonLines(os.fdopen(events_fd, "w", encoding="utf-8"))
    else:
        progress = JsonLines(sys.stderr) if as_json else Lines()
    try:
        yield progress
    except BaseException as error:
        if events_fd is not None or not isinstance(error, Exception):  # else what ends the command tells it
            progress("error", message=str(error) or type(error).__name__)
        raise
