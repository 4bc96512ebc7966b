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
    only: Annotated[
        str | None,
        typer.Option("--only", metavar="ID", help="Write what concerns one exchange into --out, and print nothing."),
    ] = None,
    out: Annotated[Path | None, typer.Option(dir_okay=False, help="The new recording, with --only.")] = None,
) -> None:
    """Print a recorded feed as "watch" prints a live one. No account and no network are needed."""
    from syft_flwr.replay import replay as open_replay

    if only is not None or out is not None:
        _cut(recording, only, out, allow_cut_off=allow_cut_off)
        return

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


def _cut(recording: Path, only: str | None, out: Path | None, *, allow_cut_off: bool) -> None:
    from syft_flwr.recording.cut import cut
    from syft_flwr.recording.reader import read_recording

    if only is None or out is None:
        raise typer.BadParameter("--only ID and --out FILE go together")
    with errors_end_the_command():
        lines = cut(read_recording(recording, allow_cut_off=allow_cut_off), only, out)
    typer.echo(f"{out}: {lines} lines", err=True)
