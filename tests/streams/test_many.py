"""Thousands of requests through pipelines whose readers come, go and dawdle: each answered once, memory flat."""

from __future__ import annotations

import asyncio
import gc
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from reactivex import operators as ops
from runtimes import State, runtime_on

from accounts import wait_until
from syft_flwr.exchange.requester import Request
from syft_flwr.feed import aio, at_endpoint, defer, reply_with
from syft_flwr.models import Message, Received
from syft_flwr.runtime import DriveRuntime
from syft_flwr.testing.clock import ManualClock
from syft_flwr.testing.memory_drive import MemoryDrive

OWNER, ASKER = "do@example.com", "ds@example.com"
DEADLINE = 600.0
PORTION = 500
"""Requests that are asked at a time."""
LIMIT = 20
"""Messages that may wait for a reader."""
READERS = 4
PATIENCE = 600.0


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def drive(clock: ManualClock) -> MemoryDrive:
    drive = MemoryDrive(clock)
    drive.gateway(OWNER), drive.gateway(ASKER)
    return drive


@pytest.fixture
def asker(drive: MemoryDrive, clock: ManualClock, tmp_path: Path) -> Iterator[DriveRuntime]:
    with runtime_on(drive.gateway(ASKER), State(tmp_path / "asker"), clock, ASKER, inline=True) as runtime:
        yield runtime


@pytest.fixture
def runtime(drive: MemoryDrive, clock: ManualClock, tmp_path: Path) -> Iterator[DriveRuntime]:
    with runtime_on(drive.gateway(OWNER), State(tmp_path / "owner"), clock, OWNER) as runtime:
        yield runtime


def in_memory() -> int:
    """Count the messages that are alive, with or without their bodies."""
    return sum(isinstance(thing, Message | Received) for thing in gc.get_objects())


def answered(drive: MemoryDrive) -> Counter[str]:
    return Counter(name.removesuffix(".response") for _, name, _ in drive.files() if name.endswith(".response"))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=pytest.mark.slow)])
def test_readers_in_asyncio_that_dawdle_and_are_cancelled_answer_each_request_once(
    drive, asker, runtime, clock, count: int
) -> None:
    rng = random.Random(7)
    alive: list[int] = []
    asked: list[str] = []
    all_sent: list[bool] = []
    cancelled = 0

    async def read() -> None:
        async for message in aio(
            runtime.messages_from_start.pipe(defer(runtime, DEADLINE, allowed_senders=[ASKER])), limit=LIMIT
        ):
            for _ in range(rng.randrange(4)):
                await asyncio.sleep(0)
            runtime.reply(message, message.future_id)  # or another reader has it, since it was late

    async def cancel(reader: asyncio.Task[None]) -> None:
        reader.cancel()
        with suppress(asyncio.CancelledError):
            await reader

    async def cancel_some(readers: list[asyncio.Task[None]]) -> None:
        nonlocal cancelled
        while not all_sent:
            for _ in range(rng.randrange(100)):
                await asyncio.sleep(0)
            number = rng.randrange(READERS)
            await cancel(readers[number])
            cancelled += 1
            readers[number] = asyncio.create_task(read())

    async def answer_all_but(left: int) -> None:
        """Wait, and let time pass: what a cancelled reader had comes again once it is late."""
        end = time.monotonic() + PATIENCE
        while len(runtime.waiting()) > left and time.monotonic() < end:
            await asyncio.to_thread(runtime.poll_once)
            clock.advance(DEADLINE + 1)

    async def run() -> None:
        readers = [asyncio.create_task(read()) for _ in range(READERS)]
        canceller = asyncio.create_task(cancel_some(readers))
        for start in range(0, count, PORTION):
            bodies = [b"%d" % number for number in range(start, min(start + PORTION, count))]
            asked.extend(await asyncio.to_thread(asker.send, [Request(OWNER, "app", "work", body) for body in bodies]))
            await answer_all_but(PORTION)
            await asyncio.to_thread(runtime.poll_once)
            alive.append(in_memory())
        all_sent.append(True)  # not a cancellation, which would be lost in the middle of one of its own
        await canceller
        await answer_all_but(0)
        for reader in readers:
            await cancel(reader)

    asyncio.run(run())
    wait_until(lambda: sum(answered(drive).values()) >= count, PATIENCE)
    assert answered(drive) == Counter(asked)
    assert cancelled > 0
    assert max(alive) <= 2 * PORTION + READERS * LIMIT, alive


@pytest.mark.timeout(900)
@pytest.mark.parametrize("count", [300, pytest.param(5_000, marks=pytest.mark.slow)])
def test_what_has_waited_is_answered_once_by_reply_with_and_by_runtime_reply(drive, asker, runtime, count: int) -> None:
    alive: list[int] = []
    asked: list[str] = []
    for start in range(0, count, PORTION):
        numbers = range(start, min(start + PORTION, count))
        asked += asker.send([Request(OWNER, "app", ("one", "batch")[n % 2], b"%d" % n) for n in numbers])
        runtime.poll_once()
    assert len(runtime.waiting()) == count
    alive.append(in_memory())

    def answer(batch: list[Message]) -> None:
        for message in batch:
            assert runtime.reply(message, b"in a batch")
        alive.append(in_memory())

    runtime.messages.pipe(
        at_endpoint("app", "one"), reply_with(runtime, lambda body, _: body, allowed_senders=[ASKER])
    ).subscribe()
    runtime.messages.pipe(
        at_endpoint("app", "batch"), defer(runtime, DEADLINE, allowed_senders=[ASKER]), ops.buffer_with_count(50)
    ).subscribe(answer)
    runtime.poll_once()
    wait_until(lambda: sum(answered(drive).values()) >= count, PATIENCE)
    runtime.poll_once()
    assert answered(drive) == Counter(asked)
    assert list(runtime.waiting()) == []
    assert max(alive) <= 2 * PORTION, alive
