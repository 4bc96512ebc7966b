"""Type-checked, never run: the element types along pipes, as mypy strict and pyright see them."""

from __future__ import annotations

from typing import assert_type

from reactivex import Observable
from reactivex import operators as ops

from syft_flwr.client import SyftFlwrClient
from syft_flwr.feed import (
    DeadLetter,
    at_endpoint,
    dead_letters,
    dedupe_by,
    failed,
    from_sender,
    in_inbox,
    latest_per,
    named,
    quorum,
    received,
    reply_with,
    requests,
    responses,
    retrying,
    windowed_bytes,
    with_body,
)
from syft_flwr.models import FeedError, Message, Received, Rejection, Replied
from syft_flwr.replay import Replay
from syft_flwr.resources import Change
from syft_flwr.rpc import create_rpc
from syft_flwr.runtime import DriveRuntime


def size_of(element: Received) -> int:
    return len(element.body)


def answer(body: bytes, message: Message) -> str:
    return f"{message.sender}: {len(body)}"


def streams(runtime: DriveRuntime, replay: Replay) -> None:
    assert_type(runtime.messages, Observable[Message])
    assert_type(runtime.changes, Observable[Change])
    assert_type(runtime.rejected, Observable[Rejection])
    assert_type(runtime.errors, Observable[FeedError])
    assert_type(runtime.replied, Observable[Replied])
    assert_type(replay.messages, Observable[Message])


def four_operators(runtime: DriveRuntime) -> None:
    loaded = runtime.messages.pipe(
        at_endpoint("flwr/diabetes", "messages"),
        requests,
        with_body(runtime, max_size=1_000_000),
        received,
    )
    assert_type(loaded, Observable[Received])
    narrowed = runtime.messages.pipe(
        in_inbox("do@example.com", sender="ds@example.com"),
        at_endpoint("flwr/diabetes", "messages"),
        from_sender("ds@example.com"),
        responses,
    )
    assert_type(narrowed, Observable[Message])


def errors_are_values(runtime: DriveRuntime) -> None:
    elements = runtime.messages.pipe(requests, with_body(runtime))
    assert_type(elements, Observable[Received | FeedError])
    assert_type(elements.pipe(failed), Observable[FeedError])


def replies(runtime: DriveRuntime) -> None:
    answered = runtime.messages.pipe(
        at_endpoint("flwr/diabetes", "messages"),
        requests,
        from_sender("ds@example.com"),
        reply_with(runtime, answer, allowed_senders=["ds@example.com"]),
    )
    assert_type(answered, Observable[Replied])


def with_operators_of_reactivex(runtime: DriveRuntime, replay: Replay) -> None:
    sizes = runtime.messages.pipe(
        at_endpoint("flwr/diabetes", "messages"),
        with_body(runtime),
        received,
        ops.map(size_of),
    )
    assert_type(sizes, Observable[int])
    batches = replay.messages.pipe(
        requests,
        with_body(replay.runtime),
        received,
        ops.buffer_with_time(5.0, scheduler=replay.scheduler),
    )
    assert_type(batches, Observable[list[Received]])
    replay.scheduler.start()
    replay.scheduler.advance_by(60.0)


def sender_of(message: Message) -> str:
    return message.sender


def that_gather(runtime: DriveRuntime) -> None:
    assert_type(
        runtime.messages.pipe(requests, quorum(2, of=3, within=30.0)),
        Observable[list[Message]],
    )
    assert_type(runtime.messages.pipe(requests, latest_per(sender_of)), Observable[dict[str, Message]])
    assert_type(runtime.messages.pipe(requests, dedupe_by(sender_of)), Observable[Message])
    batches = runtime.messages.pipe(with_body(runtime), received, windowed_bytes(1_000_000, 5.0))
    assert_type(batches, Observable[list[Received]])


def that_have_a_name(runtime: DriveRuntime) -> None:
    assert_type(runtime.messages.pipe(requests, named(runtime, "watch")), Observable[Message])
    assert_type(runtime.messages.pipe(with_body(runtime), received, named(runtime, "watch")), Observable[Received])


def that_try_again(runtime: DriveRuntime, letters: list[DeadLetter[Received]]) -> None:
    sizes = runtime.messages.pipe(with_body(runtime), received, retrying(size_of, times=5))
    assert_type(sizes, Observable[int | DeadLetter[Received]])
    assert_type(sizes.pipe(dead_letters(letters.append)), Observable[int])


def rpcs(client: SyftFlwrClient) -> None:
    rpc = create_rpc(client, "flwr/diabetes")
    assert_type(rpc.wait([], 1.0), dict[str, bytes])
    rpc.close()
