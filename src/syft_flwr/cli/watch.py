"""``syft-flwr watch``: see what becomes of an account's messages."""

from __future__ import annotations

import json
import shutil
import sys
import threading
import time
from contextlib import ExitStack, suppress
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from syft_flwr.cli.bill import tell_spending
from syft_flwr.cli.lines import Failures, Filter, Lines, printed_once, write_at_once
from syft_flwr.cli.options import AppOption, CountOption, EmailOption, EndpointOption, PollIntervalOption, SenderOption
from syft_flwr.cli.output import say
from syft_flwr.errors import ConfigurationError
from syft_flwr.printable import printable_data
from syft_flwr.settings import parse_duration

if TYPE_CHECKING:
    from collections.abc import Collection

    from syft_flwr.cli.lives import Life
    from syft_flwr.state.events import Happened

_STILL = 2.0
"""Seconds after which a life that does not go on is printed as it is, where no terminal shows it all the time."""
_SHOWN = 8
"""Lives on their way that a terminal shows."""
_WIDTH = 80

Kind = StrEnum(
    "Kind",
    "POLLED SEEN WAITING ADMITTED WITHDRAWN REJECTED HANDLED CONSUMED REPLIED SENT UNSENT ANSWERED DELETED SWEPT PAUSED"
    " IGNORED ERROR",
)
KindOption = Annotated[
    list[Kind] | None,
    typer.Option(
        "--kind",
        help=f"Only what was this at some time; repeat it. One of {', '.join(Kind)}.",
        case_sensitive=False,
        metavar="KIND",
    ),
]


def watch(  # noqa: PLR0917 - typer passes options by name
    email: EmailOption = None,
    app: AppOption = None,
    endpoint: EndpointOption = None,
    sender: SenderOption = None,
    kind: KindOption = None,
    since: Annotated[
        str | None,
        typer.Option(help="Begin with what happened since then: 90s, 10m, 2h, 1d, or a time such as 2026-05-01T12:30."),
    ] = None,
    count: CountOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help='A JSON object for each thing that happens, "version" 1.')
    ] = False,
    poll_interval: PollIntervalOption = None,
) -> None:
    """Print each message with what becomes of it, until Ctrl-C.

    Beside processes of the account it reads what they write down, without a call to Drive. Where none works, it follows
    the feed, which shows what is there and not what happened. Watching takes nothing away.
    """
    ended = threading.Event()
    with printed_once(), ExitStack() as stack:
        from syft_flwr.cli.account import account_of
        from syft_flwr.runtime import DriveRuntime
        from syft_flwr.runtime.onlooker import Onlooker

        account = account_of(email)
        wanted = Filter(app, endpoint, sender)
        printer = LifePrinter(wanted, kinds=kind, count=count, as_json=as_json, on_end=ended.set)
        onlooker = Onlooker(
            account.directory,
            open_feed=lambda: DriveRuntime.observe(account.email, poll_interval=poll_interval),
            on_event=printer.take,
            on_past=printer.remember,
            on_source=lambda processes: say(source(account.email, processes), err=True),
            on_gap=lambda rows: say(gap(rows), err=True),
            on_look=printer.look,
            since=None if since is None else begin_of(since),
        )
        stack.callback(onlooker.close)
        with suppress(KeyboardInterrupt), printer:
            onlooker.begin()
            onlooker.run(ended)
        tell_spending(account.email, onlooker.bill)


def source(email: str, processes: int) -> str:
    """Say where it comes from, and what that can't show."""
    if processes:
        who = "a process" if processes == 1 else f"{processes} processes"
        return f"following {who} of {email} by the event log (Ctrl-C ends it)"
    return (
        f"following the feed of {email}, as no process of it works here (Ctrl-C ends it): what comes and goes between "
        "polls, and what others handle elsewhere, can't be seen"
    )


def gap(rows: int) -> str:
    return f"{rows} rows of the event log were given up before they were read: what they told is missing here"


def begin_of(since: str) -> float:
    """Return the Unix time that ``--since`` means."""
    try:
        begin = datetime.fromisoformat(since).timestamp()
    except ValueError:
        try:
            return time.time() - parse_duration(since, "--since")
        except ConfigurationError as error:
            raise ConfigurationError(f"{error}. A time looks like 2026-05-01T12:30") from error
    if begin > time.time():
        raise ConfigurationError(f"--since {since} is yet to come; name a time that has passed")
    return begin


class LifePrinter:
    """Prints lives, or as JSON the things that happen, as far as they pass the filters. A context manager.

    Args:
        count: Ends after so many lines.
        on_end: Called then, or when nobody reads any more.
    """

    def __init__(
        self, wanted: Filter, *, kinds: Collection[Kind] | None, count: int | None, as_json: bool, on_end: Any
    ) -> None:
        from syft_flwr.cli.lives import Lives

        self._filter = wanted
        self._kinds = {str(kind) for kind in kinds or ()}
        self._as_json = as_json
        self._lines = Lines(count, on_end, self._write)
        self._lives = Lives()
        self._shown: dict[str, int] = {}
        """Of the open lives that were printed as they were, how many steps they had."""
        self._failures = Failures()
        self._live: Any = None
        self._width = max(_WIDTH, shutil.get_terminal_size().columns) if sys.stdout.isatty() else None

    def __enter__(self) -> None:
        if sys.stdout.isatty() and not self._as_json:
            from rich.live import Live

            self._live = Live(get_renderable=self._board, transient=True)
            self._live.start()

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
        for future_id, life in self._lives.open.items():
            if not self._as_json and self._shown.get(future_id) != len(life.steps):
                self._print_life(life)
        self._lines.close()

    def remember(self, event: Happened) -> None:
        """Take what happened before: what is on its way is told of, and no more."""
        self._lives.take(event)

    def take(self, event: Happened) -> None:
        from syft_flwr.cli.lives import other_line, to_json

        taken = self._lives.take(event)
        if self._as_json:
            if self._passes(event.fields, {event.what}):
                self._print(json.dumps(printable_data(to_json(event)), ensure_ascii=False))
            return
        if taken is None:
            is_of_none = "future_id" not in event.fields and self._passes(event.fields, {event.what})
            if is_of_none and not self._goes_on(event):
                self._print(other_line(event))
            return
        future_id, life = taken
        if life.is_over:
            self._shown.pop(future_id, None)
            self._print_life(life)

    def _goes_on(self, event: Happened) -> bool:
        """Tell whether it is a failure that was told."""
        fields = event.fields
        return event.what == "error" and self._failures.goes_on(fields["where"], fields["error"], event.at)

    def look(self) -> None:
        """Print the lives that stand still, where no terminal shows them."""
        if self._as_json or self._live is not None:
            return
        for future_id, life in self._lives.open.items():
            if time.time() - life.changed >= _STILL and self._shown.get(future_id) != len(life.steps):
                self._shown[future_id] = len(life.steps)
                self._print_life(life)

    def _print_life(self, life: Life) -> None:
        fields = {"app": life.app, "endpoint": life.endpoint, "sender": life.peer}
        if self._passes(fields, life.whats):
            self._print(life.line(self._width))

    def _board(self) -> Any:
        from rich.text import Text

        lines = [life.line(self._width) for life in list(self._lives.open.values())[-_SHOWN:]]
        return Text("\n".join(lines), no_wrap=True, style="dim")

    def _print(self, line: str) -> None:
        if line:
            self._lines.print(line)

    def _write(self, line: str) -> None:
        if self._live is not None:
            self._live.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            write_at_once(line)

    def _passes(self, fields: Any, whats: set[str]) -> bool:
        owners = fields.get("file", {}).get("owners", ())
        sender = fields.get("sender") or fields.get("claimed_sender") or next((o["emailAddress"] for o in owners), "")
        wanted = self._filter.passes({"app": fields.get("app"), "endpoint": fields.get("endpoint"), "sender": sender})
        return wanted and (not self._kinds or bool(self._kinds & whats))
