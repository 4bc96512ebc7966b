"""``syft-flwr record``: write an account's feed to a file."""

from __future__ import annotations

import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from syft_flwr.cli.options import EmailOption, PollIntervalOption
from syft_flwr.cli.output import errors_end_the_command
from syft_flwr.cli.quota import QuotaPerDayOption, QuotaPerMinuteOption, spent

if TYPE_CHECKING:
    from syft_flwr.models import FeedError
    from syft_flwr.runtime import DriveRuntime


def record(  # noqa: PLR0917 - typer passes options by name
    out: Annotated[Path, typer.Option(help="The file, JSON Lines; an existing recording goes on.", dir_okay=False)],
    email: EmailOption = None,
    bodies: Annotated[
        bool,
        typer.Option("--bodies", help="Download messages' contents, too, into OUT.bodies, 4 GiB at most; costs quota."),
    ] = False,
    redact: Annotated[
        bool,
        typer.Option(
            "--redact",
            help="Replace addresses and names, each always by the same other one, and make sizes coarse; "
            "no anonymisation: IDs, times, and the names of apps and endpoints stay.",
        ),
    ] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Record nothing: end OUT, whose recorder was killed, and say what is lost.")
    ] = False,
    message: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="Record one message that is still in Drive, with its body, and end; OUT must be new.",
            show_default=False,
        ),
    ] = None,
    seconds: Annotated[float | None, typer.Option("--for", min=0, help="End after so many seconds.")] = None,
    poll_interval: PollIntervalOption = None,
    quota_per_minute: QuotaPerMinuteOption = None,  # noqa: ARG001 - its callback hands it on
    quota_per_day: QuotaPerDayOption = None,  # noqa: ARG001 - likewise
) -> None:
    """Record an account's feed until Ctrl-C, to be replayed in a test or with "syft-flwr replay".

    Recording takes nothing away: requests wait for whoever handles them.
    """
    if repair:
        with errors_end_the_command():
            from syft_flwr.recording.reader import repair as repair_recording

            typer.echo(f"{out}: lost: {repair_recording(out)}")
        return
    if message is not None:
        if redact:
            raise typer.BadParameter(
                "a message is recorded with its body, which can't be redacted", param_hint="--redact"
            )
        _record_message(message, email, out)
        return
    with errors_end_the_command():
        from syft_flwr.errors import RecordingError
        from syft_flwr.feed import failed, with_body
        from syft_flwr.feed.event_text import describe
        from syft_flwr.runtime.recorders import RECORDING

        ended, lost = threading.Event(), list[str]()

        def tell(error: FeedError) -> None:
            typer.echo(describe(error), err=True)
            if error.where == RECORDING:
                lost.append(getattr(error.error, "strerror", None) or str(error.error))
                ended.set()

        with observing(email, poll_interval) as runtime, runtime.record_to(out, bodies=bodies, redact=redact):
            runtime.errors.subscribe(tell)
            if bodies:  # what is downloaded is recorded
                runtime.messages.pipe(with_body(runtime), failed).subscribe(tell)
            follow(runtime, ended, f"recording the feed of {runtime.email} to {out} (Ctrl-C ends it)", seconds)
        if lost:
            raise RecordingError(f"can't write {out} any more: {lost[0]}; --repair makes of it what can be read")


def observing(email: str | None, poll_interval: float | None) -> DriveRuntime:
    """Open a runtime that looks on."""
    from syft_flwr.cli.account import required_email
    from syft_flwr.runtime import DriveRuntime

    return DriveRuntime.observe(required_email(email), poll_interval=poll_interval)


def follow(runtime: DriveRuntime, ended: threading.Event, notice: str, seconds: float | None = None) -> None:
    """Follow the feed until ``ended`` is set, so many seconds have passed, or Ctrl-C, which is the usual way to end.

    The notice is printed once the feed is followed.

    Raises:
        SyftFlwrError: The feed can't be followed, or can't any more.
    """
    with suppress(KeyboardInterrupt):
        runtime.poll_once()
        typer.echo(notice, err=True)
        runtime.run_forever(ended, seconds)
    if sys.stderr.isatty():
        typer.echo(spent(runtime.meter.snapshot().to_json()), err=True)


def _record_message(future_id: str, email: str | None, out: Path) -> None:
    with errors_end_the_command():
        from syft_flwr.cli.account import account_of, connected
        from syft_flwr.cli.record_message import record_message
        from syft_flwr.errors import InvalidNameError
        from syft_flwr.wire import is_future_id

        if not is_future_id(future_id):
            raise InvalidNameError(
                f"{future_id!r} is no message's ID, which looks like 3f1c8e52-0d5e-4c1b-9a53-6a2d7e90b1f4"
            )
        account = account_of(email)
        with connected(account) as gateway:
            names = record_message(gateway, account.email, future_id, out, state=account.directory)
    typer.echo(f"{out}: {', '.join(names)}", err=True)
