"""Subscriptions by name, for notebooks whose cells run again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from reactivex import operators as ops
from reactivex.subject import Subject

from accounts import APP, DO, DS, wait_until
from syft_flwr.feed import at_endpoint, named, reply_with
from syft_flwr.models import Message, Replied
from syft_flwr.rpc import P2PFileRpc
from syft_flwr.runtime import DriveRuntime


@pytest.fixture
def notebook(drive) -> Iterator[ExitStack]:
    """What a kernel has opened, which nobody closes before its end."""
    with ExitStack() as stack:
        yield stack


def cell(notebook: ExitStack, name: str, shown: list[Message]) -> DriveRuntime:
    """Run what a user runs again and again."""
    runtime = notebook.enter_context(DriveRuntime.open(DO))
    runtime.messages.pipe(at_endpoint(APP, "news"), named(runtime, name)).subscribe(shown.append)
    return runtime


def test_a_cell_that_is_run_again_does_not_double_its_subscription(notebook: ExitStack) -> None:
    shown: list[Message] = []
    for _ in range(3):
        runtime = cell(notebook, "show", shown)
    rpc = notebook.enter_context(P2PFileRpc(DS, APP))
    futures = [rpc.send(DO, None, "news", b"x"), rpc.send(DO, None, "news", b"y")]
    runtime.poll_once()
    assert [message.future_id for message in shown] == futures


def test_subscriptions_of_other_names_go_on(notebook: ExitStack) -> None:
    shown: list[Message] = []
    cell(notebook, "one", shown)
    runtime = cell(notebook, "another", shown)
    notebook.enter_context(P2PFileRpc(DS, APP)).send(DO, None, "news", b"x")
    runtime.poll_once()
    assert len(shown) == 2


def test_an_answering_cell_that_is_run_again_answers_once_and_misses_nothing(notebook: ExitStack) -> None:
    replied: list[Replied] = []
    rpc = notebook.enter_context(P2PFileRpc(DS, APP))
    runtime = notebook.enter_context(DriveRuntime.open(DO))
    futures = []
    for _ in range(3):
        futures.append(rpc.send(DO, None, "questions", b"x"))
        runtime.messages.pipe(
            at_endpoint(APP, "questions"),
            reply_with(runtime, lambda body, _: body, allowed_senders=[DS]),
            named(runtime, "answer"),
        ).subscribe(replied.append)
        futures.append(rpc.send(DO, None, "questions", b"y"))
        runtime.poll_once()
        wait_until(lambda: len(replied) == len(futures))
    assert sorted(reply.message.future_id for reply in replied) == sorted(futures)


def test_who_disposes_of_an_earlier_subscription_does_not_end_the_later_one(notebook: ExitStack) -> None:
    runtime = notebook.enter_context(DriveRuntime.open(DO))
    source: Subject[int] = Subject()
    seen: list[int] = []
    numbers = source.pipe(ops.map(lambda number: number * 2), named(runtime, "numbers"))
    first = numbers.subscribe(seen.append)
    source.on_next(1)
    second = numbers.subscribe(seen.append)
    first.dispose()
    source.on_next(2)
    second.dispose()
    assert not source.observers
    assert seen == [2, 4]
