"""The report's tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element

from syft_flwr.flower.report.figures import NOTHING, bytes_text, listed, seconds_text, value_text
from syft_flwr.flower.report.markup import Node, tag
from syft_flwr.flower.report.record import PHASES, Record, Span, Step, Task
from syft_flwr.flower.report.timeline import round_name

_WORD = re.compile(r"[^.A-Z]+\.?|[A-Z][^.A-Z]*\.?|\.")
_MOST_ERRORS = 100
_LONGEST_ERROR_LINES = 3
_TRAFFIC = ("bytes_sent", "bytes_received", "replies", "errors", "late")


def metrics_table(record: Record) -> Element:
    """Tabulate every metric: a row for each round, a column for each phase's metric."""
    columns = record.metrics()
    phases = list(dict.fromkeys(phase for phase, _ in columns))
    groups = [tag("th", "", scope="col")] + [
        tag("th", PHASES[phase], scope="colgroup", colspan=sum(other == phase for other, _ in columns), class_="group")
        for phase in phases
    ]
    head = [tag("tr", *groups), _head("round", *(name for _, name in columns))]
    body = [
        _row(row.name, *(value_text(row.metrics.get(phase, {}).get(name)) for phase, name in columns))
        for row in record.rounds
        if row.metrics
    ]
    return _table(head, body)


def traffic_table(record: Record) -> Element:
    """Tabulate duration, bytes and replies of each round, and what they come to."""
    body = []
    for row in record.rounds:
        seconds = NOTHING if row.start is None or row.end is None else seconds_text(row.end - row.start)
        body.append(_row(row.name or NOTHING, seconds, *_traffic(row.traffic)))
    total = {key: sum(row.traffic.get(key, 0) for row in record.rounds) for key in _TRAFFIC}
    foot = _row("all", seconds_text(record.seconds), *_traffic(total))
    return _table([_head("round", "duration", "sent", "received", "replies", "errors", "late")], body, foot)


def owners_table(record: Record) -> Element:
    """Tabulate what each owner did, and how long the steps took in the mean."""
    steps: Mapping[Step, str] = {"outbound": "to owner", "queued": "waiting", "work": "working", "reply": "reply"}
    body = []
    for owner in record.owners:
        tasks = [task for task in record.tasks if task.owner == owner]
        errors = sum(bool(task.error) for task in tasks)
        spans = [span for task in tasks for span in task.spans]
        means = [_mean([span for span in spans if span.step == step]) for step in steps]
        size = sum(task.size for task in tasks)
        seen = NOTHING if (at := record.last_seen(owner)) is None else seconds_text(at)
        body.append(_row(owner, str(len(tasks) - errors), str(errors), *means, bytes_text(size), seen))
    return _table([_head("data owner", "replies", "errors", *steps.values(), "received", "last seen after")], body)


def errors_table(tasks: Iterable[Task]) -> Element:
    """Tabulate errors; one that an owner gave in several rounds is one row."""
    seen: dict[tuple[str, str, str], list[str]] = {}
    for task in tasks:
        if task.error:
            seen.setdefault((task.owner, task.kind, task.error), []).append(round_name(task.group))
    body = []
    for (owner, kind, error), groups in list(seen.items())[:_MOST_ERRORS]:
        cells = [tag("td", text, class_="text") for text in (kind, listed(groups, 5))]
        body.append(tag("tr", tag("th", owner, scope="row"), *cells, tag("td", _error(error), class_="text reason")))
    if len(seen) > _MOST_ERRORS:
        rest = tag("td", f"and {len(seen) - _MOST_ERRORS} more, in result.json", colspan=4, class_="text")
        body.append(tag("tr", rest))
    head = tag(
        "tr", *(tag("th", name, scope="col", class_="text") for name in ("data owner", "message", "in", "reason"))
    )
    return _table([head], body)


def bill_table(bill: Mapping[str, Mapping[str, Any]]) -> Element:
    """Tabulate quota units and calls: a row for each account, a column for each method, the dearest first."""
    usages = [(method, usage) for row in bill.values() for method, usage in row["methods"].items()]
    costs: dict[str, int] = {}
    for method, usage in usages:
        costs[method] = costs.get(method, 0) + int(usage["units"])
    methods = sorted(costs, key=lambda method: (-costs[method], method))
    largest = max((int(row["units"]) for row in bill.values()), default=0)
    body = []
    for account, row in bill.items():
        cells = [_usage([row["methods"].get(method)]) for method in methods]
        body.append(tag("tr", tag("th", account, scope="row"), _total(row, largest), *cells))
    totals = [_usage([row["methods"].get(method) for row in bill.values()]) for method in methods]
    foot = tag("tr", tag("th", "all", scope="row"), _usage(list(bill.values())), *totals)
    head = [tag("th", "account", scope="col"), tag("th", "all methods", scope="col")]
    head += [tag("th", *_method(method), scope="col") for method in methods]
    return _table([tag("tr", *head)], body, foot)


def _table(head: Sequence[Element], body: Sequence[Element], foot: Element | None = None) -> Element:
    parts = [tag("thead", *head), tag("tbody", *body), None if foot is None else tag("tfoot", foot)]
    # A region that scrolls must be reachable by keyboard.
    return tag("div", tag("table", *parts), class_="scroll fit", tabindex=0)


def _head(*names: str) -> Element:
    return tag("tr", *(tag("th", name, scope="col") for name in names))


def _row(name: str, *cells: str) -> Element:
    return tag("tr", tag("th", name, scope="row"), *(tag("td", cell) for cell in cells))


def _traffic(row: Mapping[str, int]) -> list[str]:
    return [bytes_text(row.get(key, 0)) if key.startswith("bytes") else f"{row.get(key, 0):,}" for key in _TRAFFIC]


def _mean(spans: Sequence[Span]) -> str:
    return seconds_text(sum(span.end - span.start for span in spans) / len(spans)) if spans else NOTHING


def _error(error: str) -> Node:
    lines = error.strip().splitlines()
    if len(lines) <= _LONGEST_ERROR_LINES:
        return error
    # A traceback: its last line says what it was.
    return tag("details", tag("summary", lines[-1]), tag("pre", error))


def _method(method: str) -> Iterator[Node]:
    """Let a method's name break behind its dot and before its capitals."""
    for part in _WORD.findall(method):
        yield part
        yield tag("wbr")


def _usage(usages: Sequence[Mapping[str, Any] | None]) -> Element:
    calls, units = (sum(int(usage[key]) for usage in usages if usage) for key in ("calls", "units"))
    if not calls:
        return tag("td", NOTHING)
    return tag("td", f"{units:,}", tag("small", f"{calls:,} {'call' if calls == 1 else 'calls'}"))


def _total(row: Mapping[str, Any], largest: int) -> Element:
    cell = _usage([row])
    share = 100 * int(row["units"]) / largest if largest else 0.0
    bar = tag("svg", tag("rect", width=f"{share:.1f}%", height=4), class_="share", aria_hidden="true", height=4)
    cell.append(bar)
    return cell
