"""``syft-flwr replay``: see a recorded feed again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from syft_flwr.cli.output import errors_end_the_command
from syft_flwr.cli.stream import (
    AppOption,
    CountOption,
    EndpointOption,
    EventPrinter,
    JsonOption,
    KindOption,
    SenderOption,
    printed_once,
)


def replay(  # noqa: PLR0917 - typer passes options by name
    recording: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="The recorded feed.", show_default=False)
    ],
    speed: Annotated[
        float | None, typer.Option(help="So many times as fast as it was; by default as fast as it can be read.")
    ] = None,
    app: AppOption = None,
    endpoint: EndpointOption = None,
    sender: SenderOption = None,
    kind: KindOption = None,
    count: CountOption = None,
    as_json: JsonOption = False,
    allow_cut_off: Annotated[
        bool, typer.Option("--allow-cut-off", help="Leave out a last line that is not whole.")
    ] = False,
) -> None:
    """Print a recorded feed as "watch" prints a live one. No account and no network are needed."""
    from syft_flwr.replay import replay as open_replay

    if speed is not None and speed <= 0:
        raise typer.BadParameter("must be positive", param_hint="--speed")
    with (
        errors_end_the_command(),
        printed_once(),
        open_replay(recording, speed=speed, allow_cut_off=allow_cut_off) as feed,
    ):
        if not feed.recording.ended:
            typer.echo("the recording has no end: it is still being written, or its recorder was killed", err=True)
        printer = EventPrinter(
            now=feed.time,
            apps=app,
            endpoints=endpoint,
            senders=sender,
            kinds=kind,
            count=count,
            as_json=as_json,
            on_end=feed.stop,
        )
        printer.watch(feed.runtime)
        feed.run()
