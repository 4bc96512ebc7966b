"""How a relay's answers go wrong: each function makes one of an exchange, or returns what does."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from email.utils import format_datetime, formatdate, parsedate_to_datetime
from typing import Any

from syft_flwr.testing.http_server import Answer, Request

TYPED = {"Content-Type": "application/json; charset=UTF-8"}


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request on its way, in the hands of a fault.

    Attributes:
        method: What it calls, as Drive names it.
        request: As it came.
        forward: Hands it on to Drive, and returns the answer.
        seen: What the rule remembers from one call to the next.
        number: Which call of the rule's it is, from 1.
        closing: Set when the relay is being closed.
    """

    method: str
    request: Request
    forward: Callable[[], Answer]
    seen: dict[str, Any]
    number: int
    closing: threading.Event


def google_error(status: int, reason: str, *, headers: Mapping[str, str] | None = None, location: str = "") -> Answer:
    """Return an error in Google's envelope."""
    detail = {"domain": "global", "reason": reason, "message": f"text of {reason}", "location": location}
    body = {"error": {"code": status, "message": f"text of {reason}", "errors": [detail]}}
    return Answer(status, body, {**TYPED, **(headers or {})})


def always(answer: Answer) -> Callable[[Exchange], Answer]:
    return lambda _: answer


def in_turn(*answers: Answer) -> Callable[[Exchange], Answer]:
    return lambda exchange: answers[(exchange.number - 1) % len(answers)]


def altered(alter: Callable[[Exchange, Answer], Answer]) -> Callable[[Exchange], Answer]:
    """Alter Drive's answer where it is a good one."""

    def act(exchange: Exchange) -> Answer:
        answer = exchange.forward()
        return alter(exchange, answer) if answer.status < 300 else answer

    return act


def altered_json(alter: Callable[[Exchange, dict[str, Any]], Any]) -> Callable[[Exchange], Answer]:
    def act(exchange: Exchange, answer: Answer) -> Answer:
        try:
            content = json.loads(answer.content)
        except ValueError:  # a session of an upload is opened without a body
            return answer
        return replace(answer, body=json.dumps(alter(exchange, content)).encode())

    return altered(act)


def cut(_: Exchange, answer: Answer) -> Answer:
    return replace(answer, cut=len(answer.content) // 2) if answer.content else replace(answer, reset=True)


def flipped(_: Exchange, answer: Answer) -> Answer:
    content = bytearray(answer.content)
    if content:
        content[len(content) // 2] ^= 0xFF
    return replace(answer, body=bytes(content))


def compressed(_: Exchange, answer: Answer) -> Answer:
    content = gzip.compress(answer.content, mtime=0)
    return replace(answer, body=content[: len(content) // 2], headers={**answer.headers, "Content-Encoding": "gzip"})


def missing(exchange: Exchange, content: dict[str, Any]) -> Any:
    names = list(content)
    gone = names[(exchange.number - 1) % len(names)] if names else None
    return {name: value for name, value in content.items() if name != gone}


def mistyped(exchange: Exchange, content: dict[str, Any]) -> Any:
    others: tuple[Any, ...] = (None, 7, [], {"a": {}}, "", [None], True)
    return dict.fromkeys(content, others[(exchange.number - 1) % len(others)])


def tokens(make: Callable[[Exchange], str], *, empty: bool = False) -> Callable[[Exchange], Answer]:
    """Let a page name such a next one, for ever."""

    def alter(exchange: Exchange, content: dict[str, Any]) -> Any:
        content.pop("newStartPageToken", None)
        rows: dict[str, Any] = {name: [] for name in ("changes", "files") if name in content} if empty else {}
        return {**content, **rows, "nextPageToken": make(exchange)}

    def act(exchange: Exchange) -> Answer:
        exchange.seen.setdefault("token", exchange.request.query.get("pageToken", ""))
        # Drive refuses tokens that it never gave out: it is shown the first one each time.
        first = exchange.seen.setdefault("answer", exchange.forward())
        return altered_json(alter)(replace(exchange, forward=lambda: first))

    return act


def unreadable(exchange: Exchange, content: dict[str, Any]) -> Any:
    rows = content.get("changes") or content.get("files") or []
    rubbish: tuple[Any, ...] = (
        *("a text", None, 7, [], {}, {"file": 5, "fileId": 6}, {"fileId": "x", "removed": "perhaps", "file": {}}),
        *({"id": 5}, {"id": "x", "parents": "none", "createdTime": 7}),
        {"fileId": "x", "file": {"id": "x", "size": "q"}},
    )
    rows.insert(exchange.number % (len(rows) + 1), rubbish[(exchange.number - 1) % len(rubbish)])
    return content


def _date(answer: Answer) -> tuple[str, datetime]:
    """Return the name and the time of an answer's date."""
    name = next((name for name in answer.headers if name.lower() == "date"), "Date")
    return name, parsedate_to_datetime(answer.headers.get(name) or formatdate(usegmt=True))


def dated(shift: Callable[[Exchange], float]) -> Callable[[Exchange], Answer]:
    """Shift the answer's date by seconds."""

    def act(exchange: Exchange) -> Answer:
        answer = exchange.forward()
        name, now = _date(answer)
        date = format_datetime(now + timedelta(seconds=shift(exchange)), usegmt=True)
        return replace(answer, headers={**answer.headers, name: date})

    return act


def undated(exchange: Exchange) -> Answer:
    answer = exchange.forward()
    headers = {name: value for name, value in answer.headers.items() if name.lower() != "date"}
    if exchange.number % 2:
        headers["Date"] = "Thu, 99 Foo 0000 99:99:99"
    return replace(answer, headers=headers)


def stale(exchange: Exchange) -> Answer:
    kept: dict[str, Answer] = exchange.seen
    if exchange.request.path not in kept:
        kept[exchange.request.path] = exchange.forward()
    return kept[exchange.request.path]


def twice(exchange: Exchange) -> Answer:
    exchange.forward()
    return exchange.forward()


def late(exchange: Exchange) -> Answer:
    exchange.closing.wait(0.15)
    return exchange.forward()


def hung(exchange: Exchange) -> Answer:
    exchange.closing.wait(30.0)
    return Answer(reset=True)


def throttled(*waits: str) -> Callable[[Exchange], Answer]:
    return in_turn(*(google_error(429, "rateLimitExceeded", headers={"Retry-After": wait}) for wait in waits))


def throttled_until(exchange: Exchange) -> Answer:
    _, now = _date(exchange.forward())
    ahead = timedelta(seconds=(2.0, -3600.0, 3.0)[(exchange.number - 1) % 3])
    wait, date = (format_datetime(time, usegmt=True) for time in (now + ahead, now))
    return google_error(429, "rateLimitExceeded", headers={"Retry-After": wait, "Date": date})
