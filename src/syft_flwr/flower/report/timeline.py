"""The timeline of a run as SVG: panels of rounds, a lane for each owner, a row for each task that overlaps others."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from syft_flwr.flower.report.figures import Scale, bytes_text, seconds_text
from syft_flwr.flower.report.markup import tag, titled
from syft_flwr.flower.report.record import Record, Step, Task

_ROUNDS_PER_PANEL = 10
_MOST_PANELS = 10
_WIDTH = 1080
_RIGHT = _WIDTH - 16.0
_TOP, _ROW, _GAP, _FOOT = 26.0, 16.0, 8.0, 40.0
_CHARACTER = 7.2
_LONGEST_NAME = 24
_SLIVER = 0.15
"""Below this width, in units of the drawing, a span can't be seen."""

_STEPS: dict[Step, str] = {
    "outbound": "to the owner",
    "queued": "waiting there",
    "work": "work",
    "reply": "back",
    "silent": "no answer",
}
HEIGHTS: dict[str, float] = {"outbound": 4.0, "queued": 8.0, "work": 14.0, "reply": 4.0, "silent": 8.0}
_UNITS = ((7200.0, 3600.0, "hours"), (600.0, 60.0, "minutes"), (0.0, 1.0, "seconds"))


@dataclass(frozen=True, slots=True)
class Panel:
    """A stretch of the timeline.

    Attributes:
        marks: Where each round begins, in seconds, and its name; in order.
        lanes: For each owner of the run its rows of tasks; tasks of one row do not overlap. No row: no task.
        start: Seconds since the first message of the run.
        end: Likewise.
    """

    marks: Sequence[tuple[float, str]]
    lanes: Mapping[str, Sequence[Sequence[Task]]]
    start: float
    end: float


def panels(record: Record) -> list[Panel]:
    """Cut a run into panels of equally many rounds, ten at most as long as that gives no more than ten panels."""
    starts: dict[str, float] = {}
    for task in record.tasks:
        starts.setdefault(task.group, task.sent)
    names = list(starts)
    if not names:
        return []
    count = min(-(-len(names) // _ROUNDS_PER_PANEL), _MOST_PANELS)
    cuts = [round(place * len(names) / count) for place in range(count + 1)]
    groups = [names[first:last] for first, last in itertools.pairwise(cuts)]
    return [_panel(record, [(starts[name], name) for name in group]) for group in groups]


def rows(tasks: Sequence[Task]) -> list[list[Task]]:
    """Spread tasks, in the order of sending, over as few rows as keep them from overlapping."""
    spread: list[list[Task]] = []
    for task in tasks:
        row = next((row for row in spread if row[-1].received <= task.sent), None)
        if row is None:
            spread.append(row := [])
        row.append(task)
    return spread


def _panel(record: Record, marks: Sequence[tuple[float, str]]) -> Panel:
    names = {name for _, name in marks}
    tasks = [task for task in record.tasks if task.group in names]
    lanes = {owner: rows([task for task in tasks if task.owner == owner]) for owner in record.owners}
    return Panel(marks, lanes, marks[0][0], max(task.received for task in tasks))


def timeline_chart(panel: Panel) -> Element:
    """Draw a panel: lanes from top to bottom, time from left to right, a line where each round begins."""
    heights = {owner: max(1, len(rows)) * _ROW + _GAP for owner, rows in panel.lanes.items()}
    bottom = _TOP + sum(heights.values())
    unit, name = next((unit, name) for least, unit, name in _UNITS if panel.end >= least)
    names = short_names(list(panel.lanes), _LONGEST_NAME)
    left = 12.0 + _CHARACTER * max(map(len, names.values()))
    x = Scale.exact(panel.start / unit, panel.end / unit, left, _RIGHT, count=10)
    label = f"Timeline, {round_name(panel.marks[0][1])} to {round_name(panel.marks[-1][1])}"
    size = f"0 0 {_WIDTH} {bottom + _FOOT:.0f}"
    chart = tag("svg", viewBox=size, role="img", aria_label=label, class_="timeline")
    chart.extend(_rounds(panel, x, unit, bottom))
    chart.extend(_axis(x, bottom, name))
    top = _TOP
    for owner, rows in panel.lanes.items():
        chart.append(tag("line", class_="grid", x1=0, x2=_RIGHT, y1=top, y2=top))
        text = tag("text", names[owner], class_="lane", x=0, y=top + _GAP / 2 + _ROW / 2 + 4)
        chart.append(titled(text, owner))
        for place, row in enumerate(rows):
            middle = top + _GAP / 2 + _ROW * (place + 0.5)
            chart.extend(_bar(task, x, unit, middle) for task in row)
        top += heights[owner]
    chart.append(tag("line", class_="axis", x1=0, x2=_RIGHT, y1=bottom, y2=bottom))
    return chart


def kind_class(kind: str) -> str:
    """Return the CSS class of the work on a kind of message."""
    base = kind.partition(".")[0]
    return base if base in ("train", "evaluate") else "other"


def _bar(task: Task, x: Scale, unit: float, middle: float) -> Element:
    group = titled(tag("g"), _tooltip(task))
    for span in task.spans:
        left, right = x(span.start / unit), x(span.end / unit)
        if right - left < _SLIVER:
            continue
        height = HEIGHTS[span.step]
        color = f"work {kind_class(task.kind)}" if span.step == "work" else span.step
        group.append(tag("rect", class_=color, x=left, y=middle - height / 2, width=right - left, height=height))
    if task.error:
        at = x(task.received / unit)
        group.append(tag("path", class_="error", d=f"M{at - 4:.1f} {middle - 4:.1f}l8 8m0 -8l-8 8"))
    return group


def _rounds(panel: Panel, x: Scale, unit: float, bottom: float) -> Iterator[Element]:
    ends = [start for start, _ in panel.marks[1:]] + [panel.end]
    free = 0.0
    for place, ((start, name), end) in enumerate(zip(panel.marks, ends, strict=True)):
        left, right = x(start / unit), x(end / unit)
        if place % 2 == 0:
            yield tag("rect", class_="band", x=left, y=_TOP, width=max(0.0, right - left), height=bottom - _TOP)
        yield tag("line", class_="mark", x1=left, x2=left, y1=_TOP - 6, y2=bottom)
        text = round_name(name)
        short = text if len(text) <= _LONGEST_NAME else f"{text[: _LONGEST_NAME - 1]}…"
        width = len(short) * _CHARACTER
        if left >= free:
            anchor_end = left + width > _WIDTH
            label = tag("text", short, class_="round", x=left, y=_TOP - 11, text_anchor="end" if anchor_end else None)
            yield titled(label, text)
            free = left + width + 6


def round_name(name: str) -> str:
    """Call a group of messages by its name: most are rounds."""
    return f"round {name}" if name.isdigit() else name or "no round"


def _axis(x: Scale, bottom: float, unit: str) -> Iterator[Element]:
    for tick in x.ticks:
        yield tag("line", class_="axis", x1=x(tick), x2=x(tick), y1=bottom, y2=bottom + 4)
        yield tag("text", x.label(tick), class_="tick", x=x(tick), y=bottom + 17, text_anchor="middle")
    middle = (x.start + x.end) / 2
    yield tag("text", f"{unit} since the first message", class_="unit", x=middle, y=bottom + 33, text_anchor="middle")


def _tooltip(task: Task) -> str:
    parts = [f"{task.owner}: {task.kind}, {round_name(task.group)}, {bytes_text(task.size)} received"]
    told = [span for span in task.spans if span.step != "queued" or span.end - span.start >= 0.01]
    parts += [f"{_STEPS[span.step]}: {seconds_text(span.end - span.start)}" for span in told]
    return "\n".join([*parts, *([f"error: {task.error}"] if task.error else [])])


def short_names(owners: Sequence[str], longest: int) -> dict[str, str]:
    """Shorten addresses to so many characters: without their domains if that tells them apart, else in the middle."""
    local = {owner: owner.partition("@")[0] for owner in owners}
    if max(map(len, owners), default=0) > longest and len(set(local.values())) == len(local):
        return {owner: _middle_cut(name, longest) for owner, name in local.items()}
    return {owner: _middle_cut(owner, longest) for owner in owners}


def _middle_cut(text: str, longest: int) -> str:
    half = (longest - 1) // 2
    return text if len(text) <= longest else f"{text[: longest - 1 - half]}…{text[-half:]}"
