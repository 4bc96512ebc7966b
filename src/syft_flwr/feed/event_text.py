"""Events of a feed as lines, for people and for programs."""

from __future__ import annotations

from typing import Any, TypeAlias

from syft_flwr.models import FeedError, Message, Rejection, Replied
from syft_flwr.printable import printable, printable_data, printable_error
from syft_flwr.resources import Change
from syft_flwr.state.events import of_message

Event: TypeAlias = Change | Message | Rejection | FeedError | Replied

_LONGEST_LINE = 10_000
_UNITS = ("B", "kB", "MB", "GB")


def describe(event: Event) -> str:
    """Say on one line what happened; what a stranger put into a name is made printable."""
    return printable(" ".join(part for part in _parts(event) if part), _LONGEST_LINE)


def to_json(event: Event) -> dict[str, Any]:
    """Return what happened as a JSON object, without bodies; its texts are printable, also once they are decoded."""
    document: dict[str, Any] = printable_data(_to_json(event))
    return document


def _to_json(event: Event) -> dict[str, Any]:
    match event:
        case Change():
            name = None if event.file is None else event.file.name
            return {"event": "change", "file_id": event.file_id, "removed": event.removed, "name": name}
        case Message():
            return {"event": event.kind, **_message(event)}
        case Rejection():
            return {
                "event": "rejected",
                "reason": str(event.reason),
                "file_id": event.file_id,
                "name": event.file_name,
                "claimed_sender": event.claimed_sender,
                "owner": event.owner,
                "detail": event.detail,
            }
        case FeedError():
            message = {} if event.message is None else _message(event.message)
            return {
                "event": "error",
                "where": event.where,
                "error": printable_error(event.error, _LONGEST_LINE),
                **message,
            }
        case Replied():
            size = None if event.body is None else len(event.body)
            return {"event": "replied", **_message(event.message), "reply_size": size, "is_error": event.is_error}


def human_size(size: int) -> str:
    """Write a size in bytes with a unit."""
    amount = float(size)
    for unit in _UNITS:
        if amount < 1000 or unit == _UNITS[-1]:
            break
        amount /= 1000
    return f"{amount:.0f} {unit}" if amount >= 100 or unit == "B" else f"{amount:.1f} {unit}"


def _parts(event: Event) -> tuple[str, ...]:
    match event:
        case Change():
            if event.file is None:
                return "removed", event.file_id
            kind = "folder" if event.file.is_folder else "file"
            return "change", kind, event.file.name, "(trashed)" if event.file.trashed else ""
        case Message():
            return event.kind, *_route(event), human_size(event.size), event.future_id
        case Rejection():
            return "rejected", str(event.reason), event.file_name, f"({event.detail})"
        case FeedError():
            route = () if event.message is None else _route(event.message)
            return "error", f"{event.where}:", printable_error(event.error, _LONGEST_LINE), *route
        case Replied():
            size = "no reply" if event.body is None else human_size(len(event.body))
            return "replied", "with an error" if event.is_error else "", *_route(event.message), size


def _route(message: Message) -> tuple[str, ...]:
    return f"{message.sender} → {message.recipient}", f"{message.app}/{message.endpoint}"


def _message(message: Message) -> dict[str, Any]:
    told = of_message(message)
    del told["kind"]
    return {**told, "created_time": message.created_time}
