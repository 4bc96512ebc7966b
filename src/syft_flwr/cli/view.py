"""Shows the progress of a run: plain lines anywhere, a live table in a terminal."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from syft_flwr.cli.bill import spent
from syft_flwr.cli.output import count, duration
from syft_flwr.printable import printable, printable_data

_MOST_COLUMNS = 4
_UNUSED: Mapping[str, Any] = {}
_LONGEST_LINE = 20_000
_PHASES = {"train": "train", "evaluate": "evaluate", "server": "server-side"}


class Lines:
    """Prints each event that matters as a line, with the time."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or _console()
        self._lock = threading.Lock()
        self._last = ""

    def __call__(self, event: str, /, **fields: Any) -> None:
        line = event_line(event, fields)
        with self._lock:
            if line and line != self._last:
                self._last = line
                self._console.print(Text(f"{time.strftime('%H:%M:%S')} {line}"))


def _console() -> Console:
    """Return a console that folds lines between words in a terminal; programs that read a pipe get them whole."""
    console = Console(highlight=False)
    console.soft_wrap = not console.is_terminal
    return console


def event_line(event: str, fields: Mapping[str, Any]) -> str:
    """Return an event as a line, ``""`` if it does not matter."""
    write = _LINES.get(event)
    return printable(write(fields) or "", _LONGEST_LINE) if write is not None else ""


class View:
    """A simulation in progress: lines, or in a terminal a live table of the owners above them. A context manager."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or _console()
        self._lines = Lines(self._console)
        self._board = Board()
        self._live = Live(get_renderable=self._board.render, console=self._console, transient=True)

    def __call__(self, event: str, /, **fields: Any) -> None:
        self._board(event, **fields)
        if event not in ("bill", "result") and (not self._console.is_terminal or event not in _SHOWN_ON_BOARD):
            self._lines(event, **fields)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._live.stop()

    def summary(self, result: Mapping[str, Any]) -> None:
        """Print metrics per round, the bill, the wall time and where the result is."""
        if result["rounds"]:
            self._console.print(metrics_table(result["rounds"]))
        self._console.print(bill_table(result["bill"]))
        directory = result["directory"]
        paths = f"Wall time {result['wall_seconds']:.1f} s. Result: {directory}/result.json"
        if result.get("arrays"):
            paths += f"\nArrays: {directory}/{result['arrays']}"
        self._console.print(Text(paths), soft_wrap=True)  # a path with a space stays whole


class Board:
    """What everybody does at the moment. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._round = "starting"
        self._owners: dict[str, tuple[str, str]] = {}

    def __call__(self, event: str, /, **fields: Any) -> None:
        with self._lock:
            fields = printable_data(fields)
            owner = fields.get("owner", "")
            if event == "round":
                self._round = f"round {fields['round']} of {fields['of']}"
            elif event == "waiting":
                self._round = _waiting(fields)
            elif event == "ready":
                self._owners[owner] = ("ready", "")
            elif event == "working":
                self._owners[owner] = (f"{fields['type']} …", "")
            elif event == "done":
                end = "failed" if fields["error"] else "done"
                self._owners[owner] = (f"{fields['type']} {end}", f"{fields['seconds']:.2f} s")
            elif event == "stopped":
                self._owners[owner] = ("left", "")

    def render(self) -> Group:
        with self._lock:
            table = Table.grid(padding=(0, 2))
            for owner, (state, took) in sorted(self._owners.items()):
                table.add_row(Text(owner), Text(state), Text(took, style="dim"))
            return Group(Text(self._round, style="bold"), table)


def metrics_table(rounds: list[Mapping[str, Any]]) -> Table:
    """Return the metrics of each round as a table."""
    columns = list(dict.fromkeys((phase, name) for row in rounds for phase in _PHASES for name in row.get(phase, ())))
    table = Table(title="Metrics per round", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("round", justify="right")
    for phase, name in columns:
        table.add_column(Text(f"{_PHASES[phase]}\n{printable(name)}"), justify="right")
    for row in rounds:
        name = f"{row['start']}.{row['round']}" if "start" in row else str(row["round"])
        table.add_row(name, *(_number(row.get(phase, {}).get(name)) for phase, name in columns))
    return table


def bill_table(bills: Mapping[str, Mapping[str, Any]]) -> Table:
    """Return the quota units of each method, a column per account, and the calls; many owners share a column."""
    *owners, aggregator = bills
    columns = {_short(account, bills): [bill] for account, bill in bills.items()}
    if len(owners) > _MOST_COLUMNS:
        columns = {f"{len(owners)} owners": [bills[account] for account in owners], aggregator: [bills[aggregator]]}
    everyone = list(bills.values())
    groups = [*columns.values(), everyone]
    table = Table(title="Quota bill, in units", title_justify="left", box=SIMPLE_HEAD, padding=(0, 0, 0, 1))
    table.add_column("method", overflow="ellipsis", no_wrap=True)
    for name in (*columns, "all", "calls"):
        table.add_column(name, justify="right")
    for method in sorted({method for bill in everyone for method in bill["methods"]}):
        usages = [[bill["methods"].get(method, _UNUSED) for bill in group] for group in groups]
        table.add_row(method, *(_sum(group, "units") for group in usages), _sum(usages[-1], "calls"))
    table.add_section()
    table.add_row("all", *(_sum(group, "units") for group in groups), _sum(everyone, "calls"))
    table.add_row("saved", *(_sum(group, "saved") for group in groups), "")
    return table


def _short(account: str, accounts: Mapping[str, Any]) -> str:
    """Return the part of an address before the ``@`` if it tells the accounts apart."""
    local = account.partition("@")[0]
    return local if sum(other.partition("@")[0] == local for other in accounts) == 1 else account


def _sum(usages: Sequence[Mapping[str, Any]], key: str) -> str:
    return f"{total:,}" if (total := sum(int(usage.get(key, 0)) for usage in usages)) else "-"


def _number(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else "-" if value is None else printable(value)


def _metrics(fields: Mapping[str, Any]) -> str:
    values = ", ".join(f"{name} {_number(value)}" for name, value in fields["values"].items())
    return f"round {fields['round']}, {_PHASES[fields['phase']]}: {values}"


def _owner(fields: Mapping[str, Any]) -> str | None:
    if fields["state"] == "differs":
        return str(fields["reason"])
    states = {
        "present": "is here",
        "away": f"is away: it {fields.get('reason')}",
        "unreachable": str(fields.get("reason", "")),
    }
    state = states.get(str(fields["state"]))
    return f"{fields['owner']} {state}" if state else None


def _done(fields: Mapping[str, Any]) -> str:
    end = f"failed: {fields['error']}" if fields["error"] else f"done in {fields['seconds']:.2f} s"
    return f"{fields['owner']}: {_task(fields)} {end}"


def _task(fields: Mapping[str, Any]) -> str:
    return f"{fields['type']} (round {fields['group']})" if fields.get("group") else str(fields["type"])


def _project(fields: Mapping[str, Any]) -> str:
    if "owner" in fields:
        return f"{fields['owner']} serves {fields['name']}, hash {fields['hash'][:12]}, for {fields['aggregator']}"
    return (
        f"run {fields['run_id']} of {fields['name']}, hash {fields['hash'][:12]}, "
        f"{count(len(fields['owners']), 'data owner')}"
    )


def _interrupted(fields: Mapping[str, Any]) -> str:
    return (
        f"the run before, {fields['run_id']}, was interrupted in round {fields['round'] or 1}. This is a new run from "
        f"the start; 'syft-flwr run --resume' would have gone on with it. What there is of it is in {fields['out']}"
    )


def _waiting(fields: Mapping[str, Any]) -> str:
    here = len(fields["present"])
    needed = fields["needed"]
    who = count(here, "data owner") if needed is None else f"{here} of {count(needed, 'data owner')}"
    seen = {owner: f"; last seen {duration(seconds)} ago" for owner, seconds in fields["last_seen"].items()}
    missing = ", ".join(f"{owner} ({reason}{seen.get(owner, '')})" for owner, reason in fields["missing"].items())
    return f"waiting for {duration(fields['seconds'])}: {who} here{missing and '; missing '}{missing}; {fields['why']}"


def _awaiting(fields: Mapping[str, Any]) -> str:
    owners = ", ".join(
        owner if seen is None else f"{owner} (last seen {duration(seen)} ago)"
        for owner, seen in fields["owners"].items()
    )
    left = f"at most {duration(max(0.0, fields['left']))} more"
    return f"{_task(fields)}: waiting for {duration(fields['seconds'])} for {owners}; {left}"


def _too_few(fields: Mapping[str, Any]) -> str:
    return (
        f"the strategy requires {fields['required']} data owners and this run has {fields['owners']}: it will wait for "
        "ever. Add data owners, or lower the strategy's min_available_nodes (and the like) in the ServerApp"
    )


def _failed(fields: Mapping[str, Any]) -> str:
    told = "; ".join(f"{owner}: {reason}" for owner, reason in sorted(fields["reasons"].items()))
    return f"no data owner could do {fields['type']!r}. {told}. The owners' logs have the tracebacks"


_SHOWN_ON_BOARD = {"waiting", "round", "ready", "working", "done", "stopped"}

_LINES: dict[str, Callable[[Mapping[str, Any]], str | None]] = {
    "project": _project,
    "waiting": _waiting,
    "awaiting": _awaiting,
    "outage": lambda f: f"Drive can't be reached from here, waiting for it: {f['reason']}",
    "outage_over": lambda f: f"Drive can be reached again, after {duration(f['seconds'])}",
    "short": _too_few,
    "failed": _failed,
    "output": lambda f: f["line"],
    "owner": _owner,
    "run_started": lambda _: "all set, the ServerApp starts",
    "round": lambda f: f"round {f['round']} of {f['of']}",
    "late": lambda f: f"{f['owner']} did not answer {_task(f)} in time",
    "refused": lambda f: f"a reply of {f['owner']} was refused: {f['reason']}",
    "metrics": _metrics,
    "ready": lambda f: f"{f['owner']} is ready",
    "working": lambda f: f"{f['owner']}: {_task(f)} …",
    "done": _done,
    "ignored": lambda f: f"{f['owner']}: a message was not acted on: {f['reason']}",
    "overrides": lambda f: f"{f['owner']}: the aggregator changes the run config: {f['run_config']}",
    "stopped": lambda f: f"{f['owner']} leaves: {f['reason']}",
    "checkpoint": lambda f: f"checkpoint: {f['path']}",
    "interrupted": _interrupted,
    "resumed": lambda f: f"run {f['run_id']} goes on after round {f['round']}",
    "bill": lambda f: f"{f['account']} {spent(f)}",
    "result": lambda f: f"result: {f['path']}" + (f", arrays: {f['arrays']}" if f["arrays"] else ""),
}
