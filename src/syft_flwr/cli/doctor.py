"""``syft-flwr doctor``: what works for an account, step by step, and what to do about what does not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from syft_flwr.addresses import same_address
from syft_flwr.cli.bill import tell_spending
from syft_flwr.cli.options import EmailOption, YesOption
from syft_flwr.cli.output import advice_for_silence, confirm, describe, say, told_if_slow
from syft_flwr.errors import ConfigurationError, DriveUnavailableError, SyftFlwrError

if TYPE_CHECKING:
    from syft_flwr.cli.account import Account
    from syft_flwr.cli.findings import Finding

_TELL_MORE = "syft-flwr doctor -vv tells more"
_MARKS = {"ok": "✓", "warning": "!", "failed": "✗", "skipped": "-"}


def doctor(  # noqa: PLR0917 - typer passes options by name
    email: EmailOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object on stdout.")] = False,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Write nothing into Drive: without the round trip, some 500 units.")
    ] = False,
    probe: Annotated[
        bool, typer.Option("--probe", help="Put questions to Drive that no document answers, instead; it asks first.")
    ] = False,
    other: Annotated[
        str | None, typer.Option("--with", help="With --probe: a second account that is logged in here.")
    ] = None,
    yes: YesOption = False,
) -> None:
    """Examine an account step by step; a step that fails says what to do next, and the exit code is 1."""
    if other is not None and not probe:
        raise typer.BadParameter("it goes with --probe", param_hint="--with")
    if read_only and probe:
        raise typer.BadParameter("a probe writes into Drive", param_hint="--read-only")
    if probe:
        _probe(email, other, as_json=as_json, yes=yes)
        return
    from syft_flwr.cli.account import account_of

    steps: list[dict[str, str]] = []
    for step, finding in examine(account_of(email), read_only=read_only):
        steps.append({"step": step, **asdict(finding)})
        if not as_json:
            say(f"{_MARKS[finding.standing]} {step}: {finding.found}")
            if finding.advice:
                say(f"    → {finding.advice}")
    healthy = not any(step["standing"] == "failed" for step in steps)
    if as_json:
        typer.echo(json.dumps({"healthy": healthy, "steps": steps}, ensure_ascii=False))
    if not healthy:
        raise typer.Exit(1)


def _probe(email: str | None, other: str | None, *, as_json: bool, yes: bool) -> None:
    with ExitStack() as stack:
        from syft_flwr.cli.account import account_of, connected
        from syft_flwr.cli.probe import COST, probe
        from syft_flwr.drive.habits import Habits

        accounts = [account_of(email), *([] if other is None else [account_of(other)])]
        if other is not None and same_address(accounts[0].email, other):
            raise ConfigurationError(f"{other} is this account itself; --with names another one")
        gateways = []
        for account in accounts:
            gateways.append(stack.enter_context(connected(account)))
            if not same_address(address := gateways[-1].about().email, account.email):
                raise ConfigurationError(f"these credentials are {address}'s, not {account.email}'s")
        names = " and ".join(account.email for account in accounts)
        question = f"Write some files into the Drive of {names}, delete them again, and spend up to {COST:,} units?"
        if not yes and not confirm(question):
            raise ConfigurationError("nothing was asked")
        answers: list[dict[str, str]] = []
        learned: dict[str, bool | float] = {}
        for answer in probe(*gateways):
            answers.append({"question": answer.question, "answer": answer.answer})
            learned |= answer.learned
            if not as_json:
                say(f"{answer.question} {answer.answer}")
        for account in accounts:
            habits = Habits.read(account.directory).learned(learned)
            habits.keep(account.directory)
            if not as_json:
                kept = "; ".join(habits.in_words()) or "Drive behaves as is believed without a probe"
                say(f"kept for {account.email}, in processes from now on: {kept}")
        if as_json:
            typer.echo(json.dumps(answers))


def examine(account: Account, *, read_only: bool = False) -> Iterator[tuple[str, Finding]]:
    """Yield each step's name and finding as soon as it is known; what needs a step that failed is skipped.

    Args:
        account: The account.
        read_only: Leaves out the step that writes into Drive.
    """
    from syft_flwr.cli import checks_drive, checks_here
    from syft_flwr.cli.findings import Finding

    # Each step with those that must have gone well before it.
    steps: list[tuple[str, Callable[[Account], Finding], tuple[str, ...]]] = [
        ("versions", checks_here.check_versions, ()),
        ("state directory", checks_here.check_state_directory, ()),
        ("credentials", checks_here.check_credentials, ()),
        ("refresh", checks_here.check_refresh, ("credentials",)),
        ("scopes", checks_here.check_scopes, ("refresh",)),
        ("Drive", checks_drive.check_drive, ("refresh", "state directory")),
        ("identity", checks_drive.check_identity, ("Drive",)),
        ("storage", checks_drive.check_storage, ("Drive",)),
        ("clock", checks_drive.check_clock, ("Drive",)),
        ("round trip", checks_drive.check_round_trip, ("identity", "storage", "scopes")),
        ("peers", checks_drive.check_peers, ("identity",)),
        ("messages", checks_here.check_messages, ("state directory",)),
        ("quota", checks_here.check_quota, ()),
    ]
    well: set[str] = set()
    try:
        for step, check, needs in steps:
            if read_only and step == "round trip":
                continue
            missing = [need for need in needs if need not in well]
            finding = Finding("skipped", f"needs {missing[0]}") if missing else _carried_out(step, check, account)
            if finding.standing in ("ok", "warning"):
                well.add(step)
            yield step, finding
    finally:
        for close in account.close:
            close()
        if account.gateway is not None:
            tell_spending(account.email, account.gateway.meter.snapshot().to_json())


def _carried_out(step: str, check: Callable[[Account], Finding], account: Account) -> Finding:
    from syft_flwr.cli.findings import failed

    try:
        with told_if_slow(step):
            return check(account)
    except DriveUnavailableError as error:
        return failed(str(error), advice_for_silence())
    except SyftFlwrError as error:  # what it says tells what to do as well
        found, _, advice = str(error).partition(". ")
        return failed(found, advice or _TELL_MORE)
    except OSError as error:
        return failed(describe(error), _TELL_MORE)
