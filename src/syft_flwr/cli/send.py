"""``syft-flwr send``: one request from the shell."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from syft_flwr.cli.bill import tell_spending
from syft_flwr.cli.options import EmailOption
from syft_flwr.cli.output import fail, say
from syft_flwr.printable import printable
from syft_flwr.wire import inbox_path

_LONGEST_LINE = 10_000


def send(  # noqa: PLR0917 - typer passes options by name
    recipient: Annotated[str, typer.Argument(help="The address of who is to answer.", show_default=False)],
    endpoint: Annotated[str, typer.Argument(help="The endpoint, such as messages.", show_default=False)],
    app: Annotated[str, typer.Option(help="The app, such as flwr/diabetes.", show_default=False)],
    file: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="The body; by default standard input.")
    ] = None,
    email: EmailOption = None,
    timeout: Annotated[float, typer.Option(min=0, help="Seconds to wait for the reply.")] = 120.0,
) -> None:
    """Send one request, and write the reply to standard output; without one in time the request is withdrawn."""
    from syft_flwr.cli.account import required_email
    from syft_flwr.rpc import P2PFileRpc

    me = required_email(email)
    inbox_path(me, recipient, app, endpoint)  # a name that can't be is told before anything else
    if file is None and sys.stdin.isatty():
        say("the body is read from here; Ctrl-D ends it", err=True)
    with ExitStack() as stack:
        rpc = P2PFileRpc(me, app)
        meter = rpc.runtime.meter
        stack.callback(lambda: tell_spending(me, meter.snapshot().to_json()))
        stack.enter_context(rpc)
        body = sys.stdin.buffer.read() if file is None else file.read_bytes()
        future_id = rpc.send(recipient, app, endpoint, body)
        say(f"sent {len(body)} bytes, waiting for {recipient} (at most {timeout:g} s)", err=True)
        try:
            reply = rpc.wait([future_id], timeout)
        finally:
            rpc.delete_future(future_id)
    if future_id not in reply:
        fail(
            f"{recipient} did not answer within {timeout:g} s, and the request is withdrawn; ask whether they run, "
            "or wait longer with --timeout"
        )
    _write(reply[future_id])


def _write(reply: bytes) -> None:
    """Write a reply as it is, but to a terminal as lines that can't steer it."""
    if not sys.stdout.isatty():
        sys.stdout.buffer.write(reply)
        return
    for line in reply.decode(errors="replace").splitlines():
        typer.echo(printable(line, _LONGEST_LINE))
