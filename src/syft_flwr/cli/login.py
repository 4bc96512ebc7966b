"""``syft-flwr login`` and ``logout``: let an account be used on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from syft_flwr.cli.options import EmailOption
from syft_flwr.cli.output import question_apart, say
from syft_flwr.errors import CredentialsError, SyftFlwrError
from syft_flwr.settings import load_email, load_endpoint


def login(
    file: Annotated[
        Path | None,
        typer.Argument(
            exists=True,
            dir_okay=False,
            help="The OAuth client file from the Cloud console, or a service account's key.",
        ),
    ] = None,
    email: Annotated[
        str | None,
        typer.Option(
            "--email", "--subject", help="The account; by default SYFTBOX_EMAIL. A service account acts for it."
        ),
    ] = None,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Print the address to open elsewhere, and take the code from there.")
    ] = False,
    check: Annotated[bool, typer.Option("--check", help="Only ask Drive whether the log-ins still work.")] = False,
) -> None:
    """Log an account in, so that every command finds its token; several accounts can be logged in."""
    if file is None and not check:
        raise typer.BadParameter(
            "name the OAuth client file that the Cloud console let you download", param_hint="FILE"
        )
    from syft_flwr.drive.login import log_in

    if file is None or check:
        _check(load_email(email))
    else:
        address = log_in(file, load_endpoint(), load_email(email), ask=_ask if no_browser else None)
        say(f"{address} is logged in")


def logout(email: EmailOption = None) -> None:
    """Revoke an account's token and remove it from this machine."""
    from syft_flwr.cli.account import required_email
    from syft_flwr.drive.login import log_out

    address = required_email(email)
    log_out(load_endpoint(), address)
    say(f"{address} is logged out")


def _ask(address: str) -> str:
    typer.echo(f"Open this address in any browser, and allow the access:\n\n{address}\n", err=True)
    say("The browser then ends at a page that it can't load: its address holds the code.", err=True)
    with question_apart():
        answer: str = typer.prompt("That page's address, or the code", err=True)
    return answer


def _check(address: str | None) -> None:
    from syft_flwr.drive.login import check
    from syft_flwr.drive.tokens import logged_in

    endpoint = load_endpoint()
    accounts = [address] if address else logged_in(endpoint)
    if not accounts:
        raise CredentialsError("no account is logged in; log in with: syft-flwr login CLIENT_FILE")
    failed = False
    for account in accounts:
        try:
            check(endpoint, account)
            say(f"{account}: logged in")
        except SyftFlwrError as error:
            failed = True
            say(f"{account}: {error}")
    if failed:
        raise typer.Exit(1)
