"""Where the timeline's bars go: panels of rounds, a lane for each owner, a row for each task that overlaps others."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from syft_flwr.flower.report.record import Record, Task

_ROUNDS_PER_PANEL = 10
_MOST_PANELS = 10


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
