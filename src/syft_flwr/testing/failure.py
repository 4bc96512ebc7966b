"""What a failed test says about the feed that it replayed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from syft_flwr.feed.event_text import describe
from syft_flwr.models import FeedError
from syft_flwr.replay import Replay, ReplayEvent, Upload

_BEFORE = 5
_AFTER = 2
_LAST = 10
_BODY_BEFORE = 20
_BODY_SHOWN = 100


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


def differences(got: Sequence[Upload], expected: Sequence[Upload]) -> list[str]:
    """Tell in what two lists of uploads differ: which message, and where its body does."""
    lines = [f"{len(got)} uploads == {len(expected)} expected ones"]
    for number, (one, other) in enumerate(zip_longest(got, expected)):
        if one == other:
            continue
        if one is None or other is None:
            lines.append(f"upload {number}: {'missing' if one is None else 'not expected'}: {(one or other).name}")
            continue
        lines += difference(f"upload {number} ({one.name})", one, other)
    return lines


def difference(label: str, got: Upload, expected: Upload) -> list[str]:
    """Tell in what an upload differs from another one."""
    lines = []
    if got.name != expected.name:
        lines.append(f"{label}: expected {expected.name}")
    if got.properties != expected.properties:
        lines.append(f"{label}: properties {got.properties}, expected {expected.properties}")
    if got.body != expected.body:
        at = next((i for i, (a, b) in enumerate(zip(got.body, expected.body, strict=False)) if a != b), None)
        at = min(len(got.body), len(expected.body)) if at is None else at
        lines += [
            f"{label}: bodies of {len(got.body)} and {len(expected.body)} bytes differ from byte {at} on",
            f"  got      {_excerpt(got.body, at)}",
            f"  expected {_excerpt(expected.body, at)}",
        ]
    return lines


def _excerpt(body: bytes, at: int) -> str:
    start = max(0, at - _BODY_BEFORE)
    shown = body[start : start + _BODY_SHOWN]
    try:
        text: object = shown.decode()
    except UnicodeDecodeError:
        text = shown
    return ("… " if start else "") + repr(text) + (" …" if start + _BODY_SHOWN < len(body) else "")


def _line(event: ReplayEvent) -> str:
    mark = ">" if isinstance(event.event, FeedError) else " "
    return f"{mark} line {event.line:<5} {event.at:10.3f} s  {describe(event.event)}"
