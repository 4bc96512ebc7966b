"""The stream of messages and its shortcut by endpoint."""

from __future__ import annotations

import sys

import reactivex as rx

from syft_flwr.feed.router import MessageRouter
from syft_flwr.models import Message


def message(endpoint: str = "messages", app: str = "flwr/app", number: int = 0) -> Message:
    return Message(
        "request", "ds@x.org", "do@x.org", app, endpoint, f"future-{number}", f"file-{number}", "folder", 1, ""
    )


def router() -> tuple[MessageRouter, list[Exception]]:
    errors: list[Exception] = []
    return MessageRouter(lambda error, _: errors.append(error)), errors


def test_an_endpoint_gets_its_messages_and_no_others() -> None:
    stream, _ = router()
    got: list[Message] = []
    stream.at("flwr/app", "messages").subscribe(got.append)
    for each in (message(), message("other"), message(app="flwr/b"), message(number=2)):
        stream.on_next(each)
    assert [m.file_id for m in got] == ["file-0", "file-2"]


def test_observers_of_all_messages_come_before_those_of_an_endpoint() -> None:
    stream, _ = router()
    order: list[str] = []
    stream.at("flwr/app", "messages").subscribe(lambda _: order.append("endpoint"))
    stream.subscribe(lambda _: order.append("all"))
    stream.on_next(message())
    assert order == ["all", "endpoint"]


def test_an_observer_that_raises_is_reported_and_harms_nobody() -> None:
    stream, errors = router()
    got: list[str] = []

    def fails(_: Message) -> None:
        got.append("fails")
        raise ValueError("mine")

    stream.subscribe(fails)
    stream.at("flwr/app", "messages").subscribe(fails)
    stream.at("flwr/app", "messages").subscribe(lambda _: got.append("fine"))
    stream.on_next(message())
    stream.on_next(message())
    assert got == ["fails", "fails", "fine"] * 2
    assert [str(e) for e in errors] == ["mine"] * 4


def test_an_endpoint_that_nobody_observes_any_more_is_forgotten() -> None:
    stream, _ = router()
    first = stream.at("flwr/app", "messages").subscribe(lambda _: None)
    second = stream.at("flwr/app", "messages").subscribe(lambda _: None)
    first.dispose()
    first.dispose()
    assert len(stream._endpoints) == 1
    second.dispose()
    assert not stream._endpoints


def test_the_end_reaches_observers_of_endpoints_and_those_who_come_later() -> None:
    stream, _ = router()
    ended: list[str] = []
    at: rx.Observable[Message] = stream.at("flwr/app", "messages")
    at.subscribe(on_completed=lambda: ended.append("before"))
    stream.on_completed()
    at.subscribe(on_completed=lambda: ended.append("after"))
    stream.on_next(message())
    assert ended == ["before", "after"]


def test_who_subscribes_or_disposes_in_the_middle_of_an_event_is_heard_from_the_next_one_on() -> None:
    stream, errors = router()
    late: list[Message] = []
    gone: list[Message] = []
    seen: list[Message] = []

    def meddle(m: Message) -> None:
        seen.append(m)
        if len(seen) == 1:
            stream.subscribe(late.append)
            leaving.dispose()

    stream.subscribe(meddle)
    leaving = stream.subscribe(gone.append)
    stream.on_next(message(number=1))
    stream.on_next(message(number=2))
    assert [m.file_id for m in late] == ["file-2"]
    assert gone == []
    assert errors == []


def test_an_observer_may_emit_in_its_turn() -> None:
    stream, _ = router()
    got: list[str] = []

    def answer(m: Message) -> None:
        got.append(m.file_id)
        if m.file_id == "file-1":
            stream.on_next(message(number=2))

    stream.subscribe(answer)
    stream.on_next(message(number=1))
    assert got == ["file-1", "file-2"]


def test_a_thousand_endpoints_cost_a_message_no_more_calls_than_ten() -> None:
    def calls(endpoints: int) -> int:
        stream, _ = router()
        got: list[Message] = []
        for number in range(endpoints):
            stream.at("flwr/app", f"endpoint-{number}").subscribe(got.append)
        wanted = message("endpoint-3")
        count = 0

        def profile(frame: object, event: str, argument: object) -> None:
            nonlocal count
            count += event in ("call", "c_call")

        sys.setprofile(profile)
        try:
            stream.on_next(wanted)
        finally:
            sys.setprofile(None)
        assert got == [wanted]
        return count

    assert calls(1_000) == calls(10)
