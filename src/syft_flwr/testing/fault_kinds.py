"""The kinds of faults that a :class:`~syft_flwr.testing.relay.FaultRelay` brings about: one table, :data:`KINDS`."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from email.utils import format_datetime, formatdate, parsedate_to_datetime
from typing import Any

from syft_flwr.testing.http_server import Answer, Request

LISTS = frozenset({"changes.list", "files.list"})
READS = frozenset({"about.get", "changes.getStartPageToken", "files.get", "files.generateIds"}) | LISTS
CREATES = frozenset({"files.create", "uploads.put", "permissions.create"})
JSON = READS | CREATES
METHODS = JSON | {"files.get_media", "files.delete", "files.update"}
"""What the kinds can strike."""

_PAGE = b"<!DOCTYPE html><html><head><title>Sign in to the network</title></head><body>Please log in.</body></html>"
_HTML = {"Content-Type": "text/html; charset=utf-8"}
_TYPED = {"Content-Type": "application/json; charset=UTF-8"}
_DAY = 86_400.0


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


@dataclass(frozen=True, slots=True)
class Kind:
    """One way for a call to go wrong.

    Attributes:
        name: What rules call it.
        what: What happens to the call, in words.
        act: Makes the answer.
        methods: What it can strike.
    """

    name: str
    what: str
    act: Callable[[Exchange], Answer]
    methods: frozenset[str] = METHODS

    def strikes(self, method: str) -> bool:
        return method in self.methods


def google_error(status: int, reason: str, *, headers: Mapping[str, str] | None = None, location: str = "") -> Answer:
    """Return an error in Google's envelope."""
    detail = {"domain": "global", "reason": reason, "message": f"text of {reason}", "location": location}
    body = {"error": {"code": status, "message": f"text of {reason}", "errors": [detail]}}
    return Answer(status, body, {**_TYPED, **(headers or {})})


def _always(answer: Answer) -> Callable[[Exchange], Answer]:
    return lambda _: answer


def _in_turn(*answers: Answer) -> Callable[[Exchange], Answer]:
    return lambda exchange: answers[(exchange.number - 1) % len(answers)]


def _altered(alter: Callable[[Exchange, Answer], Answer]) -> Callable[[Exchange], Answer]:
    """Alter Drive's answer where it is a good one."""

    def act(exchange: Exchange) -> Answer:
        answer = exchange.forward()
        return alter(exchange, answer) if answer.status < 300 else answer

    return act


def _altered_json(alter: Callable[[Exchange, dict[str, Any]], Any]) -> Callable[[Exchange], Answer]:
    def act(exchange: Exchange, answer: Answer) -> Answer:
        try:
            content = json.loads(answer.content)
        except ValueError:  # a session of an upload is opened without a body
            return answer
        return replace(answer, body=json.dumps(alter(exchange, content)).encode())

    return _altered(act)


# -- bodies ---------------------------------------------------------------------------------------------------


def _cut(_: Exchange, answer: Answer) -> Answer:
    return replace(answer, cut=len(answer.content) // 2) if answer.content else replace(answer, reset=True)


def _shortened(_: Exchange, answer: Answer) -> Answer:
    return replace(answer, body=answer.content[: len(answer.content) // 2])


def _flipped(_: Exchange, answer: Answer) -> Answer:
    content = bytearray(answer.content)
    if content:
        content[len(content) // 2] ^= 0xFF
    return replace(answer, body=bytes(content))


def _longer(_: Exchange, answer: Answer) -> Answer:
    return replace(answer, body=answer.content + b"\n<!-- 200 OK -->")


def _compressed(_: Exchange, answer: Answer) -> Answer:
    content = gzip.compress(answer.content, mtime=0)
    return replace(answer, body=content[: len(content) // 2], headers={**answer.headers, "Content-Encoding": "gzip"})


def _missing(exchange: Exchange, content: dict[str, Any]) -> Any:
    names = list(content)
    gone = names[(exchange.number - 1) % len(names)] if names else None
    return {name: value for name, value in content.items() if name != gone}


def _mistyped(exchange: Exchange, content: dict[str, Any]) -> Any:
    others: tuple[Any, ...] = (None, 7, [], {"a": {}}, "", [None], True)
    return dict.fromkeys(content, others[(exchange.number - 1) % len(others)])


def _of_another(_: Exchange, content: dict[str, Any]) -> Any:
    return {**content, "id": "another-file-0000000000"}


# -- lists ----------------------------------------------------------------------------------------------------


def _tokens(make: Callable[[Exchange], str], *, empty: bool = False) -> Callable[[Exchange], Answer]:
    """Let a page name such a next one, for ever."""

    def alter(exchange: Exchange, content: dict[str, Any]) -> Any:
        content.pop("newStartPageToken", None)
        rows: dict[str, Any] = {name: [] for name in ("changes", "files") if name in content} if empty else {}
        return {**content, **rows, "nextPageToken": make(exchange)}

    def act(exchange: Exchange) -> Answer:
        exchange.seen.setdefault("token", exchange.request.query.get("pageToken", ""))
        # Drive refuses tokens that it never gave out: it is shown the first one each time.
        first = exchange.seen.setdefault("answer", exchange.forward())
        return _altered_json(alter)(replace(exchange, forward=lambda: first))

    return act


def _unreadable(exchange: Exchange, content: dict[str, Any]) -> Any:
    rows = content.get("changes") or content.get("files") or []
    rubbish: tuple[Any, ...] = (
        *("a text", None, 7, [], {}, {"file": 5, "fileId": 6}, {"fileId": "x", "removed": "perhaps", "file": {}}),
        *(
            {"id": 5},
            {"id": "x", "parents": "none", "createdTime": 7},
            {"fileId": "x", "file": {"id": "x", "size": "q"}},
        ),
    )
    rows.insert(exchange.number % (len(rows) + 1), rubbish[(exchange.number - 1) % len(rubbish)])
    return content


# -- time -----------------------------------------------------------------------------------------------------


def _dated(shift: Callable[[Exchange], float]) -> Callable[[Exchange], Answer]:
    def act(exchange: Exchange) -> Answer:
        answer = exchange.forward()
        headers = dict(answer.headers)
        name = next((name for name in headers if name.lower() == "date"), "Date")
        now = parsedate_to_datetime(headers.get(name) or formatdate(usegmt=True))
        headers[name] = format_datetime(now + timedelta(seconds=shift(exchange)), usegmt=True)
        return replace(answer, headers=headers)

    return act


def _undated(exchange: Exchange) -> Answer:
    answer = exchange.forward()
    headers = {name: value for name, value in answer.headers.items() if name.lower() != "date"}
    if exchange.number % 2:
        headers["Date"] = "Thu, 99 Foo 0000 99:99:99"
    return replace(answer, headers=headers)


def _stale(exchange: Exchange) -> Answer:
    kept: dict[str, Answer] = exchange.seen
    if exchange.request.path not in kept:
        kept[exchange.request.path] = exchange.forward()
    return kept[exchange.request.path]


def _twice(exchange: Exchange) -> Answer:
    exchange.forward()
    return exchange.forward()


def _late(exchange: Exchange) -> Answer:
    exchange.closing.wait(0.15)
    return exchange.forward()


def _hung(exchange: Exchange) -> Answer:
    exchange.closing.wait(30.0)
    return Answer(reset=True)


def _throttled(*waits: str) -> Callable[[Exchange], Answer]:
    return _in_turn(*(google_error(429, "rateLimitExceeded", headers={"Retry-After": wait}) for wait in waits))


def _throttled_until(exchange: Exchange) -> Answer:
    ahead = (2.0, -3600.0, 3.0)[(exchange.number - 1) % 3]
    dated = _dated(lambda _: 0.0)(exchange)
    now = parsedate_to_datetime(next(value for name, value in dated.headers.items() if name.lower() == "date"))
    wait = format_datetime(now + timedelta(seconds=ahead), usegmt=True)
    headers = {"Retry-After": wait, "Date": format_datetime(now, usegmt=True)}
    return google_error(429, "rateLimitExceeded", headers=headers)


_ALL: tuple[Kind, ...] = (
    # What networks answer in Drive's place.
    Kind("login_page", "a captive portal answers 200 with its log-in page", _always(Answer(200, _PAGE, _HTML))),
    Kind(
        "other_json",
        "a proxy answers 200 with JSON that is none of Drive's: an object, a list, null, a number",
        _in_turn(*(Answer(200, text, _TYPED) for text in (b'{"status": "ok"}', b"[]", b"null", b"0", b'"ok"', b"{}"))),
    ),
    Kind("empty", "200 without a body", _always(Answer(200, b"", _TYPED))),
    Kind(
        "other_success",
        "201, 202, 203, 204 or 206 in place of what Drive answers",
        _in_turn(*(Answer(status, b"" if status == 204 else _PAGE, _HTML) for status in (201, 202, 203, 204, 206))),
    ),
    Kind(
        "redirect",
        "a redirect to a page: 301, 302, 303, 307, 308, or a 304 that nobody asked for",
        _in_turn(
            *(
                Answer(status, _PAGE, {**_HTML, "Location": "http://portal.invalid/"})
                for status in (302, 301, 303, 307)
            ),
            Answer(308, b"", {"Location": "http://portal.invalid/"}),
            Answer(304, b""),
        ),
    ),
    Kind(
        "blocked_page",
        "a filter answers 400, 403, 404, 451 or 511 with a page of its own",
        _in_turn(*(Answer(status, _PAGE, _HTML) for status in (403, 404, 511, 451, 400, 407, 429, 502))),
    ),
    # What becomes of good answers on the way.
    Kind("cut", "the connection breaks in the middle of the answer", _altered(_cut)),
    Kind("shortened", "half of the body, announced as all of it", _altered(_shortened)),
    Kind("altered", "one byte of a content is another", _altered(_flipped), frozenset({"files.get_media"})),
    Kind("longer", "something is written behind the body", _altered(_longer), METHODS - {"files.delete"}),
    Kind("badly_compressed", "a body that is said to be compressed, and can't be unpacked", _altered(_compressed)),
    Kind("missing_fields", "one of the answer's fields is not there", _altered_json(_missing), JSON),
    Kind("mistyped_fields", "fields of another type: null, numbers, lists", _altered_json(_mistyped), JSON),
    Kind(
        "of_another_file",
        "the answer is about another file",
        _altered_json(_of_another),
        frozenset({"files.get", "files.create", "uploads.put"}),
    ),
    Kind("stale", "a cache answers with what it saw before", _stale, READS),
    Kind("sent_twice", "a proxy sends the request twice", _twice),
    # Connections.
    Kind("reset", "the connection is reset before an answer", _always(Answer(reset=True))),
    Kind("closed", "the connection is closed in good order, without an answer", _always(Answer(closed=True))),
    Kind("late", "the answer is late", _late),
    Kind("hung", "nothing comes at all", _hung),
    Kind("dripping", "the answer comes byte by byte", _altered(lambda _, answer: replace(answer, drips=True))),
    # What Google's servers answer on a bad day.
    Kind("unauthorized", "401", _always(google_error(401, "authError"))),
    Kind("rate_limit", "403 with a rate limit", _always(google_error(403, "userRateLimitExceeded"))),
    Kind("forbidden", "403 for good", _always(google_error(403, "insufficientFilePermissions"))),
    Kind("not_found", "404", _always(google_error(404, "notFound"))),
    Kind("throttled", "429 with Retry-After in seconds", _throttled("2", "0", "1")),
    Kind("throttled_until", "429 with Retry-After as a date", _throttled_until),
    Kind(
        "throttled_badly",
        "429 with a Retry-After that means nothing, or too much",
        _throttled("soon", "-5", "", "1e3", "0x10", "Thu, 99 Foo 0000 99:99:99", "2.5"),
    ),
    Kind(
        "broken",
        "500, 502, 503, 504, 408",
        _in_turn(*(google_error(status, "backendError") for status in (500, 503, 502, 504, 408))),
    ),
    # Lists.
    Kind(
        "page_token_unmoved",
        "a page names itself as the next one",
        _tokens(lambda exchange: exchange.seen["token"] or "first"),
        LISTS,
    ),
    Kind(
        "page_tokens_cycle",
        "page tokens go in a circle",
        _tokens(lambda exchange: f"token-{exchange.number % 3}"),
        LISTS,
    ),
    Kind("page_token_empty", "the next page's token is an empty text", _tokens(lambda _: ""), LISTS),
    Kind(
        "empty_pages",
        "empty pages without end",
        _tokens(lambda exchange: f"token-{exchange.number}", empty=True),
        LISTS,
    ),
    Kind(
        "incomplete_search",
        "Drive says that it has not looked everywhere",
        _altered_json(lambda _, content: {**content, "files": content["files"][:-1], "incompleteSearch": True}),
        frozenset({"files.list"}),
    ),
    Kind("unreadable_entry", "one entry of a list is rubbish", _altered_json(_unreadable), LISTS),
    # Time.
    Kind("date_ahead", "the answer's date is three days ahead", _dated(lambda _: 3 * _DAY)),
    Kind("date_behind", "the answer's date is three days behind", _dated(lambda _: -3 * _DAY)),
    Kind("date_jumps", "the answer's date jumps to and fro", _dated(lambda each: (9.0, -_DAY, _DAY)[each.number % 3])),
    Kind("undated", "no date, or one that can't be read", _undated),
)

KINDS: Mapping[str, Kind] = {kind.name: kind for kind in _ALL}
"""Every kind of fault, by name."""
