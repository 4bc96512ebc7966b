"""``syft-flwr run``: take part in a federation."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from syft_flwr.cli.output import errors_end_the_command

if TYPE_CHECKING:
    from syft_flwr.flower.progress import Progress
    from syft_flwr.flower.project import FlowerProject
    from syft_flwr.flower.roles import Parties

ProjectArgument = Annotated[
    Path, typer.Argument(help="Directory of a Flower project (with a pyproject.toml).", show_default=False)
]
RunConfigOption = Annotated[
    list[str] | None,
    typer.Option("--run-config", "-c", help="Overrides of the run config: 'key=value key2=\"text\"'.", metavar="TEXT"),
]
RoundsOption = Annotated[int | None, typer.Option(min=1, help="Rounds, as the run-config key num-server-rounds.")]


def run(  # noqa: PLR0917 - typer passes options by name
    project: ProjectArgument,
    email: Annotated[str | None, typer.Option(help="This account; by default SYFTBOX_EMAIL.")] = None,
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
    out: Annotated[Path | None, typer.Option(help="Aggregator: directory for the result.")] = None,
    report: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Aggregator: write a report of the run to this HTML file.")
    ] = None,
    checkpoints: Annotated[bool, typer.Option(help="Aggregator: keep the arrays of the last three rounds.")] = True,
    in_process: Annotated[
        bool, typer.Option("--in-process", help="Data owner: run the app in this process, to debug it.")
    ] = False,
    share_tracebacks: Annotated[
        bool, typer.Option("--share-tracebacks", help="Data owner: send tracebacks to the aggregator.")
    ] = False,
    approve: Annotated[
        str | None, typer.Option(help="Data owner: let the project run whose code has this hash.", metavar="HASH")
    ] = None,
    auto_approve: Annotated[bool, typer.Option("--auto-approve", help="Data owner: run whatever is here.")] = False,
    poll_interval: Annotated[float | None, typer.Option(help="Seconds between polls while messages flow.")] = None,
    max_poll_interval: Annotated[
        float | None, typer.Option(help="Longest pause between polls when all is quiet; by default 15 seconds.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Result as JSON on stdout, events on stderr.")] = False,
    events_fd: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Take part in a federation: as its aggregator or as a data owner, as the account's address says."""
    with errors_end_the_command(), _reporting(events_fd, as_json) as progress:
        from syft_flwr.errors import ConfigurationError
        from syft_flwr.flower.aggregator import RunPlan
        from syft_flwr.flower.links import Polling
        from syft_flwr.flower.project import FlowerProject, parse_config
        from syft_flwr.flower.report import report_of
        from syft_flwr.flower.roles import OwnerPlan, Parties, run_aggregator, run_owner
        from syft_flwr.settings import EMAIL_VARIABLE, OUTPUT_VARIABLE, load_email

        flower = FlowerProject.load(project)
        overrides = flower.overrides(run_config or [], rounds)
        address = load_email(email)
        if address is None:
            raise ConfigurationError(f"no account: pass --email, or set {EMAIL_VARIABLE}")
        parties = Parties.of(flower, aggregator, datasite or [])
        polling = Polling(poll_interval, max_poll_interval)
        if parties.role_of(address) == "owner":
            owner = OwnerPlan(
                code_hash=_consent(flower, parties, address, approve, auto_approve),
                node_config=parse_config(node_config or [], "--node-config"),
                run_overrides=overrides,
                in_process=in_process,
                share_tracebacks=share_tracebacks,
            )
            run_owner(flower, parties, address, owner, progress, polling=polling)
            return
        plan = RunPlan(
            datasites=parties.datasites,
            overrides=overrides,
            out=out or default_directory(flower.app_name),
            min_available=min_available,
            patience=wait,
            checkpoints=checkpoints,
        )
        os.environ.setdefault(OUTPUT_VARIABLE, str(plan.out.absolute()))  # apps of existing projects read it
        with report_of(plan.out, report):
            result = run_aggregator(flower, parties, plan, progress, polling=polling)
        if as_json:
            typer.echo(json.dumps(result, default=str))


def _consent(flower: FlowerProject, parties: Parties, email: str, given: str | None, auto_approve: bool) -> str:
    """Show a data owner what will run and have it approved; return the hash that may run."""
    from syft_flwr.errors import ConfigurationError
    from syft_flwr.flower.consent import Approvals, ConsentRequest, matches
    from syft_flwr.flower.roles import app_directory
    from syft_flwr.flower.transport import ENDPOINT, wire_app_name

    endpoint = f"{wire_app_name(flower.app_name)}/{ENDPOINT}"
    request = ConsentRequest(flower, flower.code_hash(), parties.aggregator, endpoint)
    approvals = Approvals(app_directory(flower, email) / "approvals.json")
    for line in request.lines():
        typer.echo(line, err=True)
    if auto_approve or approvals.covers(request):
        return request.code_hash
    if given is not None:
        if not matches(request, given):
            raise ConfigurationError(f"the code here has another hash than {given}: {request.code_hash}")
    elif not sys.stdin.isatty():
        raise ConfigurationError(
            f"this state of the project is not approved. Look at it, then add --approve {request.code_hash[:12]}; "
            "for rehearsals there is --auto-approve"
        )
    elif not typer.confirm("Let this code run on this data?", err=True):
        raise ConfigurationError("not approved; nothing of the project was run")
    approvals.approve(request)
    return request.code_hash


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
        progress("error", message=str(error) or type(error).__name__)
        raise
