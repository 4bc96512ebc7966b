"""``syft-flwr peers``: with whom an account has inboxes; make them, share them, remove them."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from syft_flwr.addresses import same_address
from syft_flwr.cli.bill import tell_spending
from syft_flwr.cli.limits import LimitedCommand
from syft_flwr.cli.options import EmailOption, YesOption
from syft_flwr.cli.output import confirm, say
from syft_flwr.errors import ConfigurationError
from syft_flwr.suggestions import near_match
from syft_flwr.wire import inbox_path, validate_address

if TYPE_CHECKING:
    from syft_flwr.drive.peers import Inbox

peers = typer.Typer(
    rich_markup_mode=None,
    invoke_without_command=True,
    help="List, add or remove those with whom an account has inboxes.",
)

PeerArgument = Annotated[str, typer.Argument(help="The other account's address.", metavar="PEER", show_default=False)]
JsonOption = Annotated[bool, typer.Option("--json", help="A JSON list on stdout.")]


@peers.callback()
def main(context: typer.Context, email: EmailOption = None, as_json: JsonOption = False) -> None:
    """List, add or remove those with whom an account has inboxes."""
    if context.invoked_subcommand is None:
        show(email, as_json)
    elif email is not None or as_json:
        raise typer.BadParameter(f"put it behind {context.invoked_subcommand}", param_hint="--email and --json")


@peers.command("list", cls=LimitedCommand)
def show(email: EmailOption = None, as_json: JsonOption = False) -> None:
    """List the peers, and whether both sides can write."""
    from syft_flwr.cli.account import account_of, connected
    from syft_flwr.drive.peers import find_peers

    with connected(account_of(email)) as gateway:
        found = find_peers(gateway, gateway.about().email)
    if as_json:
        typer.echo(json.dumps([asdict(peer) for peer in found]))
        return
    for peer in found:
        say(peer.email)
        for inbox in peer.inboxes:
            say(f"  {_words(inbox)}")
    if not found:
        say("no inbox with anybody; the first message makes them, or: syft-flwr peers add PEER --app APP")


@peers.command(cls=LimitedCommand)
def add(
    peer: PeerArgument,
    app: Annotated[str, typer.Option(help="The app, such as flwr/diabetes.", show_default=False)],
    endpoint: Annotated[str, typer.Option(help="The endpoint.")] = "messages",
    email: EmailOption = None,
) -> None:
    """Make the inboxes with a peer, in both directions, and share them; those that are there stay."""
    from syft_flwr.runtime import DriveRuntime
    from syft_flwr.runtime.handle import engine_of

    me, peer = _parties(email, peer)
    paths = [inbox_path(*parties, app, endpoint) for parties in ((me, peer), (peer, me))]
    with DriveRuntime.open(me) as runtime:
        engine = engine_of(runtime)
        engine.follower.identify()
        engine.parts.inboxes.ensure(paths, peer=peer)
    tell_spending(me, runtime.meter.snapshot().to_json())
    say(f"{me} and {peer} have inboxes for {app}")


@peers.command(cls=LimitedCommand)
def remove(peer: PeerArgument, email: EmailOption = None, yes: YesOption = False) -> None:
    """Delete this account's inboxes with a peer, and what is in them; the peer's own stay with the peer."""
    from syft_flwr.cli.account import account_of, connected
    from syft_flwr.drive.peers import find_peers

    me, peer = _parties(email, peer)
    with connected(account_of(me)) as gateway:
        known = find_peers(gateway, gateway.about().email)
        found = next((each for each in known if same_address(each.email, peer)), None)
        if found is None:
            raise ConfigurationError(f"there is no inbox with {peer}{near_match(peer, [each.email for each in known])}")
        for inbox in found.inboxes:
            left = "is a stranger's" if inbox.is_foreign else f"belongs to {peer}"
            say(f"{inbox.name}: {'is deleted' if inbox.is_mine else f'{left}, and stays'}")
        mine = [inbox for inbox in found.inboxes if inbox.is_mine]
        if mine and not yes and not confirm("Delete, with all messages in them?"):
            raise ConfigurationError("nothing was deleted")
        for inbox in mine:
            gateway.delete(inbox.id)
    say(f"{len(mine)} deleted")


def _parties(email: str | None, peer: str) -> tuple[str, str]:
    """Return the account's address and the peer's, before Drive is asked anything.

    Raises:
        ConfigurationError: No account is named, or the peer is the account itself.
        InvalidNameError: One is no address.
    """
    from syft_flwr.cli.account import required_email

    me, peer = required_email(email), validate_address(peer)
    if same_address(me, peer):
        raise ConfigurationError(f"{peer} is this account itself; name the other one")
    return me, peer


def _words(inbox: Inbox) -> str:
    way = "to them: " if inbox.outgoing else "from them:"
    if inbox.is_foreign:
        return f"{way} {inbox.trouble}"
    owner = "yours" if inbox.is_mine else "theirs"
    return f"{way} {owner}, {inbox.trouble or 'both can write'}"
