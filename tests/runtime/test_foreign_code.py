"""What users' code does in observers and handlers harms no poll, no send and no other handle."""

from __future__ import annotations

import threading
from collections import Counter

import pytest
from reactivex import operators as ops
from runtimes import serve

from accounts import PATIENCE, calls, wait_until
from syft_flwr.errors import RuntimeClosedError
from syft_flwr.exchange.requester import Request
from syft_flwr.exchange.routes import Route
from syft_flwr.feed import bodies, received, requests, with_body
from syft_flwr.models import FeedError, Message, Received
from syft_flwr.rpc import P2PFileRpc
from syft_flwr.runtime import DriveRuntime

ME, DS, OTHER = "do@example.com", "ds@example.com", "other@example.com"


def ask(sender: DriveRuntime, count: int, recipient: str = ME) -> list[str]:
    return sender.send([Request(recipient, "app", "messages", b"%d" % number) for number in range(count)])


def test_an_observer_of_bodies_sends_while_more_wait_than_the_pipeline_holds(
    open_runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "_CAPACITY", 5)
    ask(open_runtime(DS), 20)
    me, sent = open_runtime(ME, poll_interval=0.05), []

    def send(element: Received) -> None:
        sent.extend(me.send([Request(OTHER, "app", "messages", element.body)]))

    me.messages.pipe(requests, with_body(me), received).subscribe(send)
    me.start()
    wait_until(lambda: len(sent) == 20)


def test_sending_waits_for_no_feed(emulator, open_runtime) -> None:
    sender = open_runtime(DS, poll_interval=0.05)
    sender.poll_once()
    with emulator.fault("error", method="changes.getStartPageToken", account=DS, status=503, retry_after=30):
        sender.start()
        wait_until(lambda: calls(emulator, DS).count("changes.getStartPageToken") > 1)
        done = threading.Event()
        threading.Thread(target=lambda: (ask(sender, 1), done.set()), daemon=True).start()
        assert done.wait(PATIENCE / 3), "Drive asks the feed to wait for half a minute, and nobody else"


def test_an_observer_of_errors_may_send(emulator, open_runtime) -> None:
    sender = open_runtime(DS, poll_interval=0.05)
    sender.poll_once()
    sent: list[str] = []

    def send(error: FeedError) -> None:
        if not sent:
            sent.extend(ask(sender, 1))

    sender.errors.subscribe(send)
    fault = {"account": DS, "status": 403, "reason": "forbidden", "times": 1}
    with (
        emulator.fault("error", method="changes.getStartPageToken", **fault),
        emulator.fault("error", method="changes.list", **fault),
    ):
        sender.start()
        wait_until(lambda: sent)


def test_as_many_pipelines_of_bodies_as_connections_may_send(open_runtime) -> None:
    me = open_runtime(ME, poll_interval=0.05, max_connections=2)
    sent: list[str] = []

    def send(element: Received) -> None:
        sent.extend(me.send([Request(OTHER, "app", "messages", element.body)]))

    for _ in range(3):
        me.messages.pipe(requests, with_body(me), received).subscribe(send)
    ask(open_runtime(DS), 3)
    me.start()
    wait_until(lambda: len(sent) == 9)


def test_an_observer_of_responses_may_ask_for_a_future_that_is_open(open_runtime) -> None:
    sender, me = open_runtime(DS, poll_interval=0.05), open_runtime(ME)
    serve(me, Route("app", "messages", lambda body, _: body))
    me.poll_once()
    answered, unanswered = ask(sender, 1), ask(sender, 1, OTHER)
    got: list[bytes | None] = []
    sender.responses.subscribe(lambda _: got.append(sender.get_response(unanswered[0])))
    me.start()
    assert sender.wait(answered, PATIENCE)
    wait_until(lambda: got == [None])


def test_an_observer_may_wait_for_an_answer(open_runtime) -> None:
    """The answer comes on another way than the requests behind which it would have to queue."""
    owner, me, sender = open_runtime(OTHER, poll_interval=0.05), open_runtime(ME, poll_interval=0.05), open_runtime(DS)
    serve(owner, Route("app", "messages", lambda body, _: body.upper()))
    owner.start()
    got: list[dict[str, bytes]] = []

    def relay(message: Message) -> None:
        if message.kind == "request":
            got.append(me.wait(me.send([Request(OTHER, "app", "messages", b"x")]), PATIENCE))

    me.messages.subscribe(relay)
    ask(sender, 3)
    me.start()
    wait_until(lambda: len(got) == 3)
    assert [list(answers.values()) for answers in got] == [[b"X"]] * 3


def test_closing_a_handle_twice_takes_nothing_from_the_others(open_runtime) -> None:
    rpc = P2PFileRpc(DS, "app")
    assert rpc.send(ME, "app", "messages", b"x")
    with DriveRuntime.open(DS) as runtime:
        runtime.close()
    with pytest.raises(RuntimeClosedError):
        runtime.poll_once()
    assert rpc.send(ME, "app", "messages", b"x")
    rpc.close()


@pytest.mark.parametrize("stream", ["messages", "changes", "rejected", "bodies"])
def test_an_observer_may_close_the_runtime(open_runtime, stream: str) -> None:
    sender = open_runtime(DS)
    me = DriveRuntime.open(ME, poll_interval=0.05, max_message_size=1 if stream == "rejected" else None)
    raised: list[BaseException] = []
    closed = threading.Event()

    def close(_: object) -> None:
        try:
            me.close()
        except BaseException as error:
            raised.append(error)
        closed.set()

    observed = me.messages.pipe(with_body(me)) if stream == "bodies" else getattr(me, stream)
    observed.subscribe(close)
    me.start()
    sender.send([Request(ME, "app", "messages", b"hello")])
    assert closed.wait(PATIENCE)
    assert raised == []
    wait_until(lambda: not [thread for thread in threading.enumerate() if ME in thread.name])


def test_an_observer_that_disposes_itself_gets_no_more_and_others_go_on(open_runtime) -> None:
    me, sender = open_runtime(ME), open_runtime(DS)
    seen: Counter[str] = Counter()
    subscriptions = []

    def once(_: Message) -> None:
        seen["once"] += 1
        subscriptions[0].dispose()

    subscriptions.append(me.messages.subscribe(once))
    me.messages.pipe(ops.filter(lambda message: message.kind == "request")).subscribe(lambda _: seen.update(["all"]))
    ask(sender, 3)
    me.poll_once()
    assert seen == {"once": 1, "all": 3}


def test_the_poll_does_not_wait_for_an_observer(emulator, open_runtime) -> None:
    me, sender = open_runtime(ME, poll_interval=0.05), open_runtime(DS)
    release, blocked = threading.Event(), threading.Event()

    def block(_: Message) -> None:
        blocked.set()
        release.wait(PATIENCE)

    me.messages.subscribe(block)
    me.start()
    ask(sender, 1)
    assert blocked.wait(PATIENCE)
    polls = calls(emulator, ME).count("changes.getStartPageToken")
    wait_until(lambda: calls(emulator, ME).count("changes.getStartPageToken") > polls + 3)
    release.set()


@pytest.mark.parametrize("place", ["handler", "observer"])
def test_a_drain_that_would_wait_for_itself_says_so(open_runtime, place: str) -> None:
    ask(open_runtime(DS), 1)
    me = open_runtime(ME, poll_interval=0.05)
    raised: list[BaseException] = []

    def drain(*_: object) -> None:
        try:
            me.drain()
        except RuntimeError as error:
            raised.append(error)

    if place == "handler":
        serve(me, Route("app", "messages", drain))
    else:
        me.messages.subscribe(drain)
    me.start()
    wait_until(lambda: raised)
    assert "on another thread" in str(raised[0])
