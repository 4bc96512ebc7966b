"""The lives of messages, as lines that complete."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from syft_flwr import wire
from syft_flwr.errors import InvalidNameError
from syft_flwr.feed.event_text import human_size
from syft_flwr.printable import printable
from syft_flwr.state.events import FEED, Happened

_REMEMBERED = 20_000
_SHORT = 8
"""Characters of an ID that a terminal shows."""
_TELLING = {
    *("seen", "waiting", "admitted", "handled", "sent", "rejected"),
    *("replied", "answered", "withdrawn", "consumed", "unsent"),
}


@dataclass(slots=True)
class Life:
    """What is known of an exchange. Times are Unix seconds.

    Attributes:
        began, changed: When it was heard of first and last.
        steps: What became of it, in words.
        is_over: Whether nothing more is to come.
    """

    future_id: str
    began: float
    changed: float
    outgoing: bool = False
    peer: str = ""
    route: str = ""
    size: int | None = None
    steps: list[str] = field(default_factory=list)
    whats: set[str] = field(default_factory=set)
    is_over: bool = False
    app: str = ""
    endpoint: str = ""

    def line(self, width: int | None) -> str:
        """Write it on one line of this many columns, or with all there is.

        Names give way to what became of it, and of its ID the beginning is left.
        """
        time = f"{datetime.fromtimestamp(self.began, UTC).astimezone():%H:%M:%S}"
        size = "" if self.size is None else f" {human_size(self.size)}"
        tail = f"{size}: {' → '.join(self.steps)}{'' if self.is_over else ' …'}"
        shown = self.future_id if width is None else self.future_id[:_SHORT]
        head = f"{time} {shown} {'→' if self.outgoing else '←'} "
        who = printable(f"{self.peer or '?'} {self.route}".strip(), 1_000)
        return head + (who if width is None else _within(who, max(8, width - len(head) - len(tail)))) + tail


class Lives:
    """Puts what happens together to lives, each under its future ID.

    Attributes:
        open: Those that go on.
    """

    def __init__(self) -> None:
        self.open: OrderedDict[str, Life] = OrderedDict()
        self._over: OrderedDict[str, None] = OrderedDict()

    def take(self, event: Happened) -> tuple[str, Life] | None:
        """Add what happened; return the life that it belongs to, if it does and has not ended before."""
        fields = event.fields
        future_id = _future_of(event)
        if event.what not in _TELLING or not future_id or future_id in self._over:
            return None
        life = self.open.get(future_id)
        if life is None:
            life = self.open[future_id] = Life(future_id, event.at, event.at)
        life.changed = event.at
        life.whats.add(event.what)
        _describe(life, event.what, fields)
        _tell(life, event.what, fields)
        if life.is_over:
            del self.open[future_id]
            self._over[future_id] = None
            if len(self._over) > _REMEMBERED:
                self._over.popitem(last=False)
        return future_id, life


def _future_of(event: Happened) -> str:
    if "future_id" in event.fields:
        return str(event.fields["future_id"])
    name = event.fields.get("name") or event.fields.get("file", {}).get("name", "")
    try:
        kind, future_id = wire.parse_message_name(name)
    except InvalidNameError:
        return ""
    # A response that has only been seen is not known to answer anything here.
    return future_id if kind == "request" or event.what == "rejected" else ""


def _describe(life: Life, what: str, fields: Mapping[str, Any]) -> None:
    if what == "seen":
        file = fields["file"]
        life.peer = next((str(owner.get("emailAddress", "")) for owner in file.get("owners", ())), "")
        life.size = int(file["size"]) if "size" in file else None
        return
    life.outgoing = what in {"sent", "unsent"} or fields.get("kind") == "response"
    life.peer = fields.get("recipient" if what in {"sent", "unsent"} else "sender") or life.peer
    life.peer = life.peer or fields.get("claimed_sender", "")
    if "endpoint" in fields:
        life.app, life.endpoint = fields["app"], fields["endpoint"]
        life.route = f"{life.app}/{life.endpoint}"
    if "size" in fields and not life.outgoing:
        life.size = fields["size"]


def _tell(life: Life, what: str, fields: Mapping[str, Any]) -> None:
    """Put in words what became of a life."""
    match what:
        case "seen":
            life.steps = ["seen", *life.steps]
        case "waiting":
            life.steps = ["seen", "waits"]
        case "admitted":
            life.steps = ["seen", "taken"]
        case "sent":
            life.steps.append("sent")
        case "handled":
            _handled(life, fields)
        case "rejected":
            life.steps.append(f"rejected: {fields['reason']}")
            # What a process refuses in the midst of its work is answered, and goes on.
            life.is_over = "admitted" not in life.whats
        case _:
            life.steps.append(_end(life, what, fields))
            life.is_over = True


def _handled(life: Life, fields: Mapping[str, Any]) -> None:
    verb = "failed" if fields["is_error"] else "handled"
    took = "" if fields["seconds"] is None else f" in {_seconds(fields['seconds'])}"
    again = f" (attempt {fields['attempts']})" if fields["attempts"] > 1 else ""
    rejections = [step for step in life.steps if step.startswith("rejected")]
    life.steps = [*(["seen"] if "seen" in life.steps else []), *rejections, f"{verb}{took}{again}"]
    if fields["reply_size"] is None and not fields["is_error"]:
        life.steps.append("no reply")
        life.is_over = True


def _end(life: Life, what: str, fields: Mapping[str, Any]) -> str:
    if what == "replied":
        size = fields["reply_size"]
        return "replied" if size is None else f"replied, {human_size(size)}"
    if what == "answered":
        error = " with an error" if fields.get("is_error") else ""
        after = f" after {_seconds(life.changed - life.began)}" if "sent" in life.whats else ""
        return f"answered{error}{after}, {human_size(fields['size'])}"
    return {"consumed": "acknowledged", "unsent": "could not be sent"}.get(what, what)


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _within(text: str, width: int) -> str:
    """Shorten a text in its middle."""
    if len(text) <= width:
        return text
    left = (width - 1) // 2
    return f"{text[:left]}…{text[len(text) - (width - 1 - left) :]}"


def other_line(event: Happened) -> str:
    """Write what belongs to no message as a line; ``""`` for what is of no interest to people."""
    fields = event.fields
    match event.what:
        case "rejected":
            told = f"rejected {fields['name'] or fields['file_id']}: {fields['reason']}, {fields['detail']}"
        case "paused":
            told = f"paused: {fields['why']}"
        case "error":
            told = f"error {fields['where']}: {fields['error']}"
        case _:
            return ""
    time = f"{datetime.fromtimestamp(event.at, UTC).astimezone():%H:%M:%S}"
    return f"{time} {printable(told, 10_000)}"


def to_json(event: Happened) -> dict[str, Any]:
    """Return what happened as the JSON object that ``docs/reference/watch.md`` describes."""
    time = datetime.fromtimestamp(event.at, UTC).isoformat(timespec="milliseconds")
    source = {"source": FEED} if event.by == FEED else {"source": "log", "process": int(event.by.partition("-")[0])}
    return {"version": 1, "time": time, **source, "event": event.what, **event.fields}
