"""``syft-flwr watch``: see what comes to an account."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import typer

from syft_flwr.cli.options import EmailOption, PollIntervalOption
from syft_flwr.cli.output import errors_end_the_command
from syft_flwr.cli.quota import QuotaPerDayOption, QuotaPerMinuteOption, tell_spending
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

if TYPE_CHECKING:
    from syft_flwr.runtime import DriveRuntime


def watch(  # noqa: PLR0917 - typer passes options by name
    email: EmailOption = None,
    app: AppOption = None,
    endpoint: EndpointOption = None,
    sender: SenderOption = None,
    kind: KindOption = None,
    count: CountOption = None,
    as_json: JsonOption = False,
    poll_interval: PollIntervalOption = None,
    quota_per_minute: QuotaPerMinuteOption = None,  # noqa: ARG001 - its callback hands it on
    quota_per_day: QuotaPerDayOption = None,  # noqa: ARG001 - likewise
) -> None:
    """Print an account's feed as it comes, until Ctrl-C: messages, rejections and errors.

    Watching takes nothing away: requests wait for whoever handles them.
    """
    ended = threading.Event()
    printer = EventPrinter(
        now=time.time,
        apps=app,
        endpoints=endpoint,
        senders=sender,
        kinds=kind,
        count=count,
        as_json=as_json,
        on_end=ended.set,
    )
    with (
        errors_end_the_command(),
        printed_once(),
        observing(email, poll_interval) as runtime,
    ):
        printer.watch(runtime)
        follow(runtime, ended, f"watching the feed of {runtime.email} (Ctrl-C ends it)")


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
    tell_spending(runtime.email, runtime.meter)
