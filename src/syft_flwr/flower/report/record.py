"""A finished run as the report sees it: the content of ``result.json``, checked and put in order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from syft_flwr.flower.report.figures import number

Step = Literal["outbound", "queued", "work", "reply", "silent"]
"""Of a message: on its way to the owner, waiting there, worked on, its reply on its way; or never seen by the owner."""

PHASES = {"train": "training", "evaluate": "evaluation", "server": "evaluation on the aggregator"}


class Span(NamedTuple):
    """One step of a task. Times are seconds since the first message was sent."""

    step: Step
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Task:
    """A message to an owner and the answer to it.

    Times are seconds since the first message of the run was sent; ``None`` where the owner told none. ``seen``,
    ``started`` and ``finished`` are by the owner's clock until :func:`aligned` has seen to it.
    """

    owner: str
    kind: str
    group: str
    size: int
    error: str
    sent: float
    received: float
    seen: float | None = None
    started: float | None = None
    finished: float | None = None

    @property
    def spans(self) -> list[Span]:
        """The task's steps, one after the other, from ``sent`` to ``received``."""
        if self.seen is None:
            return [Span("silent", self.sent, self.received)]
        seen = min(max(self.seen, self.sent), self.received)
        if self.started is None:
            return [Span("outbound", self.sent, seen), Span("reply", seen, self.received)]
        started = min(max(self.started, seen), self.received)
        finished = self.received if self.finished is None else min(max(self.finished, started), self.received)
        return [
            Span("outbound", self.sent, seen),
            Span("queued", seen, started),
            Span("work", started, finished),
            Span("reply", finished, self.received),
        ]


@dataclass(frozen=True, slots=True)
class Round:
    """One round, or another group of messages. ``metrics`` is by phase and name; values are what the app gave."""

    name: str
    metrics: Mapping[str, Mapping[str, Any]]
    traffic: Mapping[str, int]
    start: float | None
    end: float | None


@dataclass(frozen=True, slots=True)
class Record:
    """A run: its rounds in order, its tasks in the order of sending, and the clock offsets of owners in seconds."""

    raw: Mapping[str, Any]
    owners: Sequence[str]
    rounds: Sequence[Round]
    tasks: Sequence[Task]
    offsets: Mapping[str, float]
    began: float | None

    @classmethod
    def of(cls, result: Mapping[str, Any]) -> Record:
        """Read the content of a ``result.json``."""
        rows = [row for row in result.get("timeline", ()) if None not in (number(row["sent"]), number(row["received"]))]
        began = min((float(row["sent"]) for row in rows), default=None)
        tasks = sorted((_task(row, began or 0.0) for row in rows), key=lambda task: task.sent)
        owners = list(dict.fromkeys([*map(str, result.get("owners", ())), *(task.owner for task in tasks)]))
        offsets = {owner: clock_offset(task for task in tasks if task.owner == owner) for owner in owners}
        tasks = [aligned(task, offsets[task.owner]) for task in tasks]
        return cls(result, owners, _rounds(result, tasks), tasks, {k: v for k, v in offsets.items() if v}, began)

    @property
    def seconds(self) -> float:
        """From the first message to the last reply."""
        return max((task.received for task in self.tasks), default=0.0)

    def last_seen(self, owner: str) -> float | None:
        """Return when an owner gave its last sign of life, in seconds from the first message."""
        seen = number(self.raw.get("last_seen", {}).get(owner))
        return None if seen is None or self.began is None else max(0.0, seen - self.began)

    def metrics(self) -> list[tuple[str, str]]:
        """Return phase and name of every metric, phases in order."""
        rows = [row.metrics for row in self.rounds]
        return list(dict.fromkeys((phase, name) for phase in PHASES for row in rows for name in row.get(phase, ())))


def clock_offset(tasks: Iterable[Task]) -> float:
    """Estimate by how much one owner's clock is ahead of the aggregator's, in seconds.

    No owner sees a message before it was sent, nor finishes after its reply has come. Each task so bounds the offset
    from both sides; if the bounds exclude 0, their middle is the estimate, as NTP takes it.
    """
    bounds = [
        (task.seen - task.sent, (task.seen if task.finished is None else task.finished) - task.received)
        for task in tasks
        if task.seen is not None
    ]
    if not bounds:
        return 0.0
    most, least = min(most for most, _ in bounds), max(least for _, least in bounds)
    return 0.0 if least <= 0 <= most else (least + most) / 2


def aligned(task: Task, offset: float) -> Task:
    """Return the task with the owner's times moved to the aggregator's clock."""
    seen, started, finished = (
        None if moment is None else moment - offset for moment in (task.seen, task.started, task.finished)
    )
    return replace(task, seen=seen, started=started, finished=finished)


def _task(row: Mapping[str, Any], began: float) -> Task:
    # An owner that tells no time leaves 0 there.
    told = {key: number(row.get(key)) for key in ("seen", "started", "finished")}
    return Task(
        owner=str(row["owner"]),
        kind=str(row["type"]),
        group=str(row["group"]),
        size=int(row["bytes"]),
        error=str(row["error"]),
        sent=float(row["sent"]) - began,
        received=max(float(row["received"]), float(row["sent"])) - began,
        **{key: moment - began if moment else None for key, moment in told.items()},
    )


def _rounds(result: Mapping[str, Any], tasks: Sequence[Task]) -> list[Round]:
    metrics = {
        f"{row['start']}.{row['round']}" if "start" in row else str(row["round"]): row
        for row in result.get("rounds", ())
    }
    traffic = result.get("traffic", {})
    spans: dict[str, tuple[float, float]] = {}
    for task in tasks:
        start, end = spans.get(task.group, (task.sent, task.received))
        spans[task.group] = min(start, task.sent), max(end, task.received)
    names = dict.fromkeys([*metrics, *traffic, *spans])
    return [
        Round(
            name,
            {phase: values for phase, values in metrics.get(name, {}).items() if isinstance(values, dict)},
            traffic.get(name, {}),
            *spans.get(name, (None, None)),
        )
        for name in sorted(names, key=_order)
    ]


def _order(name: str) -> tuple[int, int, str]:
    """Sort rounds as numbers, and what is no number behind them."""
    whole = name.isascii() and name.isdigit() and len(name) < 19
    return (0, int(name), "") if whole else (1, 0, name)
