"""Options and arguments that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EmailOption = Annotated[str | None, typer.Option("--email", help="This account; by default SYFTBOX_EMAIL.")]
PollIntervalOption = Annotated[
    float | None, typer.Option("--poll-interval", min=0.01, help="Seconds between polls while messages flow.")
]
YesOption = Annotated[bool, typer.Option("--yes", help="Without a question.")]

# Of a project and its run.
ProjectArgument = Annotated[
    Path, typer.Argument(help="Directory of a Flower project (with a pyproject.toml).", show_default=False)
]
RunConfigOption = Annotated[
    list[str] | None,
    typer.Option("--run-config", "-c", help="Overrides of the run config: 'key=value key2=\"text\"'.", metavar="TEXT"),
]
RoundsOption = Annotated[int | None, typer.Option(min=1, help="Rounds, as the run-config key num-server-rounds.")]

# Of what is printed line by line.
AppOption = Annotated[list[str] | None, typer.Option("--app", help="Only of this app; repeat it.")]
EndpointOption = Annotated[list[str] | None, typer.Option("--endpoint", help="Only of this endpoint; repeat it.")]
SenderOption = Annotated[list[str] | None, typer.Option("--sender", help="Only from this sender; repeat it.")]
CountOption = Annotated[int | None, typer.Option(min=1, help="End after so many lines.")]
RecordingArgument = Annotated[
    Path, typer.Argument(exists=True, dir_okay=False, help="The recorded feed.", show_default=False)
]
