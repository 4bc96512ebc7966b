"""What pipelines get through: requests that wait in Drive, over ``at_endpoint`` to a handler or an observer.

Some askers have sent their requests before the owner looks. Measured is from its first look to its last answer, or to
the last message that an observer has seen.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from benchmarks.parties import APP, ENDPOINTS, OWNER, local_drive
from benchmarks.results import Cell, Result
from syft_flwr.feed import at_endpoint, received, reply_with, with_body
from syft_flwr.rpc import P2PFileRpc
from syft_flwr.runtime import DriveRuntime

ASKERS = 5
BODY = b"What do you have?"
PATIENCE = 600.0


def handled(runtime: DriveRuntime, came: Callable[[object], None]) -> None:
    runtime.messages.pipe(at_endpoint(APP, ENDPOINTS[0]), reply_with(runtime, lambda body, _: body)).subscribe(came)


def loaded(runtime: DriveRuntime, came: Callable[[object], None]) -> None:
    runtime.messages.pipe(at_endpoint(APP, ENDPOINTS[0]), with_body(runtime), received).subscribe(came)


def seen(runtime: DriveRuntime, came: Callable[[object], None]) -> None:
    runtime.messages.pipe(at_endpoint(APP, ENDPOINTS[0])).subscribe(came)


PIPELINES = {"at_endpoint, reply_with": handled, "at_endpoint, with_body": loaded, "at_endpoint": seen}


def messages_a_second(pipeline: Callable[[DriveRuntime, Callable[[object], None]], None], count: int) -> float:
    """Let a pipeline take so many requests."""
    left, done = iter(range(count - 1)), threading.Event()

    def came(_: object) -> None:
        if next(left, None) is None:
            done.set()

    with local_drive(process=True):
        with DriveRuntime.open(OWNER) as runtime:  # it has its token, so that the feed brings what comes
            runtime.poll_once()
        for asker in range(ASKERS):
            with P2PFileRpc(f"ds{asker}@example.org", APP) as rpc:
                rpc.send_many([(OWNER, APP, ENDPOINTS[0], BODY)] * (count // ASKERS))
        with DriveRuntime.open(OWNER, poll_interval=0.1) as runtime:
            pipeline(runtime, came)
            began = time.perf_counter()
            runtime.start()
            assert done.wait(PATIENCE), "they did not come"
            return count / (time.perf_counter() - began)


def run(*, quick: bool, rivals: bool = False) -> list[Result]:  # noqa: ARG001 - there is none that has pipelines
    count = 100 if quick else 1_000
    rows: list[list[Cell]] = [[name, messages_a_second(pipeline, count)] for name, pipeline in PIPELINES.items()]
    return [Result("pipeline", f"{count:,} requests through a pipeline", ["pipeline", "a second"], rows, "a second")]
