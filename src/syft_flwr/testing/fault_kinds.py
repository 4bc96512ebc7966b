"""The kinds of faults that a :class:`~syft_flwr.testing.relay.FaultRelay` brings about: one table, :data:`KINDS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from syft_flwr.testing import bad_answers as bad
from syft_flwr.testing.bad_answers import TYPED, Exchange, google_error
from syft_flwr.testing.http_server import Answer

LISTS = frozenset({"changes.list", "files.list"})
READS = frozenset({"about.get", "changes.getStartPageToken", "files.get", "files.generateIds"}) | LISTS
CREATES = frozenset({"files.create", "uploads.put", "permissions.create"})
JSON = READS | CREATES
METHODS = JSON | {"files.get_media", "files.delete", "files.update"}
"""What the kinds can strike."""

_PAGE = b"<!DOCTYPE html><html><head><title>Sign in to the network</title></head><body>Please log in.</body></html>"
_HTML = {"Content-Type": "text/html; charset=utf-8"}
_PORTAL = {"Location": "http://portal.invalid/"}
_DAY = 86_400.0


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


_ALL: tuple[Kind, ...] = (
    # What networks answer in Drive's place.
    Kind("login_page", "a captive portal answers 200 with its log-in page", bad.always(Answer(200, _PAGE, _HTML))),
    Kind(
        "other_json",
        "a proxy answers 200 with JSON that is none of Drive's: an object, a list, null, a number",
        bad.in_turn(
            *(Answer(200, text, TYPED) for text in (b'{"status": "ok"}', b"[]", b"null", b"0", b'"ok"', b"{}"))
        ),
    ),
    Kind("empty", "200 without a body", bad.always(Answer(200, b"", TYPED))),
    Kind(
        "other_success",
        "201, 202, 203, 204 or 206 in place of what Drive answers",
        bad.in_turn(*(Answer(status, b"" if status == 204 else _PAGE, _HTML) for status in (201, 202, 203, 204, 206))),
    ),
    Kind(
        "redirect",
        "a redirect to a page: 301, 302, 303, 307, 308, or a 304 that nobody asked for",
        bad.in_turn(
            *(Answer(status, _PAGE, _HTML | _PORTAL) for status in (302, 301, 303, 307)),
            Answer(308, b"", _PORTAL),
            Answer(304, b""),
        ),
    ),
    Kind(
        "blocked_page",
        "a filter answers 400, 403, 404, 451 or 511 with a page of its own",
        bad.in_turn(*(Answer(status, _PAGE, _HTML) for status in (403, 404, 511, 451, 400, 407, 429, 502))),
    ),
    # What becomes of good answers on the way.
    Kind("cut", "the connection breaks in the middle of the answer", bad.altered(bad.cut)),
    Kind(
        "shortened",
        "half of the body, announced as all of it",
        bad.altered(lambda _, answer: replace(answer, body=answer.content[: len(answer.content) // 2])),
    ),
    Kind("altered", "one byte of a content is another", bad.altered(bad.flipped), frozenset({"files.get_media"})),
    Kind(
        "longer",
        "something is written behind the body",
        bad.altered(lambda _, answer: replace(answer, body=answer.content + b"\n<!-- 200 OK -->")),
        METHODS - {"files.delete"},
    ),
    Kind(
        "badly_compressed",
        "a body that is said to be compressed, and can't be unpacked",
        bad.altered(bad.compressed),
    ),
    Kind("missing_fields", "one of the answer's fields is not there", bad.altered_json(bad.missing), JSON),
    Kind("mistyped_fields", "fields of another type: null, numbers, lists", bad.altered_json(bad.mistyped), JSON),
    Kind(
        "of_another_file",
        "the answer is about another file",
        bad.altered_json(lambda _, content: {**content, "id": "another-file-0000000000"}),
        frozenset({"files.get", "files.create", "uploads.put"}),
    ),
    Kind("stale", "a cache answers with what it saw before", bad.stale, READS),
    Kind("sent_twice", "a proxy sends the request twice", bad.twice),
    # Connections.
    Kind("reset", "the connection is reset before an answer", bad.always(Answer(reset=True))),
    Kind("closed", "the connection is closed in good order, without an answer", bad.always(Answer(closed=True))),
    Kind("late", "the answer is late", bad.late),
    Kind("hung", "nothing comes at all", bad.hung),
    Kind("dripping", "the answer comes byte by byte", bad.altered(lambda _, answer: replace(answer, drips=True))),
    # What Google's servers answer on a bad day.
    Kind("unauthorized", "401", bad.always(google_error(401, "authError"))),
    Kind("rate_limit", "403 with a rate limit", bad.always(google_error(403, "userRateLimitExceeded"))),
    Kind("forbidden", "403 for good", bad.always(google_error(403, "insufficientFilePermissions"))),
    Kind("not_found", "404", bad.always(google_error(404, "notFound"))),
    Kind("throttled", "429 with Retry-After in seconds", bad.throttled("2", "0", "1")),
    Kind("throttled_until", "429 with Retry-After as a date", bad.throttled_until),
    Kind(
        "throttled_badly",
        "429 with a Retry-After that means nothing, or too much",
        bad.throttled("soon", "-5", "", "1e3", "0x10", "Thu, 99 Foo 0000 99:99:99", "2.5"),
    ),
    Kind(
        "broken",
        "500, 502, 503, 504, 408",
        bad.in_turn(*(google_error(status, "backendError") for status in (500, 503, 502, 504, 408))),
    ),
    # Lists.
    Kind(
        "page_token_unmoved",
        "a page names itself as the next one",
        bad.tokens(lambda exchange: exchange.seen["token"] or "first"),
        LISTS,
    ),
    Kind(
        "page_tokens_cycle",
        "page tokens go in a circle",
        bad.tokens(lambda exchange: f"token-{exchange.number % 3}"),
        LISTS,
    ),
    Kind("page_token_empty", "the next page's token is an empty text", bad.tokens(lambda _: ""), LISTS),
    Kind(
        "empty_pages",
        "empty pages without end",
        bad.tokens(lambda exchange: f"token-{exchange.number}", empty=True),
        LISTS,
    ),
    Kind(
        "incomplete_search",
        "Drive says that it has not looked everywhere",
        bad.altered_json(lambda _, content: {**content, "files": content["files"][:-1], "incompleteSearch": True}),
        frozenset({"files.list"}),
    ),
    Kind("unreadable_entry", "one entry of a list is rubbish", bad.altered_json(bad.unreadable), LISTS),
    # Time.
    Kind("date_ahead", "the answer's date is three days ahead", bad.dated(lambda _: 3 * _DAY)),
    Kind("date_behind", "the answer's date is three days behind", bad.dated(lambda _: -3 * _DAY)),
    Kind(
        "date_jumps", "the answer's date jumps to and fro", bad.dated(lambda each: (9.0, -_DAY, _DAY)[each.number % 3])
    ),
    Kind("undated", "no date, or one that can't be read", bad.undated),
)

KINDS: Mapping[str, Kind] = {kind.name: kind for kind in _ALL}
"""Every kind of fault, by name."""
