"""``syft-flwr replay``: see a recorded feed again."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection
from datetime import UTC, datetime
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from syft_flwr.cli.lines import Failures, Filter, Lines, printed_once
from syft_flwr.cli.options import AppOption, CountOption, EndpointOption, RecordingArgument, SenderOption
from syft_flwr.cli.output import say
from syft_flwr.errors import ConfigurationError

if TYPE_CHECKING:
    from syft_flwr.feed.event_text import Event
    from syft_flwr.replay import Replay


class Kind(StrEnum):
    """What a line may be about."""

    CHANGE = "change"
    REQUEST = "request"
    RESPONSE = "response"
    REPLIED = "replied"
    REJECTED = "rejected"
    ERROR = "error"


KindOption = Annotated[
    list[Kind] | None,
    typer.Option(
        "--kind", help="Only of this kind; repeat it. Mere changes show only when asked for.", case_sensitive=False
    ),
]


def replay(  # noqa: PLR0917 - typer passes options by name
    recording: RecordingArgument,
    speed: Annotated[
        float | None, typer.Option(help="So many times as fast as it was; by default as fast as it can be read.")
    ] = None,
    app: AppOption = None,
    endpoint: EndpointOption = None,
    sender: SenderOption = None,
    kind: KindOption = None,
    count: CountOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object a line.")] = False,
    allow_cut_off: Annotated[
        bool, typer.Option("--allow-cut-off", help="Leave out a last line that is not whole.")
    ] = False,
    only: Annotated[
        str | None,
        typer.Option("--only", metavar="ID", help="Write what concerns one exchange into --out, and print nothing."),
    ] = None,
    out: Annotated[Path | None, typer.Option(dir_okay=False, help="The new recording, with --only.")] = None,
    compare: Annotated[
        bool,
        typer.Option("--compare", help="Print the first decision that is not the recorded one, and exit with 1."),
    ] = False,
    handler: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:NAME",
            help="With --compare: a handler for all endpoints, or P2PFileEvents; answers are compared, too.",
        ),
    ] = None,
) -> None:
    """Print what a recorded feed brings. No account and no network are needed."""
    from syft_flwr.replay import replay as open_replay

    if compare and (only is not None or out is not None):
        raise typer.BadParameter("cut the recording first, and compare what is cut out then", param_hint="--compare")
    if as_json and (compare or only is not None):
        raise typer.BadParameter("what --compare and --only do is told in words", param_hint="--json")
    if only is not None or out is not None:
        _cut(recording, only, out, allow_cut_off=allow_cut_off)
        return
    if compare or handler is not None:
        _compare(recording, handler, compare=compare, allow_cut_off=allow_cut_off)
        return

    if speed is not None and speed <= 0:
        raise typer.BadParameter("must be positive", param_hint="--speed")
    with printed_once(), open_replay(recording, speed=speed, allow_cut_off=allow_cut_off) as feed:
        if not feed.recording.ended:
            say("the recording has no end: it is still being written, or its recorder was killed", err=True)
        printer = EventPrinter(feed, Filter(app, endpoint, sender), kinds=kind, count=count, as_json=as_json)
        printer.play()


def _cut(recording: Path, only: str | None, out: Path | None, *, allow_cut_off: bool) -> None:
    from syft_flwr.recording.cut import cut
    from syft_flwr.recording.reader import read_recording

    if only is None or out is None:
        raise typer.BadParameter("--only ID and --out FILE go together")
    lines = cut(read_recording(recording, allow_cut_off=allow_cut_off), only, out)
    say(f"{out}: {lines} lines", err=True)


def _compare(path: Path, handler: str | None, *, compare: bool, allow_cut_off: bool) -> None:
    if not compare:
        raise typer.BadParameter("it goes with --compare", param_hint="--handler")
    with printed_once():
        from syft_flwr.recording.reader import read_recording
        from syft_flwr.testing.regression import compare as compare_recording

        recording = read_recording(path, allow_cut_off=allow_cut_off)
        result = compare_recording(recording, None if handler is None else _loaded(handler))
    if result.differences:
        first, more = result.differences[0], len(result.differences) - 1
        say(f"{path}: line {first.line}: {first.what}")
        say(f"{more} more differ" if more else "nothing else differs", err=True)
        raise typer.Exit(1)
    answers = "answers were not compared: name a --handler" if handler is None else f"{result.replies} answers"
    say(f"{path}: the same: {result.messages} messages, {answers}", err=True)


def _loaded(name: str) -> Any:
    """Import a handler from the working directory, or from what is installed."""
    from syft_flwr.events import P2PFileEvents

    module, _, attribute = name.partition(":")
    if not (module and attribute):
        raise typer.BadParameter(f"{name} is not MODULE:NAME", param_hint="--handler")
    sys.path.insert(0, str(Path.cwd()))
    try:
        found = getattr(import_module(module), attribute)
    except (Exception, SystemExit) as error:  # whatever the module raises
        raise ConfigurationError(f"can't import the handler {name}: {type(error).__name__}: {error}") from error
    finally:
        sys.path.pop(0)
    if not (callable(found) or isinstance(found, P2PFileEvents)):
        raise ConfigurationError(f"the handler {name} is a {type(found).__name__}; name a function, or P2PFileEvents")
    return found


class EventPrinter:
    """Writes a feed's events that pass the filters to stdout, a line each, flushed at once. Thread-safe.

    Args:
        feed: Their feed.
        wanted: Which of them.
        kinds: Likewise; by default all but mere changes.
        count: Ends after so many lines.
    """

    def __init__(
        self, feed: Replay, wanted: Filter, *, kinds: Collection[Kind] | None, count: int | None, as_json: bool
    ) -> None:
        self._feed = feed
        self._filter = wanted
        self._kinds = {str(kind) for kind in kinds or set(Kind) - {Kind.CHANGE}}
        self._as_json = as_json
        self._lines = Lines(count, feed.stop)
        self._failures = Failures()

    def play(self) -> None:
        """Print what comes until the feed ends, there were enough lines, or nobody reads any more.

        Raises:
            OSError: A line could not be written.
        """
        runtime = self._feed.runtime
        streams = (runtime.messages, runtime.replied, runtime.rejected, runtime.errors)
        for stream in (runtime.changes, *streams) if Kind.CHANGE in self._kinds else streams:
            stream.subscribe(self._print)
        self._feed.run()
        self._lines.close()

    def _print(self, event: Event) -> None:
        from syft_flwr.feed.event_text import describe, to_json

        document, now = to_json(event), self._feed.time()
        if document["event"] not in self._kinds or not self._filter.passes(document):
            return
        time = datetime.fromtimestamp(now, UTC)
        if self._as_json:
            told = {"time": time.isoformat(timespec="milliseconds"), **document}
            self._lines.print(json.dumps(told, ensure_ascii=False))
        elif not self._goes_on(document, now):
            self._lines.print(f"{time.astimezone():%H:%M:%S} {describe(event)}")

    def _goes_on(self, document: dict[str, Any], now: float) -> bool:
        """Tell whether this is a failure that was told, and concerns no message."""
        if document["event"] != "error":
            return False
        return self._failures.goes_on(document["where"], document["error"], now) and "file_id" not in document
