"""Shows the progress of a run: plain lines anywhere, a live table in a terminal."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, Self

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from syft_flwr.cli.event_lines import PHASES, event_line, number, waiting
from syft_flwr.printable import printable, printable_data

_MOST_COLUMNS = 4
_UNUSED: Mapping[str, Any] = {}
_SHOWN_ON_BOARD = {"waiting", "round", "ready", "working", "done", "stopped"}


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
                self._round = waiting(fields)
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
    columns = list(dict.fromkeys((phase, name) for row in rounds for phase in PHASES for name in row.get(phase, ())))
    table = Table(title="Metrics per round", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("round", justify="right")
    for phase, name in columns:
        table.add_column(Text(f"{PHASES[phase]}\n{printable(name)}"), justify="right")
    for row in rounds:
        name = f"{row['start']}.{row['round']}" if "start" in row else str(row["round"])
        table.add_row(name, *(number(row.get(phase, {}).get(name)) for phase, name in columns))
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
