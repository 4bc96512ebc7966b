"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

EmailOption = Annotated[str | None, typer.Option("--email", help="This account; by default SYFTBOX_EMAIL.")]
PollIntervalOption = Annotated[
    float | None, typer.Option("--poll-interval", min=0.01, help="Seconds between polls while messages flow.")
]
YesOption = Annotated[bool, typer.Option("--yes", help="Without a question.")]
