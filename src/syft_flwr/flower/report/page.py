"""The page: a run's report as one HTML document that needs nothing else."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib import resources
from string import Template
from typing import Any
from xml.etree.ElementTree import Element

from syft_flwr.drive.budget import GOOGLE_PER_DAY
from syft_flwr.flower.report.charts import KEYS, gaps, line_chart, traffic_chart
from syft_flwr.flower.report.figures import bytes_text, float_text, listed, number, seconds_text
from syft_flwr.flower.report.markup import clean, tag, to_html
from syft_flwr.flower.report.record import PHASES, Record
from syft_flwr.flower.report.tables import bill_table, errors_table, metrics_table, owners_table, traffic_table
from syft_flwr.flower.report.timeline import HEIGHTS, kind_class, panels, timeline_chart

_MOST_HEADLINES = 3
_WORK = {"train": "training", "evaluate": "evaluating", "other": "other work"}
_WAITS = {"outbound": "message or reply on its way", "queued": "waiting at the owner", "silent": "no answer"}
_QUOTA = (
    "Drive counts quota units, not calls. A Cloud project may spend 1,000,000 units a minute, 325,000 of them by one "
    "account, and is billed above 400,000,000 a day."
)


def render_report(result: Mapping[str, Any]) -> str:
    """Return the report of a run as an HTML document.

    The document loads nothing and runs no script; its own policy forbids both. All that comes from the run, peers'
    names and errors included, is escaped.

    Args:
        result: The content of the run's ``result.json``.
    """
    record = Record.of(result)
    project = str(result.get("project", "a Flower project"))
    sections = (_header(record, project), *_metrics(record), *_timeline(record), *_errors(record))
    body = to_html(*sections, *_traffic(record), *_bill(record))
    template = Template(resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8"))
    return template.substitute(title=html.escape(clean(project)), body=body)


def _header(record: Record, project: str) -> Element:
    raw = record.raw
    facts = [f"Run {raw['run_id']}"] if "run_id" in raw else []
    if record.began is not None:
        facts.append(datetime.fromtimestamp(record.began, UTC).strftime("%-d %B %Y, %H:%M UTC"))
    facts += [f"flwr {raw['flwr']}"] if "flwr" in raw else []
    facts += [f"project hash {str(raw['project_hash'])[:12]}"] if "project_hash" in raw else []
    failure = str(raw.get("error") or "")
    tiles = (tag("div", tag("dt", name), tag("dd", value)) for name, value in _tiles(record))
    return tag(
        "header",
        tag("h1", project, tag("span", _state(record, failure))),
        tag("p", " · ".join(facts), class_="facts"),
        tag("p", failure, class_="failure") if failure else None,
        tag("dl", *tiles, class_="tiles"),
    )


def _state(record: Record, failure: str) -> str:
    errors = sum(bool(task.error) for task in record.tasks)
    if failure:
        return "failed"
    return f"complete, with {errors} {'error' if errors == 1 else 'errors'}" if errors else "complete"


def _tiles(record: Record) -> Iterator[tuple[str, str]]:
    shown = 0
    for phase, name in reversed(record.metrics()):
        values = [row.metrics.get(phase, {}).get(name) for row in record.rounds]
        final = next((value for raw in reversed(values) if (value := number(raw)) is not None), None)
        if phase != "train" and final is not None and shown < _MOST_HEADLINES:
            shown += 1
            yield f"final {name}", float_text(final)
    yield "rounds", f"{sum(bool(row.metrics) for row in record.rounds):,}"
    yield "data owners", f"{len(record.owners):,}"
    wall = number(record.raw.get("wall_seconds"))
    if wall is not None:
        yield "wall time", seconds_text(wall)
    elif record.tasks:
        yield "duration", seconds_text(record.seconds)
    yield "moved", bytes_text(sum(row.traffic.get(key, 0) for row in record.rounds for key in KEYS))
    if bill := record.raw.get("bill"):
        yield "quota units", f"{sum(int(row['units']) for row in bill.values()):,}"


def _metrics(record: Record) -> Iterator[Element]:
    rounds = {int(row.name): row.metrics for row in record.rounds if row.name.isdigit() and row.metrics}
    columns = record.metrics()
    if not columns:
        yield tag("section", tag("h2", "Metrics"), tag("p", "The app reported no metrics.", class_="note"))
        return
    cards = []
    for phase, name in columns:
        series = {place: row.get(phase, {}).get(name) for place, row in rounds.items()}
        chart = line_chart(series, min(rounds), max(rounds), color=phase, label=f"{name}, {PHASES[phase]}")
        if chart is None:
            continue
        holes = gaps(series)
        what = f"Can't be drawn: the values of {'round' if len(holes) == 1 else 'rounds'} {listed(holes, 10)}."
        note = tag("p", what, class_="note") if holes else None
        caption = tag("figcaption", tag("b", name), tag("span", PHASES[phase], class_=f"phase {phase}"))
        cards.append(tag("figure", caption, chart, note, class_="card"))
    yield tag(
        "section", tag("h2", "Metrics"), tag("div", *cards, class_="cards") if cards else None, metrics_table(record)
    )


def _timeline(record: Record) -> Iterator[Element]:
    heading = tag("h2", "Timeline")
    if not record.tasks:
        yield tag("section", heading, tag("p", "No data owner answered a message.", class_="note"))
        return
    kinds = {kind_class(task.kind) for task in record.tasks}
    used = {span.step for task in record.tasks for span in task.spans if span.step != "work"}
    legend = [(f"work {kind}", name) for kind, name in _WORK.items() if kind in kinds]
    legend += [(step, name) for step, name in _WAITS.items() if step in used]
    items = [tag("li", _swatch(color, HEIGHTS.get(color, HEIGHTS["work"])), name) for color, name in legend]
    if any(task.error for task in record.tasks):
        cross = tag("svg", tag("path", class_="error", d="M4 4l8 8m0 -8l-8 8"), class_="swatch", viewBox="0 0 16 16")
        items.append(tag("li", cross, "error"))
    charts = [tag("div", timeline_chart(panel), class_="scroll wide", tabindex=0) for panel in panels(record)]
    yield tag("section", heading, tag("ul", *items, class_="legend"), *charts, *_clocks(record), owners_table(record))


def _swatch(color: str, height: float = 14.0) -> Element:
    bar = tag("rect", class_=color, y=8 - height / 2, width=16, height=height)
    return tag("svg", bar, class_="swatch", viewBox="0 0 16 16")


def _clocks(record: Record) -> Iterator[Element]:
    """Tell whose times were shifted."""
    if record.offsets:
        told = ", ".join(
            f"{owner} ({seconds_text(abs(offset))} {'ahead' if offset > 0 else 'behind'})"
            for owner, offset in record.offsets.items()
        )
        text = f"Clocks differ from the aggregator's; the times of these owners are shifted to fit: {told}."
        yield tag("p", text, class_="note")


def _errors(record: Record) -> Iterator[Element]:
    if any(task.error for task in record.tasks):
        yield tag("section", tag("h2", "Errors"), errors_table(record.tasks))


def _traffic(record: Record) -> Iterator[Element]:
    heading = tag("h2", "Traffic per round")
    if not any(row.traffic for row in record.rounds):
        yield tag("section", heading, tag("p", "No message was sent.", class_="note"))
        return
    legend = tag("ul", *(tag("li", _swatch(key), name) for key, name in KEYS.items()), class_="legend")
    figure = tag("figure", legend, traffic_chart(record.rounds), class_="card")
    yield tag("section", heading, tag("div", figure, traffic_table(record), class_="pair"))


def _bill(record: Record) -> Iterator[Element]:
    bill = record.raw.get("bill", {})
    heading = tag("h2", "Quota bill")
    if not bill:
        yield tag("section", heading, tag("p", "No account told what it spent.", class_="note"))
        return
    calls, units = (sum(int(row[key]) for row in bill.values()) for key in ("calls", "units"))
    text = f"{units:,} quota units for {calls:,} calls, by account and method. {_QUOTA}"
    if saved := sum(int(row.get("saved", 0)) for row in bill.values()):
        text += f" Peeks and inlined bodies saved {saved:,} more{_shared(bill)}."
    if a_day := sum(int(row.get("a_day", 0)) for row in bill.values()):
        text += f" A day of such runs comes to {a_day:,} units, {100 * a_day / GOOGLE_PER_DAY:.2g} % of what is free."
    if missing := len(record.owners) + 1 - len(bill):
        text += f" {missing} {'account keeps its' if missing == 1 else 'accounts keep their'} own bill."
    yield tag("section", heading, tag("p", text, class_="note"), bill_table(bill))


def _shared(bill: Mapping[str, Any]) -> str:
    """Return what shared objects saved in uploads, and those that owners kept in downloads."""
    told = ""
    for objects, what in (("shared objects", "uploads"), ("kept objects", "downloads")):
        size = sum(int(row.get("savings", {}).get(objects, {}).get("bytes", 0)) for row in bill.values())
        told += f", {objects} {bytes_text(size)} of {what}" if size else ""
    return told
