"""What happens in a run, in words: an event as a line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from syft_flwr.cli.bill import spent
from syft_flwr.cli.output import count, duration
from syft_flwr.printable import printable

PHASES = {"train": "train", "evaluate": "evaluate", "server": "server-side"}
_LONGEST_LINE = 20_000


def event_line(event: str, fields: Mapping[str, Any]) -> str:
    """Return an event as a line, ``""`` if it does not matter."""
    write = _LINES.get(event)
    return printable(write(fields) or "", _LONGEST_LINE) if write is not None else ""


def number(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else "-" if value is None else printable(value)


def _metrics(fields: Mapping[str, Any]) -> str:
    values = ", ".join(f"{name} {number(value)}" for name, value in fields["values"].items())
    return f"round {fields['round']}, {PHASES[fields['phase']]}: {values}"


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


def waiting(fields: Mapping[str, Any]) -> str:
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


_LINES: dict[str, Callable[[Mapping[str, Any]], str | None]] = {
    "project": _project,
    "waiting": waiting,
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
