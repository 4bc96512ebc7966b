"""What a failed test says about the feed that it replayed."""

from __future__ import annotations

from syft_flwr.feed.event_text import describe
from syft_flwr.models import FeedError
from syft_flwr.replay import Replay, ReplayEvent

_BEFORE = 5
_AFTER = 2
_LAST = 10


def events_around(replay: Replay) -> str:
    """Return the events around each contained error, and the last ones before the replay stood still."""
    events = replay.events
    shown: set[int] = set(range(max(0, len(events) - _LAST), len(events)))
    for index, event in enumerate(events):
        if isinstance(event.event, FeedError):
            shown.update(range(max(0, index - _BEFORE), min(len(events), index + _AFTER + 1)))
    lines = [f"stands at line {replay.line} of {replay.recording.path}"]
    previous = -1
    for index in sorted(shown):
        if index != previous + 1:
            lines.append(f"    … {index - previous - 1} more")
        lines.append(_line(events[index]))
        previous = index
    if len(lines) == 1:
        lines.append("    no events yet")
    return "\n".join(lines)


def _line(event: ReplayEvent) -> str:
    mark = ">" if isinstance(event.event, FeedError) else " "
    return f"{mark} line {event.line:<5} {event.at:10.3f} s  {describe(event.event)}"
