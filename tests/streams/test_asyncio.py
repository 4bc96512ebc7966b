"""Streams, requests and handlers from asyncio."""

from __future__ import annotations

import asyncio
import random
import threading

import pytest
import reactivex as rx
from reactivex.subject import Subject

from accounts import APP, DO, DS, owner, serving
from syft_flwr.errors import UnansweredError
from syft_flwr.events import P2PFileEvents
from syft_flwr.feed import aio
from syft_flwr.rpc import P2PFileRpc
from syft_flwr.testing import Recording
from syft_flwr.testing.plugin import RecordedFeed


def test_a_stream_is_iterated_over_in_order_to_its_end() -> None:
    async def collect() -> list[int]:
        return [number async for number in aio(rx.from_iterable(range(100)))]

    assert asyncio.run(collect()) == list(range(100))


def test_the_error_of_a_stream_is_raised_after_what_came_before() -> None:
    seen: list[int] = []

    async def consume() -> None:
        async for number in aio(rx.concat(rx.of(1, 2), rx.throw(OSError("broken")))):
            seen.append(number)  # noqa: PERF401 - the error comes in between

    with pytest.raises(OSError, match="broken"):
        asyncio.run(consume())
    assert seen == [1, 2]


def test_a_slow_consumer_holds_up_the_producer_and_loses_nothing() -> None:
    source: Subject[int] = Subject()
    emitted: list[int] = []

    def produce() -> None:
        for number in range(200):
            source.on_next(number)
            emitted.append(number)
        source.on_completed()

    async def consume() -> list[int]:
        numbers: list[int] = []
        stream = aio(source, limit=10)
        first = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)  # it subscribes
        thread = threading.Thread(target=produce)
        thread.start()
        numbers.append(await first)
        async for number in stream:
            assert len(emitted) <= number + 12
            numbers.append(number)
            await asyncio.sleep(0)
        thread.join()
        return numbers

    assert asyncio.run(consume()) == list(range(200))


def test_what_the_event_loop_s_own_thread_emits_does_not_wait_for_itself() -> None:
    async def consume() -> list[int]:
        source: Subject[int] = Subject()
        stream = aio(source, limit=10)
        first = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)  # it subscribes
        for number in range(200):
            source.on_next(number)
        source.on_completed()
        return [await first, *[number async for number in stream]]

    assert asyncio.run(consume()) == list(range(200))


def test_leaving_ends_the_subscription_and_frees_a_producer_that_waits() -> None:
    source: Subject[int] = Subject()
    thread = threading.Thread(target=lambda: [source.on_next(number) for number in range(100)])

    async def leave_early() -> None:
        stream = aio(source, limit=1)
        first = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        thread.start()
        assert await first == 0
        await stream.aclose()

    asyncio.run(leave_early())
    thread.join(10)
    assert not thread.is_alive()
    assert not source.observers


def test_an_event_loop_that_is_closed_without_leaving_holds_up_no_producer() -> None:
    source: Subject[int] = Subject()
    raised: list[Exception] = []

    def produce() -> None:
        for number in range(3):
            try:
                source.on_next(number)
            except Exception as error:
                raised.append(error)

    loop = asyncio.new_event_loop()
    stream = aio(source, limit=1)
    reading = loop.create_task(anext(stream))
    loop.run_until_complete(asyncio.sleep(0))
    loop.call_soon(source.on_next, 0)
    loop.run_until_complete(reading)
    thread = threading.Thread(target=produce)
    thread.start()
    loop.close()
    thread.join(10)
    assert not thread.is_alive()
    assert raised == []


@pytest.mark.usefixtures("drive")
def test_requests_whose_askers_are_cancelled_at_random_are_each_answered_once() -> None:
    handled: list[bytes] = []
    is_answering = threading.Event()
    rng = random.Random(1)

    def answer(body: bytes) -> bytes:
        handled.append(body)
        is_answering.set()
        return body

    async def run() -> None:
        with P2PFileRpc(DS, APP) as rpc:
            rpc.runtime.start()
            for start in range(0, 60, 20):
                asked = [
                    asyncio.ensure_future(rpc.ask(DO, "messages", b"%d" % n, 60)) for n in range(start, start + 20)
                ]
                await asyncio.to_thread(is_answering.wait, 60)
                is_answering.clear()
                for task in rng.sample(asked, 3):
                    task.cancel()
                answers = await asyncio.gather(*asked, return_exceptions=True)
                assert all(
                    isinstance(a, asyncio.CancelledError) or a == b"%d" % (start + i) for i, a in enumerate(answers)
                )

    with serving(owner(answer)):
        asyncio.run(run())
    assert len(handled) == len(set(handled))


@pytest.fixture
def events() -> P2PFileEvents:
    return P2PFileEvents(APP, DO, poll_interval=0.05, allowed_senders=[DS])


@pytest.mark.usefixtures("drive")
def test_a_handler_may_be_a_coroutine_function(events: P2PFileEvents) -> None:
    async def answer(body: bytes) -> bytes:
        await asyncio.sleep(0)
        return body.upper()

    events.on_request("messages", answer)
    with serving(events), P2PFileRpc(DS, APP) as rpc:
        assert asyncio.run(rpc.ask(DO, "messages", b"hello", 20)) == b"HELLO"


def test_an_asynchronous_test_can_replay_a_feed_for_a_coroutine_function(recorded_feed: RecordedFeed) -> None:
    async def handler(body: bytes) -> bytes:
        await asyncio.sleep(0)
        return body.upper()

    async def asynchronous_test() -> list[bytes]:
        built = Recording.build(DO).request(DS, APP, "messages", b"one").request(DS, APP, "messages", b"two")
        feed = recorded_feed(built.recording())
        feed.serve(owner(handler))
        feed.run()
        return [reply.body for reply in feed.replies]

    assert asyncio.run(asynchronous_test()) == [b"ONE", b"TWO"]


@pytest.mark.usefixtures("drive")
def test_asking_ends_in_time_and_names_the_future() -> None:
    with P2PFileRpc(DS, APP) as rpc:
        with pytest.raises(UnansweredError) as raised:
            asyncio.run(rpc.ask(DO, "messages", b"hello", 0.2))
        [future] = raised.value.future_ids
        assert rpc.get_response(future) is None


@pytest.mark.usefixtures("drive")
def test_the_app_is_the_constructor_s_unless_another_is_named(events: P2PFileEvents) -> None:
    events.on_request("messages", lambda body: b"here")
    with serving(events), P2PFileRpc(DS, APP) as rpc:
        future = rpc.send(DO, None, "messages", b"x")
        assert rpc.wait([future], 20)[future] == b"here"
