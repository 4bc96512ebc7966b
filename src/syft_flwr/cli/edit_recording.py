"""``syft-flwr edit-recording``: change what a recorded message said."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from syft_flwr.cli.options import RecordingArgument
from syft_flwr.cli.output import say


def edit_recording(
    recording: RecordingArgument,
    body: Annotated[
        list[str],
        typer.Option(
            metavar="NAME=FILE",
            help="Put FILE in the place of a body: a message's that came, by its ID, any message's, by its file name "
            "(ID.request, ID.response), or all that have a SHA-256. May be repeated.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(dir_okay=False, help="The new recording.", show_default=False)],
) -> None:
    """Write a recording anew with other bodies; lengths and checksums are mended everywhere."""
    named = [pair.partition("=") for pair in body]
    if wrong := next((pair for pair, (name, _, file) in zip(body, named, strict=True) if not (name and file)), None):
        raise typer.BadParameter(f"{wrong} is not NAME=FILE", param_hint="--body")
    if len({name for name, _, _ in named}) < len(named):
        raise typer.BadParameter("a name stands there twice", param_hint="--body")
    from syft_flwr.recording.edit import replace_bodies
    from syft_flwr.recording.reader import read_recording

    bodies = {name: Path(file).read_bytes() for name, _, file in named}
    names = replace_bodies(read_recording(recording), bodies, out)
    say(f"{out}: another body in {', '.join(names)}", err=True)
